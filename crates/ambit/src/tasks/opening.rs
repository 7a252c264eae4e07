//! Whether a task may be opened, and its opening.

use super::{
    params,
    record::{Around, NotOpened, Opened, Told},
};
use crate::{app::App, limits};
use ledger::AppendError;
use model::{
    AgentName, Code, Digest, Name, OpenedBy, TaskId, Timestamp, UserName,
    record::{Condition, Recordable, StateChange},
};
use policy::{TaskFacts, Trigger, narrows, subject_digest};
use serde_json::{Map, Value};
use std::sync::Arc;

/// A task that is asked for, by somebody who was authenticated.
pub(crate) struct Opening {
    pub(crate) agent: AgentName,
    pub(crate) intent: Option<Name>,
    pub(crate) params: Map<String, Value>,
    pub(crate) user: Option<UserName>,
    pub(crate) told: Told,
    pub(crate) trigger: Trigger,
    pub(crate) body: Option<String>,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) instance: Option<String>,
    pub(crate) opened_by: OpenedBy,
    pub(crate) client: Option<Name>,
    /// The task that it is to lie within, and that one's ancestors.
    pub(crate) within: Vec<Arc<TaskFacts>>,
}

/// What a request uses up, and who else must stand when it is answered.
#[derive(Clone, Default)]
pub(crate) struct Use {
    pub(crate) uses: Vec<(Digest, Timestamp)>,
    pub(crate) subjects: Vec<Digest>,
    /// The row that remembers the request by its idempotency key, without its task.
    pub(crate) remembered: Option<(String, Digest)>,
    /// The control revision that everything was read at.
    pub(crate) revision: u64,
    /// What was asked for, cut, for the record of a refusal.
    pub(crate) asked: String,
}

/// Why no task was opened.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The request is wrong in itself.
    Wrong(String),
    /// Whoever asked may not.
    Denied(Code, String),
    /// It was asked with a proof or key that was used before.
    Used,
    /// It could not be recorded.
    Unrecorded(Code, String),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refused::Wrong(what) | Refused::Denied(_, what) | Refused::Unrecorded(_, what) => {
                f.write_str(what)
            }
            Refused::Used => f.write_str("the proof or the idempotency key was used before"),
        }
    }
}

impl std::error::Error for Refused {}

/// Opens a task. A refusal is recorded before it is told.
pub(crate) async fn open(app: &App, opening: Opening, using: Use) -> Result<TaskFacts, Refused> {
    let (agent, client) = (opening.agent.clone(), opening.client.clone());
    let (body, told) = (opening.body.clone(), opening.told);
    let around = |using: Use| Around {
        boundary: app.settings.form.as_str(),
        told,
        revision: using.revision,
        uses: using.uses,
        subjects: using.subjects,
    };
    let decided = decide(app, opening).map(|task| {
        let version = app.gate.world().compiled.agent(&task.agent).map(|entry| entry.version);
        (task, version.unwrap_or_default())
    });
    let (task, version) = match decided {
        Ok(decided) => decided,
        Err(refused) => return Err(refuse(app, (agent, client), refused, using, told).await),
    };
    let remembered = using.remembered.as_ref().map(|(key, request)| StateChange {
        key: key.clone(),
        value: Some(remember(&task, request)),
    });
    let opened = Opened { task: task.clone(), version, body, around: around(using), remembered };
    append(app, opened).await.map(|()| task)
}

/// What is remembered of a request: its digest, and the task that came of it.
fn remember(task: &TaskFacts, request: &Digest) -> Vec<u8> {
    gate::json::object([
        ("request", request.to_string().into()),
        ("task", task.id.to_string().into()),
        ("v", canonical::Value::Integer(1)),
    ])
    .to_bytes()
}

/// Records that nothing was opened.
pub(crate) async fn refuse(
    app: &App,
    (agent, client): (AgentName, Option<Name>),
    refused: Refused,
    using: Use,
    told: Told,
) -> Refused {
    let code = match &refused {
        Refused::Wrong(_) => Code::ArgumentsInvalid,
        Refused::Denied(code, _) => *code,
        Refused::Used | Refused::Unrecorded(..) => return refused,
    };
    let around = Around {
        boundary: app.settings.form.as_str(),
        told,
        revision: using.revision,
        uses: using.uses,
        subjects: Vec::new(),
    };
    let detail = refused.to_string();
    let record = NotOpened { agent, client, code, asked: using.asked, detail, around };
    match append(app, record).await {
        Ok(()) => refused,
        Err(unrecorded) => unrecorded,
    }
}

