//! TLS of the agents' listener: its files, read at the start and again when they change.

use super::watch::Look;
use crate::{app::App, limits, settings::TlsFiles};
use anyhow::Context as _;
use gate::wire::tls::Tls;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Opens TLS, if its files are named. The authority is made first, so that agents can be given certificates.
pub(super) async fn open(app: &App) -> anyhow::Result<Option<Arc<Tls>>> {
    let Some(files) = &app.settings.tls else { return Ok(None) };
    app.ensure_authority().await?;
    let (certificate, key) = read(files)?;
    let opened = Tls::new(&certificate, &key, app.trust()?, Arc::clone(&app.clock));
    let opened = Arc::new(opened.with_context(|| places(files))?);
    Ok(Some(Arc::clone(app.tls.get_or_init(|| opened))))
}

/// Looks after the files and the authorities until told to stop: what cannot be used changes nothing, and is said.
pub(super) async fn look_after(app: Arc<App>, tls: Arc<Tls>, stop: CancellationToken) {
    let mut beat = tokio::time::interval(limits::WATCH);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut seen = look(&app);
    loop {
        tokio::select! {
            _ = beat.tick() => {}
            () = stop.cancelled() => return,
        }
        let now = look(&app);
        if now == seen {
            continue;
        }
        seen = now;
        match renew(&app, &tls) {
            Ok(()) => tracing::info!(
                "the certificate of the listener and the trust bundles were read again"
            ),
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(%error, "TLS goes on with the certificate and bundles that it had");
            }
        }
    }
}

fn renew(app: &App, tls: &Tls) -> anyhow::Result<()> {
    let trust = app.trust()?;
    if let Some(files) = &app.settings.tls {
        let (certificate, key) = read(files)?;
        tls.renew(&certificate, &key).with_context(|| places(files))?;
    }
    tls.trust(trust);
    Ok(())
}

/// What the files look like, and which authorities are believed.
fn look(app: &App) -> (Look, Vec<String>) {
    let files = app.settings.tls.iter().flat_map(|files| [&files.certificate, &files.key]);
    let bundles = app.settings.trust_bundles.iter().map(|(_, path)| path);
    let looked = files.chain(bundles).map(|path| {
        let found = std::fs::metadata(path).ok();
        let length = found.as_ref().map_or(0, std::fs::Metadata::len);
        (path.clone(), length, found.and_then(|found| found.modified().ok()))
    });
    (looked.collect(), app.authorities())
}

fn read(files: &TlsFiles) -> anyhow::Result<(Vec<u8>, zeroize::Zeroizing<Vec<u8>>)> {
    let certificate = std::fs::read(&files.certificate)
        .with_context(|| format!("`--tls-cert {}` cannot be read", files.certificate.display()))?;
    let key = std::fs::read(&files.key)
        .with_context(|| format!("`--tls-key {}` cannot be read", files.key.display()))?;
    Ok((certificate, zeroize::Zeroizing::new(key)))
}

fn places(files: &TlsFiles) -> String {
    format!("`--tls-cert {}`, `--tls-key {}`", files.certificate.display(), files.key.display())
}
