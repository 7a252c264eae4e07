//! What a decision may read beside actor and call, and its form in records.

use crate::task::TaskFacts;
use canonical::{Object, Value};
use model::{
    AgentName, Ancestor, AskId, Digest, EntryId, Name, TaskId, Timestamp, TokenId, TraceId,
    UserName,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Who acts, without evidence: what [`crate::evaluate`] needs to know of an actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The agent.
    pub agent: AgentName,
    /// Its version.
    pub version: Digest,
    /// The thumbprint of its instance's key, if there is one.
    pub instance: Option<String>,
    /// The human acted for.
    pub user: Option<UserName>,
    /// The task that it works on.
    pub task: Option<TaskId>,
    /// The token; `None` for a question of what would be.
    pub token: Option<TokenId>,
    /// Whether the token is bound to a key.
    pub bound: bool,
    /// The id of the scoped key that bought the token, if one did.
    pub key: Option<String>,
    /// The agents from whose tokens it came, the first first.
    pub chain: Vec<Ancestor>,
}

impl Subject {
    /// An agent's current version acting for someone or itself, with a token that is bound.
    #[must_use]
    pub fn assumed(agent: AgentName, version: Digest, user: Option<UserName>) -> Subject {
        Subject {
            agent,
            version,
            instance: None,
            user,
            task: None,
            token: None,
            bound: true,
            key: None,
            chain: Vec::new(),
        }
    }

    /// The agent that the work began with, whose task it is.
    #[must_use]
    pub fn origin(&self) -> &AgentName {
        self.chain.first().map_or(&self.agent, |first| &first.agent)
    }
}

impl From<&identity::Actor> for Subject {
    fn from(actor: &identity::Actor) -> Subject {
        Subject {
            agent: actor.agent().clone(),
            version: actor.version(),
            instance: actor.instance().map(str::to_owned),
            user: actor.user().cloned(),
            task: actor.task(),
            token: Some(actor.token()),
            bound: actor.bound(),
            key: actor.scoped_key().map(str::to_owned),
            chain: actor.chain().to_vec(),
        }
    }
}

/// What is known at the time of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The entry that is opened if the action is allowed.
    pub entry: EntryId,
    /// The trace that the call belongs to.
    pub trace: TraceId,
    /// The time.
    pub now: Timestamp,
    /// The revision of control state that the decision is made at.
    pub control_revision: u64,
    /// Whether this runs as `ambit dev`.
    pub development: bool,
    /// The groups of the human acted for.
    pub user_groups: BTreeSet<Name>,
    /// The task that the call is made under.
    pub task: Option<Arc<TaskFacts>>,
    /// Every other task whose reach bounds this call: the ancestors of the task, and the task of the token where the
    /// call names another one.
    pub within: Vec<Arc<TaskFacts>>,
    /// An approval of this very action, when it is used.
    pub approval: Option<Approval>,
    /// Through which door: `mcp` or `http`.
    pub edge: &'static str,
    /// Whether a token that is bound to nothing reaches `high`: in the twin of a test alone, whose records do not say it.
    pub uncapped: bool,
}

/// A human's yes to one action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// The ask that was answered.
    pub ask: AskId,
    /// The policies that were named when it was asked and signed.
    pub reasons: BTreeSet<String>,
    /// The approval rules that were met.
    pub rules: BTreeSet<Name>,
}

