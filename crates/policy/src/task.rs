//! A task as it was opened, its form in rows and records, and what may be opened below it.

use crate::facts::{FactsError, Members, object};
use canonical::Value;
use model::{
    AgentName, Digest, InputTrust, Name, OpenedBy, TaskId, Timestamp, TriggerKind, UserName,
};

/// A task as it was opened. It never changes; its end is a revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFacts {
    /// The task.
    pub id: TaskId,
    /// Who works on it.
    pub agent: AgentName,
    /// The only instance that may, by the thumbprint of its key; `None`: any.
    pub instance: Option<String>,
    /// For whom.
    pub user: Option<UserName>,
    /// What kind of task it is.
    pub intent: Option<Name>,
    /// The values of the intent's parameters, an object.
    pub params: Value,
    /// Until when.
    pub expires: Timestamp,
    /// What caused it.
    pub trigger: Trigger,
    /// Who opened it.
    pub opened_by: OpenedBy,
    /// The orchestrator, if one did.
    pub client: Option<Name>,
    /// The task that it lies within.
    pub parent: Option<TaskId>,
}

/// What caused a task. Its text is a payload and stands in the task's record alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// What kind of thing.
    pub kind: TriggerKind,
    /// Which one, in the words of whoever opened the task: `ticket 4711`.
    pub reference: String,
    /// SHA-256 of its text, if that was given or stated.
    pub digest: Option<Digest>,
    /// How far it is trusted.
    pub trust: InputTrust,
}

impl Trigger {
    /// A trigger of which only the reference is known.
    #[must_use]
    pub fn named(reference: impl Into<String>) -> Trigger {
        Trigger {
            kind: TriggerKind::Message,
            reference: reference.into(),
            digest: None,
            trust: InputTrust::Untrusted,
        }
    }
}

/// Why a task may not be opened below another: it would reach further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Widens {
    /// It is another agent's.
    #[error("a sub-task is for the agent of its task")]
    Agent,
    /// It is for another human.
    #[error("a sub-task is for the human of its task")]
    User,
    /// It would outlive its task.
    #[error("a sub-task ends with its task at the latest")]
    Expiry,
    /// It would be open to other instances.
    #[error("a sub-task is for the instance that its task is for")]
    Instance,
    /// It names another trigger, or trusts it more.
    #[error("a sub-task has the trigger of its task")]
    Trigger,
    /// It names a value that its task does not.
    #[error(
        "parameter `{0}` of a sub-task must have the value that it has in its task: an agent binds no new ones"
    )]
    Param(String),
}

/// Whether a task reaches no further than the one that it is to lie within.
///
/// What its intent allows is intersected at each call. A parameter is a value that somebody vouched for, so that an
/// agent, which reads what anybody wrote, binds none: a sub-task repeats those of its task or has fewer.
pub fn narrows(child: &TaskFacts, parent: &TaskFacts) -> Result<(), Widens> {
    if child.agent != parent.agent {
        return Err(Widens::Agent);
    }
    if child.user != parent.user {
        return Err(Widens::User);
    }
    if child.expires > parent.expires {
        return Err(Widens::Expiry);
    }
    if parent.instance.is_some() && child.instance != parent.instance {
        return Err(Widens::Instance);
    }
    if child.trigger != parent.trigger {
        return Err(Widens::Trigger);
    }
    let params = child.params.as_object().into_iter().flat_map(|params| params.iter());
    for (name, value) in params {
        if parent.params.get(name) != Some(value) {
            return Err(Widens::Param(name.to_owned()));
        }
    }
    Ok(())
}

impl TaskFacts {
    /// The form in stored rows and records: members `agent`, `client`, `expires` (microseconds as text), `id`,
    /// `instance`, `intent`, `opened_by`, `params`, `parent`, `trigger` (with `digest`, `kind`, `ref`, `trust`), `user`,
    /// `v`. Those that are not there are null.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let optional = |text: Option<String>| text.map_or(Value::Null, Value::from);
        let name = |name: Option<&Name>| optional(name.map(Name::to_string));
        let trigger = object([
            ("digest", optional(self.trigger.digest.map(|digest| digest.to_string()))),
            ("kind", Value::from(self.trigger.kind.as_str())),
            ("ref", Value::from(self.trigger.reference.as_str())),
            ("trust", Value::from(self.trigger.trust.as_str())),
        ]);
        object([
            ("agent", Value::from(self.agent.as_str())),
            ("client", name(self.client.as_ref())),
            ("expires", Value::from(self.expires.0.to_string())),
            ("id", Value::from(self.id.to_string())),
            ("instance", optional(self.instance.clone())),
            ("intent", name(self.intent.as_ref())),
            ("opened_by", Value::from(self.opened_by.as_str())),
            ("params", self.params.clone()),
            ("parent", optional(self.parent.map(|parent| parent.to_string()))),
            ("trigger", trigger),
            ("user", optional(self.user.as_ref().map(UserName::to_string))),
            ("v", Value::Integer(2)),
        ])
    }

    /// The canonical bytes of [`TaskFacts::to_value`].
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_value().to_bytes()
    }

    /// Reads what [`TaskFacts::to_value`] gives, and what was written before a task said who opened it.
    pub fn from_value(value: &Value) -> Result<TaskFacts, FactsError> {
        let members = Members(value);
        let name = |text: &str| Name::new(text).ok();
        let (trigger, opened_by) = match value.get("v").and_then(Value::as_i64) {
            Some(1) => (
                Trigger::named(members.read("trigger", |text| Some(text.to_owned()))?),
                OpenedBy::Operator,
            ),
            Some(2) => (trigger(value)?, members.read("opened_by", OpenedBy::parse)?),
            _ => return Err(FactsError::Member("v")),
        };
        let params = value.get("params").filter(|params| params.as_object().is_some());
        Ok(TaskFacts {
            id: members.read("id", TaskId::parse)?,
            agent: members.read("agent", name)?,
            instance: members.optional("instance", |text| Some(text.to_owned()))?,
            user: members.optional("user", |text| UserName::new(text).ok())?,
            intent: members.optional("intent", name)?,
            params: params.cloned().ok_or(FactsError::Member("params"))?,
            expires: members.read("expires", |text| text.parse().ok().map(Timestamp))?,
            trigger,
            opened_by,
            client: members.optional("client", name)?,
            parent: members.optional("parent", TaskId::parse)?,
        })
    }

    /// Reads what [`TaskFacts::to_bytes`] gives.
    pub fn from_bytes(bytes: &[u8]) -> Result<TaskFacts, FactsError> {
        TaskFacts::from_value(&canonical::parse(bytes, &canonical::Limits::FRAME)?)
    }
}

fn trigger(value: &Value) -> Result<Trigger, FactsError> {
    let members = Members(value.get("trigger").ok_or(FactsError::Member("trigger"))?);
    Ok(Trigger {
        kind: members.read("kind", TriggerKind::parse)?,
        reference: members.read("ref", |text| Some(text.to_owned()))?,
        digest: members.optional("digest", Digest::from_hex)?,
        trust: members.read("trust", InputTrust::parse)?,
    })
}
