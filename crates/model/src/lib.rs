//! The nouns that every room of Ambit shares: names, ids, codes, effects, declared state, records' seams.
//!
//! No JSON, no cryptography, no evidence, no IO, no clock and no randomness live here.
#![deny(missing_docs)]

pub mod action;
pub mod ancestor;
pub mod code;
pub mod declared;
pub mod digest;
pub mod id;
pub mod lifecycle;
pub mod limits;
pub mod manifest;
pub mod name;
pub mod network;
pub mod record;
pub mod reserved;
pub mod spiffe;
pub mod task;
pub mod time;

pub use action::{Decision, Effect, RiskTier, Sink};
pub use ancestor::Ancestor;
pub use code::Code;
pub use digest::Digest;
pub use id::{AskId, EntryId, TaskId, TokenId, TraceId};
pub use lifecycle::{Lifecycle, Suspender, WrongState};
pub use name::{ActionId, AgentName, Name, NameError, PartyName, UpstreamName, UserName};
pub use network::{Network, Peer};
pub use spiffe::{SpiffeId, TrustDomain};
pub use task::{InputTrust, OpenedBy, TriggerKind};
pub use time::{Duration, Timestamp};
