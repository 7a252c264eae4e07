//! The issuer in one process: a real journal, a client's own keys, no sockets.
#![cfg(test)]

mod certificates;
mod grants;
mod house;
mod introspection;
mod pins;
mod refusals;
mod registry;
mod revocation;
mod surface;
