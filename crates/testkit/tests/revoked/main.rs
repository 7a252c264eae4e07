//! Every kind of revocation while 32 connections call, on the real binary. The bank's own log shows that nothing of the
//! victim came after the command had returned, a bystander that shares all but the revoked thing is never refused, and
//! what was captured before buys and reaches nothing.
#![cfg(test)]

mod beside;
mod cases;
mod load;
mod scene;
