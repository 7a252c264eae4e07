//! Credentials as strangers send them: forged ones beside valid twins, and those of other authors.
#![cfg(test)]

mod assertions;
mod certificates;
mod foreign;
mod forge;
mod keys;
mod nonces;
mod proofs;
mod round_trip;
mod strangers;
mod tokens;
