//! Resolves the actor's standing: registered, current version, not revoked; and the task it works on.

use crate::{ActionRequest, Gate, Refusal, World, settle};
use identity::Actor;
use model::{Code, UpstreamName};
use policy::{TaskFacts, everything, subject_digest};
use std::sync::Arc;

/// Checks that the actor may act at all, and finds its task.
pub async fn identify(
    gate: &Gate,
    world: &World,
    actor: &Actor,
    request: &ActionRequest,
) -> Result<Option<Arc<TaskFacts>>, Refusal> {
    if let Err(code) = standing(gate, world, actor, Some(&request.upstream)) {
        return Err(settle::refuse(gate, world, actor, request, code, None).await);
    }
    match task(gate, actor, request) {
        Ok(task) => Ok(task),
        Err((code, detail)) => {
            Err(settle::refuse(gate, world, actor, request, code, Some(detail.into())).await)
        }
    }
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
    stopped(gate, current, actor, upstream)?;
    // Last, because it alone lets an agent look at what it may do now.
    if current.version == actor.version() { Ok(()) } else { Err(Code::VersionChanged) }
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
    let task = actor.task().map(|task| task.to_string());
    let version = actor.version().to_string();
    let subjects = [
        ("token", Some(token.as_str())),
        ("version", Some(version.as_str())),
        ("instance", actor.instance()),
        ("task", task.as_deref()),
        ("user", actor.user().map(model::UserName::as_str)),
    ];
    let named = |(kind, name): &(&str, Option<&str>)| {
        name.is_some_and(|name| stops.contains(&subject_digest(kind, name)))
    };
    if current.subjects().iter().any(|subject| stops.contains(subject))
        || subjects.iter().any(named)
    {
        return Err(Code::Revoked);
    }
    let place = upstream.map(|upstream| subject_digest("upstream", upstream.as_str()));
    if place.is_some_and(|place| stops.contains(&place)) || stops.contains(&everything()) {
        return Err(Code::Frozen);
    }
    Ok(())
}

fn task(
    gate: &Gate,
    actor: &Actor,
    request: &ActionRequest,
) -> Result<Option<Arc<TaskFacts>>, (Code, &'static str)> {
    let of_token = actor.task();
    if request.task.is_some() && request.task != of_token {
        return Err((Code::OutsideIntent, "the task reference is not the task of the token"));
    }
    let Some(id) = of_token else { return Ok(None) };
    let gone = (Code::OutsideIntent, "the task of the token does not exist or has ended");
    let task = match gate.tasks.get(&id) {
        Some(task) => task,
        None => {
            let row = gate.store.live(&format!("task/{id}")).ok_or(gone)?;
            let task = Arc::new(TaskFacts::from_bytes(&row).map_err(|_| gone)?);
            gate.tasks.insert(id, Arc::clone(&task));
            task
        }
    };
    let fits = task.agent == *actor.agent() && task.user.as_ref() == actor.user();
    if !fits || task.expires <= gate.clock.now() {
        return Err(gone);
    }
    Ok(Some(task))
}