/// Why bytes are no facts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FactsError {
    /// Not canonical JSON.
    #[error("facts are not canonical JSON: {0}")]
    Json(#[from] canonical::ParseError),
    /// A member is missing or has another form.
    #[error("member `{0}` of the recorded facts is missing or malformed")]
    Member(&'static str),
}

impl Facts {
    /// The form in records: members `approval`, `control_revision`, `development`, `edge`,
    /// `entry`, `groups`, `now` (microseconds as text), `task`, `trace`, `v`, and `within` where
    /// there are tasks around the task.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let groups = self.user_groups.iter().map(|group| Value::from(group.as_str())).collect();
        let approval = self.approval.as_ref().map_or(Value::Null, Approval::to_value);
        let task = self.task.as_ref().map_or(Value::Null, |task| task.to_value());
        let mut value = object([
            ("approval", approval),
            ("control_revision", Value::from(self.control_revision.to_string())),
            ("development", Value::Bool(self.development)),
            ("edge", Value::from(self.edge)),
            ("entry", Value::from(self.entry.to_string())),
            ("groups", Value::Array(groups)),
            ("now", Value::from(self.now.0.to_string())),
            ("task", task),
            ("trace", Value::from(self.trace.to_string())),
            ("v", Value::Integer(1)),
        ]);
        if let (Value::Object(members), false) = (&mut value, self.within.is_empty()) {
            let within = self.within.iter().map(|task| task.to_value()).collect();
            let _new_name = members.insert("within", Value::Array(within)).is_ok();
        }
        value
    }

    /// The canonical bytes of [`Facts::to_value`].
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_value().to_bytes()
    }

    /// Reads what [`Facts::to_value`] gives.
    pub fn from_value(value: &Value) -> Result<Facts, FactsError> {
        let members = Members(value);
        members.version()?;
        let groups = value.get("groups").and_then(Value::as_array);
        let groups = groups.ok_or(FactsError::Member("groups"))?;
        let present = |name| value.get(name).filter(|value| !value.is_null());
        let development = value.get("development").and_then(Value::as_bool);
        Ok(Facts {
            entry: members.read("entry", EntryId::parse)?,
            trace: members.read("trace", TraceId::parse)?,
            now: members.read("now", |text| text.parse().ok().map(Timestamp))?,
            control_revision: members.read("control_revision", |text| text.parse().ok())?,
            development: development.ok_or(FactsError::Member("development"))?,
            user_groups: names(groups).ok_or(FactsError::Member("groups"))?,
            task: present("task").map(TaskFacts::from_value).transpose()?.map(Arc::new),
            within: within(value)?,
            approval: present("approval").map(Approval::from_value).transpose()?,
            edge: members.read("edge", edge)?,
            uncapped: false,
        })
    }

    /// Reads what [`Facts::to_bytes`] gives.
    pub fn from_bytes(bytes: &[u8]) -> Result<Facts, FactsError> {
        Facts::from_value(&canonical::parse(bytes, &canonical::Limits::FRAME)?)
    }
}

impl Approval {
    fn to_value(&self) -> Value {
        let reasons = self.reasons.iter().map(|id| Value::from(id.as_str())).collect();
        let rules = self.rules.iter().map(|rule| Value::from(rule.as_str())).collect();
        object([
            ("ask", Value::from(self.ask.to_string())),
            ("reasons", Value::Array(reasons)),
            ("rules", Value::Array(rules)),
        ])
    }

    fn from_value(value: &Value) -> Result<Approval, FactsError> {
        let members = Members(value);
        let list = |name| value.get(name).and_then(Value::as_array);
        let reasons = list("reasons").ok_or(FactsError::Member("reasons"))?;
        let reasons: Option<_> = reasons.iter().map(|id| id.as_str().map(str::to_owned)).collect();
        Ok(Approval {
            ask: members.read("ask", AskId::parse)?,
            reasons: reasons.ok_or(FactsError::Member("reasons"))?,
            rules: list("rules").and_then(names).ok_or(FactsError::Member("rules"))?,
        })
    }
}

/// The tasks around a task, from records.
pub(crate) fn within(value: &Value) -> Result<Vec<Arc<TaskFacts>>, FactsError> {
    let Some(within) = value.get("within") else { return Ok(Vec::new()) };
    let within = within.as_array().ok_or(FactsError::Member("within"))?;
    within.iter().map(|task| TaskFacts::from_value(task).map(Arc::new)).collect()
}

/// The doors that there are.
pub(crate) fn edge(text: &str) -> Option<&'static str> {
    ["mcp", "http"].into_iter().find(|edge| *edge == text)
}

/// Names from a list of texts.
pub(crate) fn names(values: &[Value]) -> Option<BTreeSet<Name>> {
    values.iter().map(|value| Name::new(value.as_str()?).ok()).collect()
}

/// An object of members whose names differ, by construction.
pub(crate) fn object<'a>(members: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    Value::Object(Object::try_from_members(members).unwrap_or_default())
}

/// Reads members that are text.
pub(crate) struct Members<'a>(pub(crate) &'a Value);

impl Members<'_> {
    fn version(&self) -> Result<(), FactsError> {
        let version = self.0.get("v").and_then(Value::as_i64);
        if version == Some(1) { Ok(()) } else { Err(FactsError::Member("v")) }
    }

    pub(crate) fn read<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, FactsError> {
        self.0.get(name).and_then(Value::as_str).and_then(read).ok_or(FactsError::Member(name))
    }

    pub(crate) fn optional<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, FactsError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => self.read(name, read).map(Some),
        }
    }
}
