//! `ambit server run`: the production form, as a user of the operating system that no agent runs as (S1).

mod ground;
mod neighbours;

use crate::{config, settings::Settings};
use std::{net::SocketAddr, path::Path};

/// Refuses to start on ground that another user of this machine could change or look into.
pub(crate) fn check(settings: &Settings) -> anyhow::Result<()> {
    let declared = ground::of_config(&config::main_file(&settings.config));
    let mut places: Vec<&Path> = vec![&settings.data];
    places.extend(declared.iter().map(std::path::PathBuf::as_path));
    places.extend(settings.secrets_dir.as_deref());
    places.extend(settings.tls.as_ref().map(|files| files.key.as_path()));
    ground::check(&places, own())?;
    neighbours::check()
}

/// Whether a connection comes from a process of the gate's own user: whoever runs as it could read its keys, so that
/// nothing it says of itself counts. Of a connection from this machine that the kernel does not list nobody knows, so
/// that it counts as one.
pub(crate) fn is_own_user(peer: SocketAddr) -> bool {
    neighbours::uid_of(peer).is_none_or(|uid| uid == own())
}

fn own() -> u32 {
    rustix::process::geteuid().as_raw()
}
