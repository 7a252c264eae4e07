//! What a decision leaves behind: evidence that an action may happen, or why it may not, each as
//! it is recorded.

use crate::CatalogEntry;
use crate::call::Call;
use crate::decide::{Reason, Ruling};
use crate::digest::sha256;
use crate::envelope;
use crate::facts::{Facts, Subject};
use crate::subjects::Subjects;
use identity::Actor;
use model::declared::{Before, CallLimit};
use model::record::{Condition, KeyScope, Parts, RecordKind, Recordable, StateChange};
use model::{
    ActionId, AgentName, AskId, Code, Decision, Digest, EntryId, Name, Timestamp, TraceId, UserName,
};
use std::collections::BTreeSet;
use std::sync::OnceLock;

/// One decided call with all that it was decided on.
#[derive(Debug)]
pub(crate) struct Decided {
    pub(crate) call: Call,
    pub(crate) subject: Subject,
    pub(crate) facts: Facts,
    pub(crate) ruling: Ruling,
    /// The ruling would deny or ask; the agent is observed, so it happens all the same.
    pub(crate) observed: bool,
    /// The boundary's limit is used up, and the agent is observed.
    beyond_limit: bool,
    /// The hooks that agreed.
    pub(crate) consulted: Vec<String>,
    proof_use: Option<(Digest, Timestamp)>,
    subjects: OnceLock<Subjects>,
}

impl Decided {
    pub(crate) fn new(
        actor: &Actor,
        subject: Subject,
        call: Call,
        facts: &Facts,
        ruling: Ruling,
        observed: bool,
    ) -> Box<Decided> {
        let proof_use = actor.proof_use();
        let subjects = OnceLock::new();
        Box::new(Decided {
            call,
            subject,
            facts: facts.clone(),
            ruling,
            observed,
            beyond_limit: false,
            consulted: Vec::new(),
            proof_use,
            subjects,
        })
    }

    fn scope(&self) -> KeyScope {
        KeyScope {
            tenant: self.call.tenant().unwrap_or_default(),
            human: self.subject.user.as_ref().map(UserName::to_string).unwrap_or_default(),
        }
    }

    fn parts(&self, ask: Option<AskId>) -> Parts {
        Parts {
            envelope: envelope::of_call(self, ask),
            subject: envelope::subject(&self.subject, &self.facts, Some(self)),
            arguments: envelope::arguments(&self.call),
            result: Vec::new(),
        }
    }

    /// The limit of calls that this one takes from.
    fn limit(&self) -> Option<(Digest, CallLimit)> {
        self.call.slice().agent.limit.filter(|_| !self.beyond_limit)
    }

    fn subjects(&self) -> &Subjects {
        self.subjects.get_or_init(|| Subjects::of(&self.subject, &self.facts, &self.call))
    }

    /// Everybody and everything whose revocation refuses this call.
    fn not_revoked(&self) -> Condition {
        let subjects = self.subjects().all().to_vec();
        Condition::NotRevokedSince { subjects, decided_at: self.facts.control_revision }
    }
}

/// Evidence that an action may happen. It becomes an open entry in the ledger; only then may bytes
/// leave. Only [`crate::decide`] makes one.
///
/// ```compile_fail
/// fn twice(clearance: policy::Clearance) -> (policy::Clearance, policy::Clearance) {
///     (clearance.clone(), clearance)
/// }
/// ```
///
/// ```compile_fail
/// let forged = policy::Clearance { decided: todo!() };
/// ```
#[must_use]
#[derive(Debug)]
pub struct Clearance {
    decided: Box<Decided>,
}

impl Clearance {
    pub(crate) fn new(decided: Box<Decided>) -> Clearance {
        Clearance { decided }
    }

    /// The call.
    pub fn call(&self) -> &Call {
        &self.decided.call
    }

    /// The call, to be decided again.
    pub fn into_call(self) -> Call {
        self.decided.call
    }

    /// The action.
    #[must_use]
    pub fn action(&self) -> &ActionId {
        self.decided.call.action()
    }

