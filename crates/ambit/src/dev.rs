//! `ambit dev`, everything in one process, on loopback, as the user who starts it; and `ambit server run` of it what a
//! server needs.

mod operations;
mod pins;
mod terminal;
mod tls;
mod watch;

pub(crate) use pins::pin;
pub(crate) use watch::Proposals;

use crate::{
    app::{App, registry::Ground},
    config, control,
    exit::Exit,
    limits, ops,
    output::Output,
    settings::{Form, Settings},
};
use anyhow::Context as _;
use http::{Request, Response};
use hyper::body::Incoming;
use std::sync::Arc;
use tokio::{net::TcpListener, signal::unix::SignalKind};
use tower::ServiceExt as _;

/// Starts, applies the files, serves until told to stop.
pub(crate) async fn run(mut settings: Settings, output: &Output) -> anyhow::Result<Exit> {
    let form = settings.form;
    refuse_public(&settings)?;
    let agents = bind(settings.listen, "--listen").await?;
    let operators = bind(settings.ops_listen, "--ops-listen").await?;
    settings.listen = agents.local_addr()?;
    settings.ops_listen = operators.local_addr()?;
    let clients = bind(settings.api_listen, "--api-listen").await?;
    settings.api_listen = clients.local_addr()?;
    name(&mut settings)?;
    let look = watch::look(&config::main_file(&settings.config), &config::Files::default());
    let (environment, owner_term) = (settings.environment.clone(), settings.owner_term);
    let app = App::open(settings).await?;
    anyhow::ensure!(
        form == app.settings.form,
        "this data directory is of `ambit server run`: `ambit dev` does not open it"
    );
    // A server that was never told where it stands is not a sandbox.
    let stands = environment.or_else(|| first_place(&app));
    app.settle_ground(stands, owner_term).await?;
    let files = match form {
        Form::Development => {
            let files = take_files(&app, output).await?;
            app.confirm_in_sandbox(&app.gate.world().compiled.declared().clone()).await?;
            app.register().await?;
            app.ensure_agent_keys().await?;
            Some(files)
        }
        Form::Production => {
            take_first_files(&app, output).await?;
            app.register().await?;
            None
        }
    };
    let tls = tls::open(&app).await?;
    // Open before anything says ready: a command that finds no socket opens the data directory itself.
    let commands = control::listen(&app);
    let stop = tokio_util::sync::CancellationToken::new();
    let tasks = tokio_util::task::TaskTracker::new();
    if let Some(tls) = &tls {
        tasks.spawn(tls::look_after(Arc::clone(&app), Arc::clone(tls), stop.clone()));
    }
    tasks.spawn(gate::wire::serve::serve(Arc::clone(&app.gate), agents, tls, others(&app)?));
    tasks.spawn(operations::serve(Arc::clone(&app), operators, stop.clone()));
    tasks.spawn(crate::api::serve(Arc::clone(&app), clients, stop.clone()));
    tasks.spawn(control::serve(Arc::clone(&app), commands, stop.clone()));
    crate::follow::start(&app, &tasks, &stop);
    if let Some(files) = files {
        tasks.spawn(terminal::answer(Arc::clone(&app), stop.clone()));
        let watched = watch::watch(Arc::clone(&app), (look, files), *output, stop.clone());
        tasks.spawn(watched);
    }
    tasks.spawn(upkeep(Arc::clone(&app), stop.clone()));
    tasks.spawn(keep_registry(Arc::clone(&app), stop.clone()));
    announce(&app, output)?;
    stopped().await?;
    output.talk("stopping: no new calls are admitted, open ones end first")?;
    stop.cancel();
    app.gate.drain().await;
    tasks.close();
    let _ended_late = tokio::time::timeout(limits::STOP, tasks.wait()).await.is_err();
    app.store.journal().close();
    Ok(Exit::Ok)
}

/// Where a server stands that nobody has told: drafts do not act there.
fn first_place(app: &App) -> Option<model::Name> {
    let unsettled = Ground::of(&app.store.state()).environment.is_none();
    let server = app.settings.form == Form::Production;
    (server && unsettled).then(|| model::Name::new(gate::registry::PRODUCTION).ok()).flatten()
}

