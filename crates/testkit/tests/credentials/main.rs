//! How agents prove who they are, beyond a key of their own: certificates, foreign issuers, short keys. Each refusal
//! stands beside a twin that differs in that one thing and goes through; the upstream's own log is the oracle.
#![cfg(test)]

mod bearers;
mod certificates;
mod federated;
mod peers;
mod pinned;
mod sidecar;
mod tls;