    /// The agent.
    #[must_use]
    pub fn agent(&self) -> &AgentName {
        &self.decided.subject.agent
    }

    /// Who acts, for whom.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.decided.subject
    }

    /// Everybody and everything whose stop ends this call.
    #[must_use]
    pub fn subjects(&self) -> &Subjects {
        self.decided.subjects()
    }

    /// What it was decided on.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.decided.facts
    }

    /// The entry that it opens.
    #[must_use]
    pub fn entry(&self) -> EntryId {
        self.decided.facts.entry
    }

    /// The trace.
    #[must_use]
    pub fn trace(&self) -> TraceId {
        self.decided.facts.trace
    }

    /// What enforcing would have decided, where the agent is observed and it is not an allow.
    #[must_use]
    pub fn would(&self) -> Option<Decision> {
        self.decided.observed.then_some(self.decided.ruling.decision)
    }

    /// The same for an agent that is observed whose boundary's limit is used up: recorded as what
    /// would be denied. For any other agent it comes back as an error, unchanged.
    pub fn beyond_limit(mut self) -> Result<Clearance, Clearance> {
        let decided = self.decided.as_mut();
        if !decided.call.slice().agent.observes(decided.facts.now) || decided.beyond_limit {
            return Err(self);
        }
        decided.beyond_limit = true;
        if !decided.observed {
            decided.observed = true;
            decided.ruling = Ruling { note: None, ..Ruling::deny(Code::LimitReached, "") };
        }
        Ok(self)
    }

    /// True if the action is consequential (design §1, invariant 0).
    #[must_use]
    pub fn is_consequential(&self) -> bool {
        self.decided.call.entry().is_consequential()
    }

    /// True if the open entry must be durable before the first byte leaves: the action is
    /// consequential, or its entry uses something up that another call may have used (a proof, an
    /// approval, a limit), so that a second use never reaches the upstream.
    #[must_use]
    pub fn departs_durable(&self) -> bool {
        let decided = &self.decided;
        let limited = decided.limit().is_some();
        self.is_consequential() || limited || decided.proof_use.is_some() || decided.ruling.approved
    }
}

impl Recordable for Clearance {
    fn kind(&self) -> RecordKind {
        RecordKind::Opened
    }

    fn scope(&self) -> KeyScope {
        self.decided.scope()
    }

    fn parts(&self) -> Parts {
        self.decided.parts(None)
    }

    fn conditions(&self) -> Vec<Condition> {
        let decided = &self.decided;
        let now = decided.facts.now;
        let mut conditions = Vec::with_capacity(5);
        conditions.push(Condition::Opens(decided.facts.entry));
        conditions.push(decided.not_revoked());
        conditions.extend(decided.proof_use.map(|(what, until)| Condition::Unused { what, until }));
        if let Some((what, limit)) = decided.limit() {
            conditions.push(Condition::Within { what, max: limit.max, window: limit.window, now });
        }
        let approval = decided.facts.approval.as_ref().filter(|_| decided.ruling.approved);
        conditions.extend(approval.map(|approval| Condition::Approval { ask: approval.ask, now }));
        conditions
    }
}

/// A call that may happen if the hooks of its action agree. It becomes a clearance or a denial, and
/// nothing departs on it as it is.
#[must_use]
#[derive(Debug)]
pub struct Consultation {
    decided: Box<Decided>,
}

impl Consultation {
    pub(crate) fn new(decided: Box<Decided>) -> Consultation {
        Consultation { decided }
    }

    /// The hooks that are asked, in order.
    pub fn hooks(&self) -> impl Iterator<Item = &Before> {
        self.decided.call.entry().action.before.iter().filter(|before| before.hook().is_some())
    }

    /// The call.
    pub fn call(&self) -> &Call {
        &self.decided.call
    }

