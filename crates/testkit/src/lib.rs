//! The world around Ambit, for tests: upstreams whose own log is the oracle, agents' clients, time and chance.
//!
//! What plays a stranger here (upstreams, clients, proxy, load) shares no code with the gate's wire modules. Nothing
//! in this crate is part of the product.

pub mod buyer;
pub mod chance;
pub mod dialogue;
pub mod driven;
pub mod fuzz;
pub mod house;
pub mod load;
pub mod oracle;
pub mod orchestrator;
pub mod peer;
pub mod postgres;
pub mod process;
pub mod proof;
pub mod provider;
pub mod proxy;
pub mod receiver;
pub mod script;
pub mod serve;
pub mod terminal;
pub mod upstream;