/// Takes the files into force, but for those that were rolled back from.
async fn take_files(app: &Arc<App>, output: &Output) -> anyhow::Result<config::Files> {
    let loaded = config::load(&app.settings.config)?;
    pins::pin_new(app, &loaded.declared).await;
    if ops::was_rolled_back(app, &loaded.files) {
        output.talk(&format!(
            "`{}` is what was rolled back from, and is not applied: `ambit export` writes what is in force, `ambit apply` takes the file all the same",
            loaded.files.path
        ))?;
    } else {
        ops::apply_files(app, &loaded).await?;
    }
    Ok(loaded.files)
}

/// The first start takes the files into force; later it is `ambit apply` that does, so that a server comes up again
/// whatever has become of its files.
async fn take_first_files(app: &Arc<App>, output: &Output) -> anyhow::Result<()> {
    if !ops::has_revision(app) {
        return take_files(app, output).await.map(drop);
    }
    let found = config::load(&app.settings.config);
    let differs = match &found {
        Ok(loaded) if ops::are_in_force(app, &loaded.files) => return Ok(()),
        Ok(loaded) => format!("`{}` is not what is in force", loaded.files.path),
        Err(error) => format!("{error}\nin force is what was"),
    };
    Ok(output.talk(&format!(
        "{differs}: `ambit diff` shows what it would change, `ambit apply` takes it"
    ))?)
}

/// `dev` is no boundary, so it does not leave the machine; what a server says to agents leaves it in TLS, and what it
/// says to operators not at all.
fn refuse_public(settings: &Settings) -> anyhow::Result<()> {
    let operators = settings.ops_listen;
    anyhow::ensure!(
        operators.ip().is_loopback(),
        "`{operators}` is not a loopback address: operators look on this machine, listen on 127.0.0.1"
    );
    let clients = settings.api_listen;
    anyhow::ensure!(
        clients.ip().is_loopback(),
        "`{clients}` is not a loopback address: clients come from this machine, listen on 127.0.0.1"
    );
    let agents = settings.listen;
    let why = match settings.form {
        Form::Production if settings.tls.is_some() => return Ok(()),
        Form::Production => {
            "tokens do not leave the machine without TLS, give `--tls-cert` and `--tls-key`"
        }
        Form::Development => "`ambit dev` is for one machine, listen on 127.0.0.1",
    };
    anyhow::ensure!(agents.ip().is_loopback(), "`{agents}` is not a loopback address: {why}");
    Ok(())
}

/// The URL that agents know the gate by: as it is stated, or where it listens.
fn name(settings: &mut Settings) -> anyhow::Result<()> {
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    if settings.base_url.is_empty() {
        settings.base_url = format!("{scheme}://{}", settings.listen);
    }
    let stated = issuer::Settings::new(&settings.base_url, true).context("`--base-url`")?;
    anyhow::ensure!(
        stated.issuer().starts_with(&format!("{scheme}:")),
        "`--base-url {}` is not of the scheme `{scheme}` that agents find here: TLS needs `--tls-cert` and `--tls-key`",
        settings.base_url
    );
    let own = settings.trust_bundles.iter().find(|(domain, _)| *domain == settings.trust_domain);
    anyhow::ensure!(
        own.is_none(),
        "`--trust-bundle` names Ambit's own trust domain `{}`, for which nobody else speaks",
        settings.trust_domain
    );
    Ok(())
}

async fn bind(address: std::net::SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.with_context(|| {
        format!("cannot listen on `{address}`: choose another with `{flag}`, or stop what uses it")
    })
}

/// The token service and its metadata answer what is not a door.
fn others(app: &Arc<App>) -> anyhow::Result<gate::wire::serve::Others> {
    let settings =
        issuer::Settings::new(&app.settings.base_url, app.settings.form.is_development())?;
    let settings = settings.with_mtls(app.settings.tls.is_some());
    let settings = settings.with_pins(app.gate.settings().guards.pins);
    let router = issuer::router(app.clone(), app.store.journal().clone(), settings)
        .merge(crate::api::subtasks(Arc::clone(app)));
    Ok(Arc::new(move |request: Request<Incoming>| {
        let router = router.clone();
        Box::pin(async move {
            let answered: Result<Response<axum::body::Body>, std::convert::Infallible> =
                router.oneshot(request).await;
            match answered {
                Ok(response) => gate::wire::serve::axum_body::into_gate_body(response),
                Err(never) => match never {},
            }
        })
    }))
}