/// Writes a record before its answer is told.
pub(crate) async fn append<T>(app: &App, record: T) -> Result<(), Refused>
where
    T: Recordable + Send + Unpin + 'static,
{
    let why = |error: &AppendError| match error {
        AppendError::Failed(Condition::Unused { .. }) => Refused::Used,
        AppendError::Moved => {
            Refused::Denied(Code::Revoked, "somebody named in it was stopped meanwhile".to_owned())
        }
        AppendError::Saturated => {
            Refused::Unrecorded(Code::Saturated, "the gateway is busy: try again".to_owned())
        }
        error => Refused::Unrecorded(
            Code::Unrecorded,
            format!("it cannot be recorded, so it was not done: {error}"),
        ),
    };
    let pending = app.store.journal().append(record, app.stamp());
    let durable = pending.map_err(|failed| why(&failed.error))?.await;
    durable.map(drop).map_err(|failed| why(&failed.error))
}

fn decide(app: &App, opening: Opening) -> Result<TaskFacts, Refused> {
    let world = app.gate.world();
    may_act(app, &world, &opening)?;
    let params = params_of(&world, &opening)?;
    let now = app.clock.now();
    let parent = opening.within.first().cloned();
    let latest = now.after(limits::TASK_LIFE);
    let latest = parent.as_ref().map_or(latest, |parent| latest.min(parent.expires));
    let expires = opening.expires.unwrap_or(latest);
    if expires <= now || expires > latest {
        let what = format!("a task ends after now and by {latest} at the latest");
        return Err(Refused::Wrong(what));
    }
    let depth = opening.within.len();
    let task = TaskFacts {
        id: TaskId::new(now, app.random()),
        agent: opening.agent,
        instance: opening.instance,
        user: opening.user,
        intent: opening.intent,
        params: canonical::Value::Object(params),
        expires,
        trigger: opening.trigger,
        opened_by: opening.opened_by,
        client: opening.client,
        parent: parent.as_ref().map(|parent| parent.id),
    };
    if let Some(parent) = parent {
        narrows(&task, &parent)
            .map_err(|widens| Refused::Denied(Code::OutsideIntent, widens.to_string()))?;
        if depth >= gate::limits::TASK_DEPTH {
            let what = format!("tasks lie at most {} deep", gate::limits::TASK_DEPTH);
            return Err(Refused::Denied(Code::OutsideIntent, what));
        }
    }
    Ok(task)
}

/// Whether the agent may act at all, and for this human.
fn may_act(app: &App, world: &gate::World, opening: &Opening) -> Result<(), Refused> {
    let Opening { agent, user, .. } = opening;
    let entry = world.compiled.agent(agent);
    let entry = entry.ok_or_else(|| Refused::Wrong(format!("no agent `{agent}`")))?;
    // The entry's condition sees what is revoked from now on; what is revoked already is seen here.
    let mut subjects =
        user.iter().map(|user| subject_digest("user", user.as_str())).chain(entry.subjects());
    if subjects.any(|subject| app.gate.is_revoked(&subject)) {
        let what = format!("no task for agent `{agent}`: it, or its user, is frozen or revoked");
        return Err(Refused::Denied(Code::Revoked, what));
    }
    let not_served = |what: String| Err(Refused::Denied(Code::UserNotServed, what));
    match (user, &entry.declared.users) {
        (None, Some(_)) => not_served(format!("agent `{agent}` acts for people: say for whom")),
        (Some(user), _) if opening.told != Told::Operator => {
            let groups = world.people.get(user).cloned().unwrap_or_default();
            if entry.serves(user, &groups) {
                return Ok(());
            }
            not_served(format!("agent `{agent}` does not serve this human"))
        }
        (Some(_), _) | (None, None) => Ok(()),
    }
}

fn params_of(world: &gate::World, opening: &Opening) -> Result<canonical::Object, Refused> {
    let Some(name) = &opening.intent else {
        if opening.params.is_empty() {
            return Ok(canonical::Object::new());
        }
        return Err(Refused::Wrong("parameters belong to an intent: name it".to_owned()));
    };
    let intent = world.compiled.declared().intents.get(name);
    let intent = intent.ok_or_else(|| Refused::Wrong(format!("no intent `{name}` is declared")))?;
    params::typed(name, intent, &opening.params).map_err(Refused::Wrong)
}
