//! What can be asked of a gate, each as one function over its parts: served over the control socket, or directly.

mod agents;
mod apply;
mod certificates;
mod clients;
mod decommission;
mod doctor;
mod holds;
mod keys;
mod ledger;
mod pin;
mod registry;
mod review;
mod revisions;
mod secrets;
mod selector;
mod tasks;
mod tokens;
mod traces;
mod why;
mod would;

pub(crate) use apply::{How, apply_as, apply_files, compare};
pub(crate) use holds::{calls_ended, end_task};
pub(crate) use ledger::{Verified, leave_key, verify};
pub(crate) use review::Approval;
pub(crate) use revisions::{are_in_force, has_revision, was_rolled_back};
pub(crate) use traces::{envelope, records};

use crate::{
    app::App,
    control::{Failed, Request},
    exit::Exit,
};
use model::{AgentName, Duration, Name, Timestamp, declared::Proof};
use policy::Compiled;
use serde_json::{Value, json};
use std::sync::Arc;

/// Serves one request. Everything that changes something is recorded before it is answered.
pub(crate) async fn serve(app: &Arc<App>, request: Request) -> anyhow::Result<Value> {
    match request {
        Request::Status => Ok(status(app)),
        Request::Token { agent, audience, task, url, method } => {
            tokens::issue(app, &agent, &audience, task.as_deref(), (url.as_deref(), &method)).await
        }
        request @ (Request::AgentList
        | Request::AgentShow { .. }
        | Request::AgentKey { .. }
        | Request::AgentCert { .. }
        | Request::AgentSuspend { .. }
        | Request::AgentResume { .. }
        | Request::AgentReview { .. }
        | Request::AgentHandIn { .. }
        | Request::AgentEnrol { .. }
        | Request::AgentInstances { .. }
        | Request::AgentDecommission { .. }
        | Request::AgentResidual { .. }
        | Request::OwnerKey { .. }
        | Request::OwnerConfirm { .. }
        | Request::OwnerList) => serve_registry(app, request).await,
        Request::ClientKey { client } => clients::key(app, &client).await,
        Request::TaskOpen { agent, intent, user, trigger, params } => {
            tasks::open(app, (&agent, &intent), (user, trigger), params).await
        }
        Request::Freeze { selector, effects, reason } => {
            holds::freeze(app, &selector, &effects, reason).await
        }
        Request::Unfreeze { selector, effects, reason } => {
            holds::unfreeze(app, &selector, &effects, reason).await
        }
        Request::FreezeList => Ok(holds::list(app)),
        Request::Revoke { kind, name, reason } => holds::revoke(app, kind, &name, reason).await,
        Request::KeyCreate(wish) => keys::create(app, wish).await,
        Request::KeyList { agent } => keys::list(app, agent.as_deref()),
        Request::KeyRotate { authority: true, withdraw } => {
            holds::rotate_authority(app, withdraw).await
        }
        Request::KeyRotate { authority: false, withdraw } => holds::rotate_key(app, withdraw).await,
        Request::Apply { files, reason, skip_tests } => {
            let reason = reason.unwrap_or_else(|| format!("`{}` applied", files.path));
            apply::apply(app, files, How { what: "apply", reason, skip_tests, only_narrows: false })
                .await
        }
        Request::Diff { files } => apply::difference(app, files),
        Request::History => Ok(revisions::history(app)),
        Request::Rollback { revision, reason, skip_tests } => {
            revisions::rollback(app, &revision, reason, skip_tests).await
        }
        Request::Export => revisions::export(app),
        Request::TraceList { which, limit } => traces::list(app, &which, limit).await,
        Request::TraceTail { which, after } => traces::tail(app, &which, after).await,
        Request::Doctor => doctor::doctor(app).await,
        Request::TraceShow { trace } => traces::show(app, &trace).await,
        Request::ReportWould { agent, since } => {
            would::report(app, &agent, moment(app, &since)?).await
        }
        Request::Why { trace, agent, handle } => explain(app, trace, agent, handle).await,
        Request::LedgerKey => Ok(json!({ "vkey": app.store.vkey() })),
        Request::LedgerCheckpoint => ledger::checkpoint(app),
        Request::LedgerExport { file } => ledger::export(app, &file),
        Request::UpstreamPin { name } => pin::pin(app, &name).await,
        Request::UpstreamCredential { name, confirm } => pin::credential(app, &name, confirm).await,
        Request::SecretSet { name, user, value } => secrets::set(app, &name, user, &value).await,
        Request::SecretList => secrets::list(app),
        Request::SecretRemove { name, user, force } => secrets::rm(app, &name, user, force).await,
    }
}

async fn explain(
    app: &App,
    trace: Option<String>,
    agent: Option<String>,
    handle: Option<String>,
) -> anyhow::Result<Value> {
    let of = match handle {
        Some(handle) => Some(why::of_handle(app, &handle).await?),
        None => trace,
    };
    why::why(app, of.as_deref(), agent).await
}

