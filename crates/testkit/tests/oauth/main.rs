//! The token service from outside: nonces, exchange along chains, introspection, refusals beside their twins.
#![cfg(test)]

mod chains;
mod introspection;
mod keys;
mod nonces;
mod openid;
mod peers;
mod refusals;
mod stage;
