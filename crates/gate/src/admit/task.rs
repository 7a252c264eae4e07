//! Finds the task that a call is made under: the token's, or one that the call itself refers to, which only narrows.

use super::identify::is_stopped;
use crate::{Gate, limits};
use identity::Actor;
use model::{Code, TaskId, UserName};
use policy::{TaskFacts, subject_digest};
use std::sync::Arc;

/// The task of a call and all those whose reach bounds it.
#[derive(Default)]
pub struct Tasks {
    /// The task.
    pub task: Option<Arc<TaskFacts>>,
    /// Its ancestors, and the task of the token where the call refers to another one, with its ancestors.
    pub within: Vec<Arc<TaskFacts>>,
}

/// What is said of a token whose task is none.
const GONE: &str = "the task of the token does not exist or has ended";
/// What is said of every reference that does not count: whether there is such a task is nobody's to learn.
const REFERENCE: &str = "the task reference is not an open task of this agent";

/// Resolves the task, and narrows the actor to it. A reference is no credential: it counts only for the agent, the
/// instance and the human that its task was opened for, and everything that bounds the token bounds the call.
pub(super) fn resolve(
    gate: &Gate,
    actor: &Actor,
    reference: Option<TaskId>,
) -> Result<(Actor, Tasks), (Code, &'static str)> {
    let refused = |what| (Code::OutsideIntent, what);
    let own = actor.task_of_token();
    let mut within = match own {
        Some(id) => {
            let line = line(gate, actor, id).ok_or(refused(GONE))?;
            let user = line.first().and_then(|task| task.user.as_ref());
            if user != actor.user_of_token() {
                return Err(refused(GONE));
            }
            line
        }
        None => Vec::new(),
    };
    // What follows from a call is done under the call's own task.
    let named = reference.or_else(|| actor.task()).filter(|named| own != Some(*named));
    // Who acts on another's account was given the token's task, and no other.
    if named.is_some() && !actor.chain().is_empty() {
        return Err(refused(REFERENCE));
    }
    let Some(named) = named else {
        let task = (!within.is_empty()).then(|| within.remove(0));
        return Ok((actor.narrowed(None), Tasks { task, within }));
    };
    let mut line = line(gate, actor, named).ok_or(refused(REFERENCE))?;
    if is_stopped(gate, |stopped| line.iter().any(|task| stopped(&of_task(task.id)))) {
        return Err(refused(REFERENCE));
    }
    let task = line.remove(0);
    if !fits(actor, own, task.user.as_ref()) {
        return Err(refused(REFERENCE));
    }
    within.retain(|around| line.iter().all(|ancestor| ancestor.id != around.id));
    within.extend(line);
    let actor = actor.narrowed(Some((named, task.user.clone())));
    Ok((actor, Tasks { task: Some(task), within }))
}

/// Whether a call of this actor may be for this human. A token that names a human, or a task that is for nobody, is not
/// widened to another by a reference.
fn fits(actor: &Actor, own: Option<TaskId>, user: Option<&UserName>) -> bool {
    match (actor.user_of_token(), own) {
        (None, None) => true,
        (of_token, _) => of_token == user,
    }
}

/// The subject that the end of a task names.
fn of_task(id: TaskId) -> model::Digest {
    subject_digest("task", &id.to_string())
}

/// A task and its ancestors, if all of them are this agent's and this instance's, and none has expired.
fn line(gate: &Gate, actor: &Actor, id: TaskId) -> Option<Vec<Arc<TaskFacts>>> {
    let now = gate.clock.now();
    let mut line = Vec::new();
    let mut next = Some(id);
    while let Some(id) = next {
        if line.len() >= limits::TASK_DEPTH {
            return None;
        }
        let task = gate.task(id)?;
        // Along a chain the task stays that of the agent and the instance that it was opened for.
        let (agent, instance) = actor.origin();
        let is_ours = task.agent == *agent
            && task.instance.as_deref().is_none_or(|one| instance == Some(one));
        if !is_ours || task.expires <= now {
            return None;
        }
        next = task.parent;
        line.push(task);
    }
    Some(line)
}

impl Gate {
    /// An open task of this agent, which this instance may work on for the token's human, and its ancestors.
    #[must_use]
    pub fn task_of(&self, actor: &Actor, id: TaskId) -> Option<Vec<Arc<TaskFacts>>> {
        let (actor, Tasks { task, within }) = resolve(self, actor, Some(id)).ok()?;
        let line = line(self, &actor, id).filter(|_| task.is_some_and(|task| task.id == id))?;
        let stopped = is_stopped(self, |stopped| {
            let all = line.iter().chain(&within);
            let user = actor.user().map(|user| subject_digest("user", user.as_str()));
            all.map(|task| of_task(task.id)).chain(user).any(|subject| stopped(&subject))
        });
        (!stopped).then_some(line)
    }

    /// A task and its ancestors, whoever's they are, as far as they are known.
    #[must_use]
    pub fn line_of(&self, task: Option<TaskId>) -> Vec<TaskId> {
        let above = |id: &TaskId| self.task(*id).and_then(|task| task.parent);
        std::iter::successors(task, above).take(limits::TASK_DEPTH).collect()
    }

    /// A task as it was opened; ended ones too.
    #[must_use]
    pub fn task(&self, id: TaskId) -> Option<Arc<TaskFacts>> {
        if let Some(task) = self.tasks.get(&id) {
            return Some(task);
        }
        let row = self.store.live(&format!("task/{id}"))?;
        let task = Arc::new(TaskFacts::from_bytes(&row).ok()?);
        self.tasks.insert(id, Arc::clone(&task));
        Some(task)
    }
}
