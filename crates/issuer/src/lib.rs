//! The authorization server for agents: it answers client credentials and exchanges with short access tokens.
//!
//! INVARIANT: no token leaves before the record of its issue is durable, and the same commit uses
//! up the client's assertion and proof and checks that nobody named in the token was revoked since
//! the decision. A refusal after authentication is durable before it is answered, too.
//!
//! What it knows of agents, tasks and keys comes through [`Directory`], from memory. Deliberately
//! absent: humans signing in, refresh tokens, lasting shared secrets, its own listener.
#![deny(missing_docs)]

mod authenticate;
mod certificate;
mod decide;
mod delegate;
mod directory;
mod edge;
mod enrol;
mod error;
mod exchange;
mod federated;
mod form;
mod introspect;
mod issue;
pub mod limits;
mod metadata;
mod orchestrator;
mod record;
mod revoke;
mod scoped_key;
mod settings;

pub use certificate::Certified;
pub use directory::{Directory, RegisteredAgent, RegisteredClient, Soon, TaskGrant};
pub use edge::router;
pub use enrol::Enrolment;
pub use error::IssueError;
pub use federated::ForeignKeysSoon;
pub use issue::{Issued, Issuer, LocalRequest};
pub use settings::{Settings, SettingsError};
