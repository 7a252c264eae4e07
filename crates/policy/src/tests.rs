//! Tests that see inside: one small world, and what each guard is for.

mod approval;
mod arguments;
mod explanation;
mod golden;
mod guards;
mod problems;
mod published;
mod records;
mod soundness;
mod world;
