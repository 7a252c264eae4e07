//! Takes out what a test is for, and expects that test to fail: a test that passes either way proves nothing.

use crate::{
    Workspace,
    command::{cargo, shown},
    say,
    stage::{Counts, nextest_summary},
};
use anyhow::Result;

/// One thing taken out, and the tests that must notice.
struct Mutation {
    name: &'static str,
    /// The feature that takes it out; never part of a product build.
    feature: &'static str,
    /// Each of these filters must have a test that fails.
    noticed_by: &'static [&'static str],
}

const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "a check in each reader of strangers' bytes",
        feature: "testkit/canary",
        noticed_by: &[
            "package(testkit) & binary(fuzz) & test(=token)",
            "package(testkit) & binary(fuzz) & test(=mcp_frame)",
            "package(testkit) & binary(fuzz) & test(=http_edge)",
            "package(testkit) & binary(fuzz) & test(=canonical)",
            "package(testkit) & binary(fuzz) & test(=batch)",
            "package(testkit) & binary(fuzz) & test(=ambit_yaml)",
        ],
    },
    Mutation {
        name: "the sync before a batch is called durable",
        feature: "store/mutation-no-sync",
        noticed_by: &[
            "package(store) & binary(faults)",
            "package(store) & test(on_postgres::what_was_acknowledged_is_there_after_a_crash)",
            "package(testkit) & binary(faults)",
            "test(each_write_to_the_upstream_follows_the_sync_of_its_entry)",
        ],
    },
];

/// Each filter of each mutation counts once. The ordinary build is put back at the end.
pub(crate) fn run(workspace: &Workspace) -> Result<Counts> {
    let mut counts = Counts::default();
    for mutation in MUTATIONS {
        for filter in mutation.noticed_by {
            say(&format!("--- without {}: expecting a failure of {filter}", mutation.name));
            let seen = noticed(workspace, mutation.feature, filter);
            let ok = seen.as_ref().is_ok_and(|seen| *seen);
            if !ok {
                say(&format!("--- without {}, {filter} did not fail", mutation.name));
            }
            counts.add(Counts::one(ok));
        }
    }
    let arguments = ["build", "--quiet", "--locked", "--workspace", "--all-targets"];
    shown(cargo(workspace, &arguments))?.or_fail("the build without mutation")?;
    Ok(counts)
}

/// Whether tests ran and at least one failed. A build that fails is not noticing.
fn noticed(workspace: &Workspace, feature: &str, filter: &str) -> Result<bool> {
    let arguments = ["build", "--quiet", "--locked", "--workspace", "--all-targets", "--features"];
    let mut build = cargo(workspace, &arguments);
    build.arg(feature);
    shown(build)?.or_fail("the build with mutation")?;
    let (counts, _) = nextest_summary(workspace, &["--features", feature, "-E", filter], &[])?;
    Ok(counts.is_some_and(|counts| counts.failed > 0))
}