    /// Who acts, for whom.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.decided.subject
    }

    /// What it was decided on.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.decided.facts
    }

    /// All of them agreed.
    pub fn agreed(mut self) -> Clearance {
        self.decided.consulted = self.hooks().map(ToString::to_string).collect();
        Clearance::new(self.decided)
    }

    /// One of them refused, or gave no answer that counts. An observed agent's call happens all the
    /// same, and its record says what would have been.
    pub fn refused(
        mut self,
        by: &Before,
        code: Code,
        sentence: String,
    ) -> Result<Clearance, Denial> {
        let decided = self.decided.as_mut();
        decided.ruling = Ruling::hook(&decided.call, by, code, sentence);
        decided.ruling.note = None;
        decided.observed = decided.call.slice().agent.observes(decided.facts.now);
        if decided.observed {
            Ok(Clearance::new(self.decided))
        } else {
            Err(Denial::new(self.decided))
        }
    }

    pub(crate) fn unasked(mut self) -> Denial {
        self.decided.ruling = Ruling::deny(Code::HookUnavailable, "nobody asked its hooks");
        Denial::new(self.decided)
    }
}

/// Why an action may not happen.
#[must_use]
#[derive(Debug)]
pub struct Denial {
    /// The stable code.
    pub code: Code,
    /// The policies that decided; empty where a grant is missing or nothing could be decided.
    pub reasons: Vec<Reason>,
    decided: Box<Decided>,
}

impl Denial {
    pub(crate) fn new(decided: Box<Decided>) -> Denial {
        let code = decided.ruling.code.unwrap_or(Code::Undecidable);
        Denial { code, reasons: decided.ruling.reasons.clone(), decided }
    }

    /// What the caller may be told beyond the code: what it can provide.
    #[must_use]
    pub fn told(&self) -> Option<&str> {
        let reason = self.reasons.first().filter(|_| self.code == Code::RequirementMissing)?;
        Some(&reason.sentence)
    }

    /// What went wrong or is missing, for operators; never for the agent.
    #[must_use]
    pub fn note(&self) -> Option<&str> {
        self.decided.ruling.note.as_deref()
    }

    /// The call.
    pub fn call(&self) -> &Call {
        &self.decided.call
    }

    /// The call, to be decided again.
    pub fn into_call(self) -> Call {
        self.decided.call
    }
}

/// A question to humans.
#[must_use]
#[derive(Debug)]
pub struct Ask {
    /// The approval rules; all must be met.
    pub rules: BTreeSet<Name>,
    /// The policies that ask; what is signed.
    pub reasons: Vec<Reason>,
    decided: Box<Decided>,
}

impl Ask {
    pub(crate) fn new(decided: Box<Decided>) -> Ask {
        let Ruling { rules, reasons, .. } = &decided.ruling;
        Ask { rules: rules.clone(), reasons: reasons.clone(), decided }
    }

    /// The call.
    pub fn call(&self) -> &Call {
        &self.decided.call
    }

    /// The call, to be decided again with the answer.
    pub fn into_call(self) -> Call {
        self.decided.call
    }

    /// Who asks, for whom.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.decided.subject
    }

    /// What is asked on.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.decided.facts
    }

    /// What an approval is bound to (S16): agent, version, task or else human, upstream, action
    /// and the digest of the arguments. Not the revision of policies: evaluation is fresh.
    #[must_use]
    pub fn binding(&self) -> Digest {
        binding(&self.decided.subject, &self.decided.call)
    }

    pub(crate) fn into_denial(self) -> Denial {
        Denial::new(self.decided)
    }
}

/// What an approval of this call by this subject is bound to (S16).
#[must_use]
pub fn binding(subject: &Subject, call: &Call) -> Digest {
    let party = match (&subject.task, &subject.user) {
        (Some(task), _) => format!("task {task}"),
        (None, Some(user)) => format!("user {user}"),
        (None, None) => "nobody".to_owned(),
    };
    let via: Vec<_> = subject.chain.iter().map(|ancestor| ancestor.agent.as_str()).collect();
    // Through others it is another request than of the agent itself.
    let party = if via.is_empty() { party } else { format!("{party} via {}", via.join(" ")) };
    let parts = [
        "ambit-ask-v1".to_owned(),
        subject.agent.to_string(),
        subject.version.to_string(),
        party,
        call.action().to_string(),
        call.digest().to_string(),
    ];
    // No part holds a line break: names, ids and digests only.
    sha256(parts.join("\n").as_bytes())
}

