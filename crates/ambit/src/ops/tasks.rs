//! Opens tasks: what for, for whom, with which parameters, and what set it off. Recorded before its id is told.

use super::{agent_name, usage};
use crate::{app::App, control::Failed, exit::Exit, limits, settings::Form};
use canonical::Object;
use model::{
    Digest, Name, OpenedBy, TaskId, UserName,
    declared::{Intent, ParamType},
    record::{Condition, KeyScope, Parts, RecordKind, Recordable, StateChange},
};
use policy::{TaskFacts, Trigger};
use serde_json::{Map, Value, json};

/// What was asked for.
pub(super) struct Asked {
    pub(super) agent: String,
    pub(super) intent: String,
    pub(super) user: Option<String>,
    pub(super) trigger: String,
    pub(super) params: Map<String, Value>,
}

/// Opens a task.
pub(super) async fn open(app: &App, asked: Asked) -> anyhow::Result<Value> {
    let world = app.gate.world();
    let agent = agent_name(&world.compiled, &asked.agent)?;
    let declared = world.compiled.declared();
    let intent =
        Name::new(&asked.intent).ok().and_then(|name| Some((declared.intents.get(&name)?, name)));
    let (intent, name) =
        intent.ok_or_else(|| usage(format!("no intent `{}` is declared", asked.intent)))?;
    let user = asked.user.as_deref().map(UserName::new).transpose()?;
    // The entry's condition sees what is revoked from now on; what is revoked already is seen here.
    let agent_subject = policy::subject_digest("agent", agent.as_str());
    let mut subjects = user
        .iter()
        .map(|user| policy::subject_digest("user", user.as_str()))
        .chain([agent_subject]);
    if subjects.any(|subject| app.gate.is_revoked(&subject)) {
        let message = format!("no task for agent `{agent}`: it, or its user, is frozen or revoked");
        return Err(Failed { exit: Exit::Denied, message }.into());
    }
    let served = declared.agents.get(&agent).and_then(|agent| agent.users.as_ref());
    if served.is_some() && user.is_none() {
        return Err(usage(format!(
            "agent `{agent}` acts for people: say for whom with `--for USER`"
        )));
    }
    anyhow::ensure!(
        asked.trigger.len() <= limits::TRIGGER_BYTES,
        "the trigger is longer than {} bytes",
        limits::TRIGGER_BYTES
    );
    let params = params(&name, intent, &asked.params)?;
    let now = app.clock.now();
    let version = world.compiled.agent(&agent).map(|entry| entry.version).unwrap_or_default();
    let task = TaskFacts {
        id: TaskId::new(now, app.random()),
        agent,
        user,
        intent: Some(name),
        params: canonical::Value::Object(params),
        expires: now.after(limits::TASK_LIFE),
        trigger: Trigger::named(asked.trigger),
        instance: None,
        opened_by: OpenedBy::Operator,
        client: None,
        parent: None,
    };
    let answer = json!({
        "task": task.id.to_string(),
        "agent": task.agent.as_str(),
        "version": version.to_string(),
        "intent": task.intent.as_ref().map(Name::as_str),
        "user": task.user.as_ref().map(UserName::as_str),
        "params": asked.params,
        "expires": task.expires.to_string(),
    });
    let form = app.settings.form;
    let opened = Opened { form, task, version, revision: world.revision };
    let pending = app.store.journal().append(opened, app.stamp());
    let pending =
        pending.map_err(|failed| anyhow::anyhow!("the task was not opened: {}", failed.error))?;
    let durable = pending
        .await
        .map_err(|failed| anyhow::anyhow!("the task was not opened: {}", failed.error))?;
    drop(durable);
    Ok(answer)
}

/// Exactly the declared parameters, each of its type.
fn params(name: &Name, intent: &Intent, given: &Map<String, Value>) -> anyhow::Result<Object> {
    let mut params = Object::new();
    for (param, kind) in &intent.params {
        let value =
            given.get(param).ok_or_else(|| usage(format!("intent `{name}` needs `{param}=…`")))?;
        let value = match (kind, value) {
            (ParamType::String, Value::String(text)) => Some(canonical::Value::from(text.as_str())),
            (ParamType::Boolean, Value::Bool(truth)) => Some(canonical::Value::Bool(*truth)),
            (ParamType::Integer, Value::Number(number)) => {
                number.as_i64().and_then(|number| canonical::Value::try_from(number).ok())
            }
            // What is typed without `:=` is text; a parameter's type says what the text means.
            (ParamType::Integer, Value::String(text)) => {
                text.parse::<i64>().ok().and_then(|number| canonical::Value::try_from(number).ok())
            }
            (ParamType::Boolean, Value::String(text)) => {
                text.parse().ok().map(canonical::Value::Bool)
            }
            _ => None,
        };
        let value = value
            .ok_or_else(|| usage(format!("`{param}` of intent `{name}` is of another type")))?;
        params.insert(param.as_str(), value)?;
    }
    if let Some(unknown) = given.keys().find(|param| !intent.params.contains_key(*param)) {
        return Err(usage(format!("intent `{name}` has no parameter `{unknown}`")));
    }
    Ok(params)
}

/// The record of an opened task.
struct Opened {
    form: Form,
    task: TaskFacts,
    version: Digest,
    revision: u64,
}

impl Recordable for Opened {
    fn kind(&self) -> RecordKind {
        RecordKind::Task
    }

    fn scope(&self) -> KeyScope {
        let human = self.task.user.as_ref().map(ToString::to_string).unwrap_or_default();
        KeyScope { tenant: String::new(), human }
    }

    fn parts(&self) -> Parts {
        let text =
            |name: Option<&Name>| name.map_or(canonical::Value::Null, |name| name.as_str().into());
        let envelope = gate::json::object([
            ("agent", self.task.agent.as_str().into()),
            ("boundary", self.form.as_str().into()),
            ("control_revision", self.revision.to_string().into()),
            ("expires", self.task.expires.to_string().into()),
            ("intent", text(self.task.intent.as_ref())),
            ("opened_by", "operator".into()),
            ("task", self.task.id.to_string().into()),
            ("v", canonical::Value::Integer(1)),
            ("version", self.version.to_string().into()),
            ("what", "task".into()),
        ]);
        let subject = gate::json::object([
            ("task_params", self.task.params.clone()),
            ("trigger", self.task.trigger.reference.as_str().into()),
            (
                "user",
                self.task.user.as_ref().map_or(canonical::Value::Null, |user| user.as_str().into()),
            ),
        ]);
        Parts { envelope: envelope.to_bytes(), subject: subject.to_bytes(), ..Parts::default() }
    }

    fn conditions(&self) -> Vec<Condition> {
        let agent = policy::subject_digest("agent", self.task.agent.as_str());
        let user = self.task.user.iter().map(|user| policy::subject_digest("user", user.as_str()));
        let subjects = std::iter::once(agent).chain(user).collect();
        vec![Condition::NotRevokedSince { subjects, decided_at: self.revision }]
    }

    fn changes(&self) -> Vec<StateChange> {
        vec![StateChange {
            key: format!("task/{}", self.task.id),
            value: Some(self.task.to_bytes()),
        }]
    }
}