/// Serves what is asked of agents and of who answers for them.
async fn serve_registry(app: &Arc<App>, request: Request) -> anyhow::Result<Value> {
    match request {
        Request::AgentCert { agent, csr } => certificates::sign(app, &agent, &csr).await,
        Request::AgentList => agents::list(app),
        Request::AgentShow { agent } => agents::show(app, &agent),
        Request::AgentKey { agent } => agents::key(app, &agent).await,
        Request::AgentSuspend { agent, reason } => registry::suspend(app, &agent, reason).await,
        Request::AgentResume { agent, reason } => registry::resume(app, &agent, reason).await,
        Request::AgentReview { agent, approval: None } => review::page(app, &agent),
        Request::AgentReview { agent, approval: Some(approval) } => {
            review::approve(app, &agent, approval).await
        }
        Request::OwnerKey { name, jwk } => review::key(app, &name, &jwk).await,
        Request::AgentHandIn { agent } => registry::hand_in(app, &agent).await,
        Request::AgentEnrol { agent } => registry::enrol(app, &agent).await,
        Request::AgentInstances { agent } => registry::instances(app, &agent),
        Request::AgentResidual { agent } => decommission::left(app, &agent).await,
        Request::AgentDecommission { agent, reason, yes } => {
            decommission::decommission(app, &agent, reason, yes).await
        }
        Request::OwnerConfirm { name } => registry::confirm(app, &name).await,
        Request::OwnerList => registry::owners(app),
        other => anyhow::bail!("`{other:?}` is not about agents"),
    }
}

fn status(app: &App) -> Value {
    let world = app.gate.world();
    json!({
        "running": true,
        "version": env!("CARGO_PKG_VERSION"),
        "boundary": app.settings.form.as_str(),
        "pid": std::process::id(),
        "base_url": app.settings.base_url,
        "tls": app.settings.tls.is_some(),
        "ops": app.settings.ops_listen.to_string(),
        "api": crate::api::audience(app),
        "data": app.settings.data.display().to_string(),
        "database": app.settings.database.as_ref().map(ToString::to_string),
        "config": app.settings.config.display().to_string(),
        "admitting": app.gate.is_admitting(),
        "control_revision": world.revision,
        "policies": world.compiled.digest().to_string(),
        "agents": world.compiled.declared().agents.len(),
        "frozen": holds::list(app),
        "observed": observed(app).into_iter().map(|(agent, until)| json!({ "agent": agent, "until": until })).collect::<Vec<_>>(),
        "bearer": json!({
            "agents": bearers(app),
            "tokens": app.gate.bearer_tokens(),
            "calls": app.gate.metrics().bearer_calls(),
        }),
        "records": app.store.size(),
        "stopped": app.store.stopped(),
    })
}

/// Agents whose tokens work for whoever holds them.
pub(crate) fn bearers(app: &App) -> Vec<String> {
    let world = app.gate.world();
    let agents = &world.compiled.declared().agents;
    let bearers = agents.iter().filter(|(_, agent)| agent.credentials.proof == Proof::None);
    bearers.map(|(name, _)| name.to_string()).collect()
}

/// Agents that nothing holds back, with the day on which that ends.
pub(crate) fn observed(app: &App) -> Vec<(String, String)> {
    let (world, now) = (app.gate.world(), app.clock.now());
    let agents = world.compiled.agents().filter_map(|name| world.compiled.agent(name));
    let observed = agents.filter(|entry| entry.observes(now));
    let row = |entry: &policy::AgentEntry| {
        Some((entry.name.to_string(), agents::day(entry.declared.observe_until?)))
    };
    observed.filter_map(row).collect()
}

/// A moment as people write it: a span before now (`7d`), a day, or a time (RFC 3339).
pub(super) fn moment(app: &App, text: &str) -> anyhow::Result<Timestamp> {
    if let Some(span) = Duration::parse(text) {
        return Ok(Timestamp(app.clock.now().0.saturating_sub(span.0)));
    }
    let time = text.parse::<jiff::Timestamp>().ok().map(|at| Timestamp(at.as_microsecond()));
    time.or_else(|| Timestamp::from_date(text)).ok_or_else(|| {
        usage(format!("`{text}` is no time: write `7d`, `2026-12-15` or `2026-12-15T08:00:00Z`"))
    })
}

/// A registered agent's name.
fn agent_name(compiled: &Compiled, text: &str) -> anyhow::Result<AgentName> {
    let known = || {
        let names: Vec<&str> = compiled.declared().agents.keys().map(Name::as_str).collect();
        if names.is_empty() {
            "no agent is registered".to_owned()
        } else {
            format!("known: {}", names.join(", "))
        }
    };
    let name = Name::new(text).ok().filter(|name| compiled.agent(name).is_some());
    name.ok_or_else(|| usage(format!("no agent `{text}`; {}", known())))
}

/// Whether an error is a mistake of who asked.
pub(crate) fn is_usage(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Failed>().is_some_and(|failed| failed.exit == Exit::Usage)
}

/// A mistake of who asked.
pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
    Failed { exit: Exit::Usage, message: message.into() }.into()
}
