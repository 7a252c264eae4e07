//! Records how it ended: one outcome for every entry, and a durable record for every refusal.

mod close;
mod exchange;
mod recover;
mod refuse;
pub(crate) mod repeats;
mod segment;

pub use close::{Outcome, close, write};
pub use exchange::Exchange;
pub use recover::recover;
pub use refuse::{Unwritten, deny, refuse, refuse_call, unopened, unwritten};
pub use segment::{Segment, Segments};
