//! Tests that see inside: one small world, and what each guard is for.
#![expect(
    clippy::too_many_lines,
    clippy::arithmetic_side_effects,
    reason = "a world and a table of cases are long, and a test may stop where a sum is wrong"
)]

mod approval;
mod arguments;
mod explanation;
mod golden;
mod guards;
mod problems;
mod published;
mod records;
mod routes;
mod soundness;
mod world;