fn announce(app: &App, output: &Output) -> anyhow::Result<()> {
    let settings = &app.settings;
    let line = |text: &str| output.talk(text);
    line(match settings.form {
        Form::Development => concat!(
            "ambit ",
            env!("CARGO_PKG_VERSION"),
            " · development mode: it runs as you, and is no boundary against code that runs as you"
        ),
        Form::Production => concat!("ambit ", env!("CARGO_PKG_VERSION"), " · production"),
    })?;
    line(&format!(
        "agents      {}   MCP at /mcp/UPSTREAM, HTTP at /http/UPSTREAM/…, tokens at /oauth/token",
        settings.base_url
    ))?;
    line(&format!("operations  http://{}   /healthz /readyz /metrics", settings.ops_listen))?;
    line(&format!("control     http://{}   /api/v1, for `clients:`", settings.api_listen))?;
    line(&format!("data        {}", settings.data.display()))?;
    let world = app.gate.world();
    for (agent, until) in ops::observed(app) {
        line(&format!(
            "OBSERVE     agent `{agent}` is not held back until {until}: what would be denied is recorded and passes"
        ))?;
    }
    if let Some(agent) = world.compiled.agents().next().filter(|_| settings.form.is_development()) {
        line(&format!(
            "next        ambit token --agent {agent} --audience {}/mcp/UPSTREAM --data {}",
            settings.base_url,
            settings.data.display()
        ))?;
        line(&format!("            ambit trace list --data {}", settings.data.display()))?;
    }
    output.line(&format!("ready {}", settings.base_url))?;
    Ok(())
}

/// Rotates keys, looks again for definitions, renews the checkpoint.
async fn upkeep(app: Arc<App>, stop: tokio_util::sync::CancellationToken) {
    let mut beat = tokio::time::interval(limits::UPKEEP);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut told = String::new();
    loop {
        tokio::select! {
            _ = beat.tick() => {}
            () = stop.cancelled() => return,
        }
        if app.settings.tls.is_some()
            && let Err(error) = app.ensure_authority().await
        {
            tracing::error!(%error, "the certificate authority could not be renewed");
        }
        if let Err(error) = app.rotate_if_due().await {
            tracing::error!(%error, "the token-signing key could not be rotated");
        }
        if let Err(error) = app.forget_ended_tokens().await {
            tracing::error!(%error, "ended tokens could not be dropped from control state");
        }
        if let Err(error) = app.note_key_ages().await {
            tracing::error!(%error, "the ages of agents' keys could not be noted");
        }
        app.announce_aging_keys();
        pins::pin_again(&app).await;
        remind_of_observation(&app, &mut told);
        if let Err(error) = app.store.checkpoint(app.clock.now()) {
            tracing::error!(%error, "no checkpoint could be signed");
        }
    }
}

/// Stops whom time alone stops: drafts that end, owners that nobody confirms, reviews that are overdue.
async fn keep_registry(app: Arc<App>, stop: tokio_util::sync::CancellationToken) {
    let (least, most) = limits::REGISTRY_BEAT;
    loop {
        let left = app.next_due().map(|at| at.since(app.clock.now()).0);
        let left = left.and_then(|left| u64::try_from(left).ok());
        let wait = left.map_or(most, std::time::Duration::from_micros).clamp(least, most);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = app.moved.notified() => continue,
            () = stop.cancelled() => return,
        }
        if let Err(error) = app.register().await {
            tracing::error!(%error, "the registry could not be brought up to the time");
        }
    }
}

/// Says once a day which observations end soon.
fn remind_of_observation(app: &App, told: &mut String) {
    let now = app.clock.now();
    let today: String = now.to_string().chars().take(10).collect();
    if *told == today {
        return;
    }
    let world = app.gate.world();
    for entry in world.compiled.agents().filter_map(|name| world.compiled.agent(name)) {
        let until = entry.declared.observe_until.filter(|_| entry.observes(now));
        if until.is_some_and(|until| until <= now.after(limits::OBSERVE_WARNING)) {
            tracing::warn!(agent = %entry.name, "the observation of an agent ends within three days: `ambit report would` says what it would lose");
        }
    }
    *told = today;
}

async fn stopped() -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(SignalKind::terminate())?;
    tokio::select! {
        ended = tokio::signal::ctrl_c() => ended?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
