//! Reads `ambit.yaml` strictly into `model::declared`, with the place of everything that is wrong.
//!
//! YAML 1.2 core schema with strict booleans; no anchors, aliases, merges or custom tags; size,
//! depth and node count bounded. Unknown, repeated, renamed and not yet enforced keys and dangling
//! references are errors, all reported in one run. What needs Cedar is checked by `policy`.
//!
//! Deliberately absent: IO, templating, a lenient mode, a way to print a secret.

mod agents;
mod approvals;
mod boundaries;
mod cases;
mod clients;
mod edit;
mod federated;
mod fields;
mod governance;
mod hooks;
mod intents;
mod limits;
mod local;
mod manifest;
mod node;
mod people;
mod problems;
mod read;
mod references;
mod render;
mod routes;
mod schema;
mod secrets;
mod sources;
mod upstreams;

pub use edit::{EditError, add_to_list};
pub use manifest::read_manifest;
pub use read::{Rejected, read};
pub use render::render;
pub use schema::schema;
pub use secrets::{SecretSource, SecretState, check_secrets};
pub use sources::{Diagnostic, Sources};
