//! Who asks, and for what: authenticate → identify → seat → look up.

mod authenticate;
pub(crate) mod identify;
mod look_up;
pub mod seats;
pub mod strangers;
mod task;

pub(crate) use authenticate::Believed;
pub use authenticate::{authenticate, greet};
pub use identify::identify;
pub use look_up::look_up;
pub(crate) use look_up::visible;
pub use seats::seat;
pub use task::Tasks;
