//! Gathers what the decision may read beside actor and call.

use crate::{ActionRequest, Gate, World, admit::Tasks};
use identity::Actor;
use model::EntryId;
use policy::Facts;

/// The facts of this call, without any approval.
pub fn context(
    gate: &Gate,
    world: &World,
    actor: &Actor,
    tasks: Tasks,
    request: &ActionRequest,
) -> Facts {
    let now = gate.clock.now();
    Facts {
        entry: EntryId::new(now, gate.random()),
        trace: request.trace,
        now,
        control_revision: world.revision,
        development: gate.settings.development,
        user_groups: actor
            .user()
            .and_then(|user| world.people.get(user).cloned())
            .unwrap_or_default(),
        task: tasks.task,
        within: tasks.within,
        approval: None,
        edge: request.edge.as_str(),
        uncapped: !gate.settings.guards.bearer,
    }
}
