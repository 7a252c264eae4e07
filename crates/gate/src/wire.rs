//! The edges: protocol ⇄ [`crate::ActionRequest`] and [`crate::Answer`]. Nothing is decided here.

pub mod credential;
pub mod http;
pub mod mcp;
mod metadata;
pub mod readers;
pub mod serve;
pub mod tls;

pub use mcp::place::is_ours;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;

/// The body of every response of the agents' listener.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// A body that is complete.
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> Body {
    use http_body_util::{BodyExt, Full};
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}
