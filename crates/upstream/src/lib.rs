//! The world outside: who may be written to, with which credential, over which client.
//!
//! Nothing leaves without a [`Departure`], which only a recorded clearance makes, and nothing
//! leaves with a credential that [`Broker`] did not lend for that departure. The client follows
//! no redirect, sends credentials only to the catalogued scheme, host and port, and puts a limit
//! on every wait and every length. [`mcp`] speaks either revision of MCP to an upstream.
//!
//! An MCP server may also be a child process of this one (`local`), under the same rules.
//!
//! Deliberately absent: decisions, records, retries of anything that may have happened.
#![deny(missing_docs)]

pub mod mcp;

mod broker;
mod client;
mod departure;
mod fault;
mod issuers;
mod limits;
mod local;
mod target;

pub use broker::{
    Broker, BrokerError, Environment, Given, Lookout, UpstreamCredential, Vault, check_secret,
    wanted,
};
pub use client::{Body, Client, Courier, HttpRequest, Https, Message, Settings, SetupError, https};
pub use departure::Departure;
pub use fault::{Blame, Fault};
pub use issuers::{IssuerError, Issuers, Need};
pub use target::{Target, TargetError};
