//! Prints what one decision costs, with its context, for the numbers of policies given.
//!
//! Agent and action are drawn at random for each decision. Beside it stands the naive way: one
//! scan over all policies.
#![expect(clippy::print_stdout, reason = "a program that prints a table")]
#![expect(clippy::unwrap_used, reason = "a measurement stops where its setting is wrong")]

use policy::bench::Bench;

fn main() {
    let sizes: Vec<usize> = std::env::args().skip(1).map(|size| size.parse().unwrap()).collect();
    println!("policies  agents  compile_ms  decision_us  two_pass_us  look_up_us  naive_us");
    for size in sizes {
        let bench = Bench::new(size).unwrap();
        let result = bench.run();
        println!(
            "{size:8}  {:6}  {:10.0}  {:11.2}  {:11.2}  {:10.2}  {:8.1}",
            result.agents,
            result.compile_ms,
            result.decision_us,
            result.two_pass_us,
            result.look_up_us,
            result.naive_us,
        );
    }
}
