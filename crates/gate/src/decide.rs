//! May it: gather the facts, evaluate, and hold for a human where a rule asks for one.

pub(crate) mod consult;
mod context;
mod evaluate;
pub mod hold;

pub use context::context;
pub use evaluate::evaluate;
