//! Does it: open the entry durably, lend the credential, forward, inspect what comes back.

mod commit;
mod entrusted;
mod forward;
mod initiated;
mod inspect;
mod mask;
mod pump;
mod tasks;

pub use commit::commit;
pub use entrusted::entrusted;
pub use forward::{Failure, Response, forward};
pub(crate) use initiated::authorize_following;
pub use initiated::{Initiator, answer_of, ask_first, decide_initiated, narrowed};
pub use inspect::{Ending, Inspected, Streaming, inspect};
pub(crate) use pump::pump;
pub(crate) use tasks::opened;
