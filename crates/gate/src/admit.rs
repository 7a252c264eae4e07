//! Who asks, and for what: authenticate → identify → seat → look up.

mod authenticate;
pub(crate) mod identify;
mod look_up;
pub mod seats;
pub mod strangers;

pub(crate) use authenticate::Believed;
pub use authenticate::{authenticate, greet};
pub use identify::identify;
pub use look_up::look_up;
pub use seats::seat;
