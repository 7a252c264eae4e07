//! The matrix: every agent × every action × human × approval, as a table that is committed.

use super::world::{attempt, base};
use expect_test::expect_file;
use model::Name;
use std::fmt::Write;

#[test]
fn matrix() {
    let compiled = base();
    let mut table = String::from(
        "# agent     human  action                    tier        approved  ->  decision\n",
    );
    for agent in compiled.declared().agents.keys() {
        for entry in compiled.catalog() {
            for user in [None, Some("ana"), Some("eve")] {
                for approved in [false, true] {
                    let id = entry.id.to_string();
                    let mut one = attempt(agent.as_str(), &id).user(user);
                    if approved {
                        let rules: Vec<&str> =
                            compiled.declared().approvals.keys().map(Name::as_str).collect();
                        one = one.approved(&["guard.high", "guard.approval"], &rules);
                    }
                    writeln!(
                        table,
                        "{:10}  {:5}  {id:24}  {:10}  {:8}  ->  {}",
                        agent.as_str(),
                        user.unwrap_or("-"),
                        entry.action.risk.as_str(),
                        if approved { "yes" } else { "no" },
                        one.outcome(compiled)
                    )
                    .unwrap();
                }
            }
        }
    }
    expect_file!["../../tests/golden/decisions.txt"].assert_eq(&table);
}
