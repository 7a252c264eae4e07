//! Watches the declared files of `dev`: what only narrows acts at once; what widens waits for a person (S14).

use crate::{
    app::App,
    config::{self, Files, Loaded},
    limits, ops,
    output::Output,
    views,
};
use std::{
    io::IsTerminal as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// A change of the files that gives somebody more, and waits for a person at the terminal.
#[derive(Default)]
pub(crate) struct Proposals {
    waiting: Mutex<Option<Arc<Proposal>>>,
    arrived: Notify,
}

/// One such change, bound to the very texts that are shown.
pub(crate) struct Proposal {
    /// Which one: the later has the larger number.
    pub(crate) number: u64,
    /// What it changes, for people.
    pub(crate) shown: String,
    loaded: Loaded,
}

impl Proposals {
    /// The one that waits.
    pub(crate) fn waiting(&self) -> Option<Arc<Proposal>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Completes when one arrives.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Another state came into force: what was proposed against the one before is asked no more.
    pub(crate) fn forget(&self) {
        self.put(None);
    }

    fn put(&self, proposal: Option<Proposal>) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = proposal.map(Arc::new);
        self.arrived.notify_one();
    }

    /// Takes the answer to a proposal; one that was replaced meanwhile is not applied.
    pub(super) async fn answer(app: &App, proposal: &Proposal, approved: bool) -> String {
        let waiting = app.proposals.waiting();
        if waiting.is_none_or(|waiting| waiting.number != proposal.number) {
            return "the files have changed since: nothing was applied\n".to_owned();
        }
        app.proposals.put(None);
        if !approved {
            return "not applied; in force is what was\n".to_owned();
        }
        match apply(app, &proposal.loaded, false).await {
            Ok(revision) => format!("applied as revision {revision}\n"),
            Err(error) => format!("{error}\n"),
        }
    }
}

/// What the files looked like: their places, sizes and times.
pub(super) type Look = Vec<(PathBuf, u64, Option<SystemTime>)>;

/// Watches until told to stop, from the look that was taken before the files were read.
pub(crate) async fn watch(
    app: Arc<App>,
    (mut known, mut seen): (Look, Files),
    output: Output,
    stop: CancellationToken,
) {
    let path = config::main_file(&app.settings.config);
    let mut number = 0_u64;
    let mut moving = false;
    loop {
        tokio::select! {
            () = tokio::time::sleep(limits::WATCH) => {}
            () = stop.cancelled() => return,
        }
        let now = look(&path, &seen);
        if now != known {
            // An editor may still be writing: the files are read when they have stood still once.
            (known, moving) = (now, true);
            continue;
        }
        if !std::mem::take(&mut moving) {
            continue;
        }
        number = number.saturating_add(1);
        let told = match config::load(&path) {
            Err(error) => Some(format!("{error}\nin force is what was")),
            Ok(loaded) if loaded.files == seen => None,
            Ok(loaded) => {
                seen = loaded.files.clone();
                changed(&app, loaded, number).await
            }
        };
        if let Some(told) = told {
            // A terminal that is gone cannot be told so.
            let _gone = output.talk(&told).is_err();
        }
    }
}

/// Applies what narrows, proposes what widens; says what became of it.
async fn changed(app: &App, loaded: Loaded, number: u64) -> Option<String> {
    let path = loaded.files.path.clone();
    if ops::are_in_force(app, &loaded.files) || ops::was_rolled_back(app, &loaded.files) {
        app.proposals.forget();
        return None;
    }
    let compared = match ops::compare(app, &loaded) {
        Ok(compared) => compared,
        Err(error) => return Some(format!("`{path}` has changed and is not applied: {error:#}")),
    };
    let shown = views::difference_lines(&views::differences(&compared.differences));
    let failed = compared.tests.iter().filter(|case| !case.passed).count();
    if failed > 0 {
        return Some(format!(
            "`{path}` has changed and is not applied: {failed} tests fail (`ambit test`)\n{shown}"
        ));
    }
    app.proposals.put(None);
    if !compared.widens {
        return Some(match apply(app, &loaded, true).await {
            Ok(revision) => {
                format!(
                    "`{path}` has changed, gives nobody more, and is in force as revision {revision}\n{shown}"
                )
            }
            Err(error) => format!("`{path}` has changed and is not applied: {error:#}"),
        });
    }
    if std::io::stdin().is_terminal() {
        let shown = format!("`{path}` has changed, and widens:\n{shown}");
        app.proposals.put(Some(Proposal { number, shown, loaded }));
        return None;
    }
    Some(format!("`{path}` has changed, widens, and waits for `ambit apply`:\n{shown}"))
}

async fn apply(app: &App, loaded: &Loaded, only_narrows: bool) -> anyhow::Result<String> {
    let reason = format!("`{}` changed", loaded.files.path);
    let how = ops::How { what: "watch", reason, skip_tests: false, only_narrows };
    let applied = ops::apply_as(app, loaded, how).await?;
    app.ensure_agent_keys().await?;
    Ok(applied.get("revision").map_or("(unchanged)".to_owned(), ToString::to_string))
}

/// What the files look like.
pub(super) fn look(main: &Path, files: &Files) -> Look {
    let beside = main.parent().unwrap_or(Path::new("")).join(config::POLICIES);
    let policies = std::fs::read_dir(&beside).into_iter().flatten().flatten();
    let policies = policies.map(|entry| entry.path()).take(limits::POLICY_FILES + 1);
    let directory = main.parent().unwrap_or(Path::new(""));
    let manifests = files.manifests.keys().map(|path| directory.join(path));
    let own = std::iter::once(main.to_owned());
    let mut paths: Vec<PathBuf> = own.chain(policies).chain(manifests).collect();
    paths.sort();
    let one = |path: PathBuf| {
        let metadata = std::fs::metadata(&path).ok();
        let length = metadata.as_ref().map_or(u64::MAX, std::fs::Metadata::len);
        (path, length, metadata.and_then(|metadata| metadata.modified().ok()))
    };
    paths.into_iter().map(one).collect()
}
