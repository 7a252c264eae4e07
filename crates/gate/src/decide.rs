//! May it: gather the facts, evaluate, and hold for a human where a rule asks for one.

mod context;
mod evaluate;
pub mod hold;

pub use context::context;
pub use evaluate::evaluate;
