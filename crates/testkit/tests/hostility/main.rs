//! The table of attacks: what hostile agents, strangers, upstreams and byte streams try, each beside a twin that differs
//! in that one thing and goes through. The upstream's own log is the oracle.
#![cfg(test)]
#![expect(clippy::too_many_lines, reason = "a table of attacks is long")]

mod bodies;
mod credentials;
mod framing;
mod keys;
mod names;
mod paths;
mod peers;
mod raw;
mod stage;
