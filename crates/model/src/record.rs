//! The seam between what decides and what records: what a value must tell to be written durably.

use crate::{
    digest::Digest,
    id::{AskId, EntryId},
    time::{Duration, Timestamp},
};

/// What kind of thing a record says. The numbers are in the ledger's leaves: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum RecordKind {
    /// An action is about to happen (the open entry).
    Opened = 1,
    /// How an action ended (closes the entry).
    Outcome = 2,
    /// An authenticated request was refused.
    Refused = 3,
    /// A human is asked.
    Asked = 4,
    /// A human answered.
    Answered = 5,
    /// Control state changed.
    Control = 6,
    /// A task was opened.
    Task = 7,
    /// A token was issued or refused.
    Token = 8,
    /// Requests refused before authentication, counted and sampled.
    Sampled = 9,
    /// Late truth about a closed entry.
    Correction = 10,
    /// An authenticated request that is no action: a list, a session.
    Presented = 11,
    /// A part of a long stream has gone out.
    Segment = 12,
}

impl RecordKind {
    /// All kinds.
    pub const ALL: &'static [RecordKind] = &[
        RecordKind::Opened,
        RecordKind::Outcome,
        RecordKind::Refused,
        RecordKind::Asked,
        RecordKind::Answered,
        RecordKind::Control,
        RecordKind::Task,
        RecordKind::Token,
        RecordKind::Sampled,
        RecordKind::Correction,
        RecordKind::Presented,
        RecordKind::Segment,
    ];

    /// The kind of a number in a leaf.
    #[must_use]
    pub fn from_number(number: u8) -> Option<RecordKind> {
        RecordKind::ALL.iter().copied().find(|kind| kind.number() == number)
    }

    /// The number in the leaf.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The word in queries and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            RecordKind::Opened => "opened",
            RecordKind::Outcome => "outcome",
            RecordKind::Refused => "refused",
            RecordKind::Asked => "asked",
            RecordKind::Answered => "answered",
            RecordKind::Control => "control",
            RecordKind::Task => "task",
            RecordKind::Token => "token",
            RecordKind::Sampled => "sampled",
            RecordKind::Correction => "correction",
            RecordKind::Presented => "presented",
            RecordKind::Segment => "segment",
        }
    }
}

/// What must hold at the moment of commit (E3). A condition that fails refuses or re-decides its own entry, never
/// the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// This digest was not used before, and is used from now on until `until` (a DPoP proof's key and `jti`).
    Unused {
        /// What is used: a digest of key thumbprint and `jti`.
        what: Digest,
        /// Until when the use is remembered.
        until: Timestamp,
    },
    /// This name was bound to nothing, or to this; it is bound to this from now on, until `until` or an earlier use's
    /// later end (a workload's key).
    Pinned {
        /// What is bound: a digest of agent, issuer and workload.
        what: Digest,
        /// To what: a digest of the key's thumbprint.
        to: Digest,
        /// Until when the binding is remembered, if it is not used again.
        until: Timestamp,
    },
    /// This approval was not used before and has not expired at `now`; it is used from now on.
    Approval {
        /// The approval.
        ask: AskId,
        /// The record's time.
        now: Timestamp,
    },
    /// At most `max` calls within the sliding `window` for this key; one is taken.
    Within {
        /// Digest of limit name and whom it counts.
        what: Digest,
        /// How many.
        max: u32,
        /// In which span.
        window: Duration,
        /// The record's time.
        now: Timestamp,
    },
    /// None of these subjects was revoked or frozen after control revision `decided_at`.
    NotRevokedSince {
        /// Digests of token, instance, version, agent, task, human, upstream, action.
        subjects: Vec<Digest>,
        /// The control revision the decision was made at.
        decided_at: u64,
    },
    /// The entry is not open; it is from now on, owned by this run of this node.
    Opens(EntryId),
    /// The entry is open and owned by this run; it is closed from now on.
    Closes(EntryId),
    /// The ask exists and is unanswered; it is answered from now on. `approved` makes an approval of it.
    Answers {
        /// The ask.
        ask: AskId,
        /// Whether the answer is yes.
        approved: bool,
        /// Until when an approval may be used.
        use_until: Timestamp,
    },
    /// The ask is new and is remembered as unanswered until `until`.
    Asks {
        /// The ask.
        ask: AskId,
        /// Until when it may be answered.
        until: Timestamp,
    },
}

/// One row of control state that a record changes in its own transaction. The value is canonical bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// Which row: `declared/ambit.yaml`, `frozen/agent/helpdesk`, `revoked/token/tok_…`, `pin/tickets/read`.
    pub key: String,
    /// Its new value; `None` removes it.
    pub value: Option<Vec<u8>>,
}

/// Under whose data key the personal parts of a record lie (S5).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct KeyScope {
    /// The tenant; empty for none.
    pub tenant: String,
    /// The human; empty for none.
    pub human: String,
}

/// The four parts of a record, each canonical JSON (RFC 8785). Each is committed to separately, with a salt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Agent, action, decision, digests: nothing personal.
    pub envelope: Vec<u8>,
    /// The human and the chain.
    pub subject: Vec<u8>,
    /// The arguments.
    pub arguments: Vec<u8>,
    /// The result, or what is kept of it.
    pub result: Vec<u8>,
}

/// What can be written to the ledger. The journal owns the value until it is durable and hands it back as evidence.
pub trait Recordable {
    /// What kind of record it becomes.
    fn kind(&self) -> RecordKind;
    /// Whose data key encrypts its personal parts.
    fn scope(&self) -> KeyScope {
        KeyScope::default()
    }
    /// Its parts. `now` is the record's time, which the envelope need not repeat (the leaf holds it).
    fn parts(&self) -> Parts;
    /// What must hold at commit.
    fn conditions(&self) -> Vec<Condition> {
        Vec::new()
    }
    /// Control state changed in the same transaction. Only [`RecordKind::Control`] records may change any.
    fn changes(&self) -> Vec<StateChange> {
        Vec::new()
    }
}
