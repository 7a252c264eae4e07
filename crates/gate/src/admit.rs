//! Who asks, and for what: authenticate → identify → look up.

mod authenticate;
pub(crate) mod identify;
mod look_up;
pub mod strangers;

pub use authenticate::{authenticate, greet};
pub use identify::identify;
pub use look_up::look_up;
