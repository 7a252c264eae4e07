//! Rules about who may depend on whom, read from `cargo metadata`; each exception has its reason.

use crate::{
    Workspace,
    command::{cargo, quiet},
};
use anyhow::{Context as _, Result};
use serde::Deserialize;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// Absent for a normal dependency, else `dev` or `build`.
    kind: Option<String>,
}

/// The rooms in flow order: a room may depend on those named beside it and on no other.
const ROOMS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("canonical", &[]),
    ("tlog", &[]),
    ("identity", &["model", "canonical"]),
    ("policy", &["model", "canonical", "identity"]),
    ("declared", &["model", "canonical", "policy"]),
    ("ledger", &["model", "canonical", "tlog"]),
    ("store", &["model", "canonical", "tlog", "ledger"]),
    ("upstream", &["model", "canonical", "identity", "policy", "ledger"]),
    ("gate", &["model", "canonical", "identity", "policy", "ledger", "store", "upstream"]),
    ("issuer", &["model", "canonical", "identity", "policy", "ledger", "store"]),
    (
        "ambit",
        &[
            "model",
            "canonical",
            "tlog",
            "identity",
            "policy",
            "declared",
            "ledger",
            "store",
            "upstream",
            "gate",
            "issuer",
        ],
    ),
    (
        "testkit",
        &[
            "model",
            "canonical",
            "tlog",
            "identity",
            "policy",
            "declared",
            "ledger",
            "store",
            "upstream",
            "gate",
            "issuer",
        ],
    ),
    ("xtask", &[]),
];

/// Crates that only some rooms may use, and why.
const CONFINED: &[(&str, &[&str], &str)] = &[
    ("cedar-policy", &["policy"], "one place decides"),
    ("rusqlite", &["store", "testkit"], "SQL stays in the store; tests damage its files"),
    ("tokio-postgres", &["store"], "SQL stays in the store"),
    ("jsonwebtoken", &["identity", "testkit"], "one place verifies tokens; tests forge them"),
    ("rcgen", &["identity", "testkit"], "one place signs certificates; tests forge them"),
    ("x509-parser", &["identity"], "one place reads certificates"),
    ("rustls-webpki", &["identity"], "one place believes chains of certificates"),
    ("tokio-rustls", &["gate", "testkit"], "one listener speaks TLS; tests speak to it"),
    ("serde-saphyr", &["declared"], "YAML is read in one place"),
    (
        "miette",
        &["declared", "policy", "ambit"],
        "carets; in policy only to read the places of Cedar's errors",
    ),
    ("jsonschema", &["policy", "declared"], "arguments and the declared schema"),
    ("axum", &["issuer", "ambit"], "shells only: the gate's hot path branches off at hyper"),
    ("clap", &["ambit", "xtask"], "only the binary and the developer commands have a command line"),
    (
        "hyper-rustls",
        &["upstream", "testkit"],
        "the one client that leaves the house; tests come to it",
    ),
    ("openidconnect", &["testkit"], "tests only: another author's client"),
    ("reqwest", &["testkit"], "tests only"),
    ("rmcp", &["testkit"], "tests only: the gate's wire modules share no code with strangers"),
    ("anyhow", &["ambit", "xtask", "testkit"], "rooms have typed errors"),
];

/// Rooms that take time and random bytes as arguments, and crates that would bring them in.
const PURE: &[&str] = &["model", "canonical", "tlog", "identity", "policy", "declared", "ledger"];
const IMPURE: &[&str] = &[
    "tokio",
    "hyper",
    "hyper-util",
    "reqwest",
    "rand",
    "getrandom",
    "chrono",
    "async-trait",
    "rustix",
];

fn packages(workspace: &Workspace) -> Result<Vec<Package>> {
    let arguments = ["metadata", "--format-version", "1", "--no-deps", "--offline"];
    let ended = quiet(cargo(workspace, &arguments))?.or_fail("`cargo metadata`")?;
    let line = ended.lines.iter().find(|line| line.starts_with('{')).context("no metadata")?;
    let metadata: Metadata = serde_json::from_str(line).context("metadata of another form")?;
    Ok(metadata.packages)
}

/// All dependencies that the built product has: tests may use more.
fn edges(workspace: &Workspace) -> Result<Vec<(String, String)>> {
    let normal = |dependency: &Dependency| dependency.kind.as_deref() != Some("dev");
    let of = |package: Package| {
        let name = package.name;
        let kept = package.dependencies.into_iter().filter(normal);
        kept.map(|dependency| (name.clone(), dependency.name)).collect::<Vec<_>>()
    };
    Ok(packages(workspace)?.into_iter().flat_map(of).collect())
}

pub(super) fn direction(workspace: &Workspace) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for package in packages(workspace)? {
        if ROOMS.iter().all(|(room, _)| *room != package.name) {
            broken.push(format!("`{}` is no room of xtask/src/tidy/rooms.rs", package.name));
        }
    }
    for (from, to) in edges(workspace)? {
        let is_room = ROOMS.iter().any(|(room, _)| *room == to);
        let allowed =
            ROOMS.iter().any(|(room, below)| *room == from && below.contains(&to.as_str()));
        if is_room && !allowed {
            broken.push(format!("`{from}` depends on `{to}`"));
        }
    }
    Ok(broken)
}

pub(super) fn confined(workspace: &Workspace) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for (from, to) in edges(workspace)? {
        let rule = CONFINED.iter().find(|(name, ..)| *name == to);
        if let Some((name, rooms, reason)) =
            rule.filter(|(_, rooms, _)| !rooms.contains(&from.as_str()))
        {
            broken.push(format!(
                "`{from}` uses `{name}`, which is for {}: {reason}",
                rooms.join(", ")
            ));
        }
    }
    Ok(broken)
}

pub(super) fn pure(workspace: &Workspace) -> Result<Vec<String>> {
    let all = edges(workspace)?.into_iter();
    let broken =
        all.filter(|(from, to)| PURE.contains(&from.as_str()) && IMPURE.contains(&to.as_str()));
    Ok(broken.map(|(from, to)| format!("`{from}` is pure and depends on `{to}`")).collect())
}
