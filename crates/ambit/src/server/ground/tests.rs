//! What another user could read or change, laid out as files.

use super::check;
use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

fn mode(place: &Path, mode: u32) {
    fs::set_permissions(place, Permissions::from_mode(mode)).unwrap();
}

/// A private directory with a file in it, below a directory that others may enter.
fn laid() -> (tempfile::TempDir, std::path::PathBuf) {
    let top = tempfile::tempdir().unwrap();
    mode(top.path(), 0o755);
    let data = top.path().join("data");
    fs::create_dir(&data).unwrap();
    mode(&data, 0o700);
    fs::write(data.join("key"), "k").unwrap();
    (top, data)
}

fn own() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn refused(place: &Path) -> String {
    check(&[place], own()).unwrap_err().to_string()
}

#[test]
fn a_private_directory_stands() {
    let (_top, data) = laid();
    // Below it others see nothing, whatever the modes there are.
    mode(&data.join("key"), 0o644);
    check(&[&data], own()).unwrap();
    check(&[&data.join("not-yet")], own()).unwrap();
}

#[test]
fn what_others_can_read_or_write_does_not() {
    let (top, data) = laid();
    for open in [0o755, 0o750, 0o701, 0o770] {
        mode(&data, open);
        let why = refused(&data);
        assert!(why.contains(&format!("{open:04o}")) && why.contains("chmod 0700"), "{why}");
    }
    mode(&data, 0o700);
    mode(top.path(), 0o777);
    assert!(refused(&data).contains("chmod go-w"), "a parent in which it could be replaced");
    mode(top.path(), 0o1777);
    check(&[&data], own()).unwrap();
}

#[test]
fn each_file_of_an_open_directory_is_looked_at() {
    let (top, _data) = laid();
    let config = top.path().join("ambit.yaml");
    fs::write(&config, "version: 1").unwrap();
    mode(&config, 0o644);
    assert!(refused(&config).contains("chmod 0600"));
    mode(&config, 0o600);
    check(&[&config], own()).unwrap();
    // A link is what it points to.
    let elsewhere = tempfile::tempdir().unwrap();
    mode(elsewhere.path(), 0o755);
    let target = elsewhere.path().join("policies.cedar");
    fs::write(&target, "").unwrap();
    mode(&target, 0o644);
    let policies = top.path().join("policies");
    fs::create_dir(&policies).unwrap();
    mode(&policies, 0o700);
    symlink(&target, policies.join("all.cedar")).unwrap();
    assert!(refused(&policies).contains("0644"));
    mode(&target, 0o600);
    check(&[&policies], own()).unwrap();
}

#[test]
fn what_is_another_users_does_not_stand() {
    let (_top, data) = laid();
    // Root gives a file away; anybody else asks as if he were another.
    let asking = if own() == 0 {
        std::os::unix::fs::chown(data.join("key"), Some(64_343), None).unwrap();
        own()
    } else {
        own() + 1
    };
    let why = check(&[&data], asking).unwrap_err().to_string();
    assert!(why.contains("chown"), "{why}");
}
