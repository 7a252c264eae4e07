//! What the ledger keeps of an opened task, and of one that was refused.

use canonical::Value;
use model::{
    Code, Digest, Name, Timestamp, UserName,
    record::{Condition, KeyScope, Parts, RecordKind, Recordable, StateChange},
};
use policy::{TaskFacts, subject_digest};

/// How it is known for whom a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// By whoever runs the gate.
    Operator,
    /// By an ID token of the human's own.
    IdToken,
    /// By a token of Ambit's that names the human.
    AccessToken,
    /// By the word of a client.
    Stated,
    /// By the task that it lies within.
    Parent,
    /// It is for nobody.
    Nobody,
}

impl Told {
    const fn as_str(self) -> &'static str {
        match self {
            Told::Operator => "operator",
            Told::IdToken => "id_token",
            Told::AccessToken => "access_token",
            Told::Stated => "stated",
            Told::Parent => "parent",
            Told::Nobody => "nobody",
        }
    }
}

/// What every record of a task says beside the task.
pub(super) struct Around {
    /// Which form of Ambit this is.
    pub(super) boundary: &'static str,
    pub(super) told: Told,
    pub(super) revision: u64,
    /// What is used up: a proof of possession, an idempotency key.
    pub(super) uses: Vec<(Digest, Timestamp)>,
    /// Further subjects whose revocation takes the decision back.
    pub(super) subjects: Vec<Digest>,
}

impl Around {
    fn conditions(&self) -> Vec<Condition> {
        let used =
            |(what, until): &(Digest, Timestamp)| Condition::Unused { what: *what, until: *until };
        self.uses.iter().map(used).collect()
    }
}

/// The record of an opened task.
pub(super) struct Opened {
    pub(super) task: TaskFacts,
    pub(super) version: Digest,
    /// The triggering text, kept like a payload.
    pub(super) body: Option<String>,
    pub(super) around: Around,
    /// A row that remembers the request by its idempotency key.
    pub(super) remembered: Option<StateChange>,
}

fn optional(text: Option<&str>) -> Value {
    text.map_or(Value::Null, Value::from)
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
        let task = &self.task;
        let parent = task.parent.map(|parent| parent.to_string());
        let envelope = gate::json::object([
            ("agent", task.agent.as_str().into()),
            ("boundary", self.around.boundary.into()),
            ("client", optional(task.client.as_ref().map(Name::as_str))),
            ("control_revision", self.around.revision.to_string().into()),
            ("decision", "allow".into()),
            ("expires", task.expires.to_string().into()),
            ("human_by", self.around.told.as_str().into()),
            ("input_trust", task.trigger.trust.as_str().into()),
            ("instance", optional(task.instance.as_deref())),
            ("intent", optional(task.intent.as_ref().map(Name::as_str))),
            ("opened_by", task.opened_by.as_str().into()),
            ("parent", optional(parent.as_deref())),
            ("task", task.id.to_string().into()),
            ("trigger_kind", task.trigger.kind.as_str().into()),
            ("v", Value::Integer(1)),
            ("version", self.version.to_string().into()),
            ("what", "task".into()),
        ]);
        let subject = gate::json::object([
            ("task_params", task.params.clone()),
            ("trigger", task.trigger.reference.as_str().into()),
            ("user", optional(task.user.as_ref().map(UserName::as_str))),
        ]);
        let digest = task.trigger.digest.map(|digest| digest.to_string());
        let trigger = gate::json::object([
            ("body", optional(self.body.as_deref())),
            ("digest", optional(digest.as_deref())),
            ("kind", task.trigger.kind.as_str().into()),
            ("ref", task.trigger.reference.as_str().into()),
        ]);
        Parts {
            envelope: envelope.to_bytes(),
            subject: subject.to_bytes(),
            arguments: gate::json::object([("trigger", trigger)]).to_bytes(),
            ..Parts::default()
        }
    }

    fn conditions(&self) -> Vec<Condition> {
        let agent = subject_digest("agent", self.task.agent.as_str());
        let user = self.task.user.iter().map(|user| subject_digest("user", user.as_str()));
        let around = self.around.subjects.iter().copied();
        let subjects = std::iter::once(agent).chain(user).chain(around).collect();
        let mut all = self.around.conditions();
        all.push(Condition::NotRevokedSince { subjects, decided_at: self.around.revision });
        all
    }

    fn changes(&self) -> Vec<StateChange> {
        let task = StateChange {
            key: format!("task/{}", self.task.id),
            value: Some(self.task.to_bytes()),
        };
        std::iter::once(task).chain(self.remembered.clone()).collect()
    }
}

/// The record of a task that was not opened, after whoever asked was authenticated.
pub(super) struct NotOpened {
    pub(super) agent: Name,
    pub(super) client: Option<Name>,
    pub(super) code: Code,
    /// What was asked for, cut; an argument, since it is not ours.
    pub(super) asked: String,
    pub(super) detail: String,
    pub(super) around: Around,
}

impl Recordable for NotOpened {
    fn kind(&self) -> RecordKind {
        RecordKind::Task
    }

    fn parts(&self) -> Parts {
        let envelope = gate::json::object([
            ("agent", self.agent.as_str().into()),
            ("boundary", self.around.boundary.into()),
            ("client", optional(self.client.as_ref().map(Name::as_str))),
            ("code", self.code.slug().into()),
            ("control_revision", self.around.revision.to_string().into()),
            ("decision", "deny".into()),
            ("v", Value::Integer(1)),
            ("what", "task".into()),
        ]);
        let arguments = gate::json::object([
            ("asked", self.asked.as_str().into()),
            ("detail", self.detail.as_str().into()),
        ]);
        Parts { envelope: envelope.to_bytes(), arguments: arguments.to_bytes(), ..Parts::default() }
    }

    fn conditions(&self) -> Vec<Condition> {
        self.around.conditions()
    }
}