/// A question, as it is recorded.
#[must_use]
#[derive(Debug)]
pub struct AskRecord {
    ask: AskId,
    until: Timestamp,
    scope: KeyScope,
    parts: Parts,
    not_revoked: Condition,
    changes: Vec<StateChange>,
}

impl AskRecord {
    /// A new question that can be answered until `until`, with the rows it needs.
    pub fn new(ask: AskId, until: Timestamp, asked: &Ask, changes: Vec<StateChange>) -> AskRecord {
        AskRecord {
            ask,
            until,
            scope: asked.decided.scope(),
            parts: asked.decided.parts(Some(ask)),
            not_revoked: asked.decided.not_revoked(),
            changes,
        }
    }
}

impl Recordable for AskRecord {
    fn kind(&self) -> RecordKind {
        RecordKind::Asked
    }

    fn scope(&self) -> KeyScope {
        self.scope.clone()
    }

    fn parts(&self) -> Parts {
        self.parts.clone()
    }

    fn conditions(&self) -> Vec<Condition> {
        vec![Condition::Asks { ask: self.ask, until: self.until }, self.not_revoked.clone()]
    }

    fn changes(&self) -> Vec<StateChange> {
        self.changes.clone()
    }
}

/// A refusal after authentication, as it is recorded. It has no condition: it is always recorded.
#[must_use]
#[derive(Debug)]
pub struct Refused {
    entry: EntryId,
    code: Code,
    scope: KeyScope,
    parts: Parts,
}

impl Refused {
    /// Of a decided call.
    pub fn denied(denial: &Denial) -> Refused {
        let decided = &denial.decided;
        let (entry, scope) = (decided.facts.entry, decided.scope());
        Refused { entry, code: denial.code, scope, parts: decided.parts(None) }
    }

    /// Of a cleared call whose entry could not be opened: a limit, a revocation or a replay stood
    /// against it at commit.
    pub fn unwritten(clearance: &Clearance, code: Code) -> Refused {
        let Decided { call, subject, facts, .. } = clearance.decided.as_ref();
        let action = call.action().to_string();
        Refused {
            entry: facts.entry,
            code,
            scope: clearance.decided.scope(),
            parts: Parts {
                envelope: envelope::of_request(
                    subject,
                    &action,
                    Some(call.entry()),
                    (code, None),
                    facts,
                ),
                subject: envelope::subject(subject, facts, None),
                arguments: envelope::arguments(call),
                result: Vec::new(),
            },
        }
    }

    /// Of a request that never became a call: an unknown action, wrong arguments, a revoked agent.
    /// `catalogued` is the action's entry, where the refusal may name it in the record.
    pub fn unmatched(
        actor: &Actor,
        action: &str,
        catalogued: Option<&CatalogEntry>,
        refusal: (Code, Option<&str>),
        facts: &Facts,
    ) -> Refused {
        let subject = Subject::from(actor);
        let human = subject.user.as_ref().map(UserName::to_string).unwrap_or_default();
        Refused {
            entry: facts.entry,
            code: refusal.0,
            scope: KeyScope { tenant: String::new(), human },
            parts: Parts {
                envelope: envelope::of_request(&subject, action, catalogued, refusal, facts),
                subject: envelope::subject(&subject, facts, None),
                arguments: b"{}".to_vec(),
                result: Vec::new(),
            },
        }
    }

    /// The entry that tells of it.
    #[must_use]
    pub fn entry(&self) -> EntryId {
        self.entry
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }
}

impl Recordable for Refused {
    fn kind(&self) -> RecordKind {
        RecordKind::Refused
    }

    fn scope(&self) -> KeyScope {
        self.scope.clone()
    }

    fn parts(&self) -> Parts {
        self.parts.clone()
    }
}
