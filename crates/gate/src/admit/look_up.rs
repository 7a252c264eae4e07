//! Finds the action in the catalog as this agent sees it, and types its arguments.

use crate::{ActionRequest, Gate, Refusal, World, settle};
use identity::Actor;
use model::{ActionId, Code, UpstreamName};
use policy::{Call, CatalogEntry};

/// What this actor finds in a list: what its agent may see, as far as its token reaches.
pub(crate) fn visible<'a>(
    gate: &Gate,
    world: &'a World,
    actor: &'a Actor,
    upstream: &UpstreamName,
) -> impl Iterator<Item = &'a CatalogEntry> + use<'a> {
    let all = world.compiled.visible(actor.agent(), upstream, gate.clock.now());
    all.filter(|entry| actor.reaches(&entry.id))
}

/// What is not in the agent's catalog does not exist; what is, gets its arguments checked.
pub async fn look_up(
    gate: &Gate,
    world: &World,
    actor: &Actor,
    request: &ActionRequest,
) -> Result<Call, Refusal> {
    let action = ActionId::new(request.upstream.clone(), &request.operation).ok();
    // What the token does not reach is as hidden as what its agent does not.
    let action = action.filter(|action| actor.reaches(action));
    let slice = action.as_ref().and_then(|action| world.compiled.slice(&actor.version(), action));
    let slice = slice.filter(|slice| slice.exists(gate.clock.now()));
    let Some(slice) = slice else {
        return Err(settle::refuse(gate, world, actor, request, Code::NotInCatalog, None).await);
    };
    if action.is_some_and(|action| world.quarantined.contains(&action)) {
        return Err(
            settle::refuse(gate, world, actor, request, Code::DefinitionChanged, None).await
        );
    }
    if world.registry.is_draft(actor.agent()) && slice.entry().action.risk != model::RiskTier::Low {
        return Err(settle::refuse(gate, world, actor, request, Code::DraftLimited, None).await);
    }
    match slice.look_up(request.arguments.clone()) {
        Ok(call) => {
            let stops = gate.stops.current();
            let obeyed = gate.settings.guards.revocation && !stops.is_empty();
            if obeyed && call.is_stopped(|subject| stops.contains(subject)) {
                return Err(settle::refuse(gate, world, actor, request, Code::Frozen, None).await);
            }
            Ok(call)
        }
        Err(error) => {
            let detail = Some(error.to_string());
            Err(settle::refuse(gate, world, actor, request, Code::ArgumentsInvalid, detail).await)
        }
    }
}
