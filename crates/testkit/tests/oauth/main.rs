//! The token service from outside: nonces, exchange along chains, introspection, refusals beside their twins.
#![cfg(test)]

mod nonces;
mod stage;
