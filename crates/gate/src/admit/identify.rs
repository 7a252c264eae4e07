//! Resolves the actor's standing: registered, current version, not revoked; and the task it works on.

use super::task::{self, Tasks};
use crate::{ActionRequest, Gate, Refusal, World, settle};
use identity::{Actor, ScopedKey};
use model::{Ancestor, Code, Digest, Name, UpstreamName, network};
use policy::{TaskFacts, everything, subject_digest};
use std::sync::Arc;

/// Checks that the actor may act at all, and narrows it to its task.
pub async fn identify(
    gate: &Gate,
    world: &World,
    actor: &Actor,
    request: &ActionRequest,
) -> Result<(Actor, Tasks), Refusal> {
    if let Err(code) = standing(gate, world, actor, Some(&request.upstream)) {
        if code.is_alarm() {
            tracing::error!(agent = %actor.agent(), upstream = %request.upstream, code = code.slug(), "ALARM: a credential of another environment was used");
        }
        return Err(settle::refuse(gate, world, actor, request, code, None).await);
    }
    let (actor, tasks) = match task::resolve(gate, actor, request.task) {
        Ok(resolved) => resolved,
        Err((code, detail)) => {
            return Err(
                settle::refuse(gate, world, actor, request, code, Some(detail.into())).await
            );
        }
    };
    // Whom a reference names was not looked at before.
    let of_others = |stopped: &dyn Fn(&Digest) -> bool| {
        let task = |task: &Arc<TaskFacts>| stopped(&subject_digest("task", &task.id.to_string()));
        let user = actor.user().map(|user| subject_digest("user", user.as_str()));
        tasks.within.iter().any(task) || user.is_some_and(|user| stopped(&user))
    };
    if is_stopped(gate, of_others) {
        return Err(settle::refuse(gate, world, &actor, request, Code::Revoked, None).await);
    }
    Ok((actor, tasks))
}

/// Whether any of those is stopped whom this asks for.
pub(super) fn is_stopped(gate: &Gate, asks: impl FnOnce(&dyn Fn(&Digest) -> bool) -> bool) -> bool {
    let stops = gate.stops.current();
    let obeyed = gate.settings.guards.revocation && !stops.is_empty();
    obeyed && asks(&|subject| stops.contains(subject))
}

/// Refuses an agent that is unknown, another version, revoked or frozen, and what goes to a frozen upstream.
pub(crate) fn standing(
    gate: &Gate,
    world: &World,
    actor: &Actor,
    upstream: Option<&UpstreamName>,
) -> Result<(), Code> {
    let Some(current) = world.compiled.agent(actor.agent()) else {
        return Err(Code::CredentialInvalid);
    };
    if !network::admits(&current.declared.credentials.networks, actor.peer()) {
        return Err(Code::NetworkUnlisted);
    }
    if let Some(id) = actor.scoped_key() {
        // Gone is over: a key's row stays until its tokens have ended.
        let state = gate.store.state();
        let row = state.rows.get(&ScopedKey::row(actor.agent(), id)).ok_or(Code::Revoked)?;
        let key = ScopedKey::from_bytes(row).ok_or(Code::Revoked)?;
        if !network::admits(&key.networks, actor.peer()) {
            return Err(Code::NetworkUnlisted);
        }
    }
    stopped(gate, current, actor, upstream).map_err(|code| match code {
        // Whom the registry stopped is told so.
        Code::Revoked => world.registry.refused(actor.agent(), gate.clock.now()).unwrap_or(code),
        code => code,
    })?;
    if let Some(code) = world.registry.refused(actor.agent(), gate.clock.now()) {
        return Err(code);
    }
    let upstream = upstream.and_then(|name| world.compiled.declared().upstreams.get(name));
    let environment = upstream.and_then(|upstream| upstream.environment.as_ref());
    if let Some(code) = world.registry.refused_at(actor.agent(), environment) {
        return Err(code);
    }
    if world.registry.waits(actor.agent(), &actor.version()) {
        return Err(Code::VersionUnreviewed);
    }
    chain_stands(gate, world, actor, environment)?;
    // Last, because it alone lets an agent look at what it may do now.
    if world.compiled.version(&actor.version()) == Some(actor.agent()) {
        Ok(())
    } else {
        Err(Code::VersionChanged)
    }
}

/// Refuses what came of a token that would not be taken any more itself: what ends for an ancestor ends for all that
/// came of it (S20).
fn chain_stands(
    gate: &Gate,
    world: &World,
    actor: &Actor,
    environment: Option<&Name>,
) -> Result<(), Code> {
    for ancestor in actor.chain() {
        let Ancestor { agent, version, .. } = ancestor;
        let stopped = |stops: &dyn Fn(&Digest) -> bool| {
            policy::subjects_of(ancestor).any(|subject| stops(&subject))
        };
        if world.compiled.agent(agent).is_none() || is_stopped(gate, stopped) {
            return Err(Code::Revoked);
        }
        let registry = &world.registry;
        let refused = registry.refused(agent, gate.clock.now());
        if let Some(code) = refused.or_else(|| registry.refused_at(agent, environment)) {
            return Err(code);
        }
        if registry.waits(agent, version) {
            return Err(Code::VersionUnreviewed);
        }
        if world.compiled.version(version) != Some(agent) {
            return Err(Code::VersionChanged);
        }
    }
    Ok(())
}

/// Refuses whom somebody has stopped, and what goes to a stopped upstream.
fn stopped(
    gate: &Gate,
    current: &policy::AgentEntry,
    actor: &Actor,
    upstream: Option<&UpstreamName>,
) -> Result<(), Code> {
    let stops = gate.stops.current();
    if !gate.settings.guards.revocation || stops.is_empty() {
        return Ok(());
    }
    let token = actor.token().to_string();
    let version = actor.version().to_string();
    let subjects = [
        ("token", Some(token.as_str())),
        ("version", Some(version.as_str())),
        ("instance", actor.instance()),
        ("key", actor.scoped_key()),
        ("user", actor.user().map(model::UserName::as_str)),
    ];
    let named = |(kind, name): &(&str, Option<&str>)| {
        name.is_some_and(|name| stops.contains(&subject_digest(kind, name)))
    };
    // What ends a task ends those below it.
    let mut tasks = gate.line_of(actor.task()).into_iter();
    if current.subjects().iter().any(|subject| stops.contains(subject))
        || subjects.iter().any(named)
        || tasks.any(|task| stops.contains(&subject_digest("task", &task.to_string())))
    {
        return Err(Code::Revoked);
    }
    let place = upstream.map(|upstream| subject_digest("upstream", upstream.as_str()));
    if place.is_some_and(|place| stops.contains(&place)) || stops.contains(&everything()) {
        return Err(Code::Frozen);
    }
    Ok(())
}
