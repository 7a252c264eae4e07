//! What the ledger keeps of an issue, a refusal and a revocation; never a token.

use crate::{
    authenticate::{Client, Reuse, Way},
    certificate::Certified,
    decide::{Binding, Decided, Wish},
    delegate::Parent,
    error::IssueError,
    limits::{PINNED_REFUSALS, RECORDED_BYTES},
};
use canonical::Writer;
use ledger::subject_digest;
use model::{
    ActionId, Decision, Digest, Duration, Timestamp, TokenId,
    record::{Condition, KeyScope, Parts, RecordKind, Recordable, StateChange},
};
use std::collections::BTreeSet;

/// What every record of this crate says.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) client: Client,
    pub(crate) development: bool,
    /// Whether keys of reused assertions are pinned.
    pub(crate) pinning: bool,
    pub(crate) revision: u64,
}

/// A token is issued.
#[derive(Clone, Debug)]
pub(crate) struct IssuedRecord {
    pub(crate) origin: Origin,
    pub(crate) wish: Wish,
    pub(crate) decided: Decided,
    pub(crate) token: TokenId,
}

/// An authenticated client was refused.
#[derive(Clone, Debug)]
pub(crate) struct RefusedRecord {
    pub(crate) origin: Origin,
    /// What was asked for, if the request got that far; personal parts' business.
    pub(crate) wish: Option<Wish>,
    pub(crate) error: IssueError,
    /// `issue` or `revoke`.
    pub(crate) operation: &'static str,
    /// The time of the refusal.
    pub(crate) now: Timestamp,
}

/// A client asked about a token.
#[derive(Clone, Debug)]
pub(crate) struct IntrospectedRecord {
    pub(crate) origin: Origin,
    /// The token that it was told about.
    pub(crate) token: Option<TokenId>,
    /// The key that came with an assertion that may be used again.
    pub(crate) proven: Vec<Condition>,
}

/// A client revoked its own token.
#[derive(Clone, Debug)]
pub(crate) struct RevokedRecord {
    pub(crate) origin: Origin,
    pub(crate) token: TokenId,
    pub(crate) expires: Timestamp,
    /// As in [`IntrospectedRecord`].
    pub(crate) proven: Vec<Condition>,
}

/// A certificate is signed.
#[derive(Clone, Debug)]
pub(crate) struct CertifiedRecord {
    pub(crate) origin: Origin,
    pub(crate) certified: Certified,
    /// Everyone whose revocation takes it back.
    pub(crate) subjects: Vec<Digest>,
}

impl Recordable for CertifiedRecord {
    fn kind(&self) -> RecordKind {
        RecordKind::Token
    }

    fn parts(&self) -> Parts {
        let Certified { spiffe_id, key, expires, .. } = &self.certified;
        let envelope = self.origin.envelope(|member| match member {
            Member::Decision => Some(Field::Text(Decision::Allow.to_string())),
            Member::Detail => Some(Field::Text(format!("{spiffe_id} until {expires}"))),
            Member::Instance => Some(Field::Text(key.clone())),
            Member::Operation => Some(Field::Text("certificate".into())),
            Member::Actions
            | Member::Alarm
            | Member::Audience
            | Member::Bound
            | Member::Chain
            | Member::Code
            | Member::Task
            | Member::Token
            | Member::Ttl
            | Member::Upstream
            | Member::Version => None,
        });
        Parts { envelope, ..Parts::default() }
    }

    fn conditions(&self) -> Vec<Condition> {
        let mut all = self.origin.uses();
        all.push(Condition::NotRevokedSince {
            subjects: self.subjects.clone(),
            decided_at: self.origin.revision,
        });
        all
    }
}

impl Recordable for IssuedRecord {
    fn kind(&self) -> RecordKind {
        RecordKind::Token
    }

    fn scope(&self) -> KeyScope {
        let human = self.decided.user.as_ref().map(ToString::to_string).unwrap_or_default();
        KeyScope { tenant: String::new(), human }
    }

    fn parts(&self) -> Parts {
        let Decided { version, instance, upstream, task, bound, chain, actions, .. } =
            &self.decided;
        let chain = (!chain.is_empty()).then(|| identity::write_chain(chain));
        let ttl = self.decided.expires.since(self.decided.issued).as_seconds();
        let envelope = self.origin.envelope(|member| match member {
            Member::Actions => actions.as_ref().map(|actions| Field::Raw(write_actions(actions))),
            Member::Audience => Some(Field::Text(self.wish.resource.clone())),
            Member::Chain => chain.clone().map(Field::Raw),
            Member::Bound => Some(Field::Truth(*bound)),
            Member::Alarm | Member::Code | Member::Detail => None,
            Member::Decision => Some(Field::Text(Decision::Allow.to_string())),
            Member::Instance => instance.clone().map(Field::Text),
            Member::Operation => Some(Field::Text(self.wish.operation().into())),
            Member::Task => task.map(|task| Field::Text(task.to_string())),
            Member::Token => Some(Field::Text(self.token.to_string())),
            Member::Ttl => Some(Field::Number(ttl)),
            Member::Upstream => {
                let name = upstream.as_ref().map_or_else(|| "*".to_owned(), ToString::to_string);
                Some(Field::Text(name))
            }
            Member::Version => Some(Field::Text(version.to_string())),
        });
        let user = self.decided.user.as_ref().map(ToString::to_string);
        let subject = object(&[("user", user)]);
        Parts { envelope, subject, ..Parts::default() }
    }

    fn conditions(&self) -> Vec<Condition> {
        let mut all = self.origin.uses();
        if let Binding::Proof { single_use: (what, until), .. } = &self.wish.binding {
            all.push(Condition::Unused { what: *what, until: *until });
        }
        all.extend(self.decided.instance.as_ref().and_then(|key| self.origin.pins(key)));
        all.push(Condition::NotRevokedSince {
            subjects: self.decided.subjects.clone(),
            decided_at: self.origin.revision,
        });
        all
    }
}

impl Recordable for RefusedRecord {
    fn kind(&self) -> RecordKind {
        RecordKind::Token
    }

    fn parts(&self) -> Parts {
        let envelope = self.origin.envelope(|member| match member {
            Member::Alarm => self.error.code().is_alarm().then_some(Field::Truth(true)),
            Member::Code => Some(Field::Text(self.error.code().slug().into())),
            Member::Decision => Some(Field::Text(Decision::Deny.to_string())),
            Member::Detail => Some(Field::Text(self.error.reason().into())),
            Member::Operation => Some(Field::Text(self.operation.into())),
            // Who came with a key that the workload's assertions are not pinned to.
            Member::Instance => self.other_key().map(Field::Text),
            // The token that was to be exchanged, once it was believed.
            Member::Chain => {
                self.wish.as_ref().and_then(|wish| wish.parent.as_ref()).map(exchanged)
            }
            Member::Actions
            | Member::Audience
            | Member::Bound
            | Member::Task
            | Member::Token
            | Member::Ttl
            | Member::Upstream
            | Member::Version => None,
        });
        // What the client wrote is not ours: it stands among the arguments, not in the envelope.
        let asked = |text: &String| text.chars().take(RECORDED_BYTES).collect::<String>();
        let wish = self.wish.as_ref();
        let resource = wish.map(|wish| asked(&wish.resource));
        let task = wish.and_then(|wish| wish.task.as_ref()).map(asked);
        let arguments = object(&[("resource", resource), ("task", task)]);
        Parts { envelope, arguments, ..Parts::default() }
    }

    fn conditions(&self) -> Vec<Condition> {
        let mut all = self.origin.uses();
        // Whoever has a copy of these proves nothing by it: how many of its refusals are recorded is bounded.
        let client = &self.origin.client;
        let copied = client.pinned().map(|workload| workload.what.to_string());
        let copied = copied.or_else(|| client.scoped_key().map(|(id, _)| format!("key {id}")));
        if let Some(what) = copied {
            let counted = format!("{what} {}", self.error.reason());
            all.push(Condition::Within {
                what: subject_digest("refused-workload", &counted),
                max: PINNED_REFUSALS,
                window: Duration::seconds(3_600),
                now: self.now,
            });
        }
        all
    }
}

impl RefusedRecord {
    fn other_key(&self) -> Option<String> {
        let wish = self.wish.as_ref().filter(|_| self.error == IssueError::OtherKey)?;
        match &wish.binding {
            Binding::Proof { jkt, .. } => Some(jkt.clone()),
            Binding::Certificate { key, .. } => key.clone(),
            Binding::Key(_) | Binding::None => None,
        }
    }
}

impl Recordable for IntrospectedRecord {
    fn kind(&self) -> RecordKind {
        RecordKind::Token
    }

    fn parts(&self) -> Parts {
        let envelope = self.origin.envelope(|member| match member {
            Member::Decision => Some(Field::Text(Decision::Allow.to_string())),
            Member::Operation => Some(Field::Text("introspect".into())),
            Member::Token => self.token.map(|token| Field::Text(token.to_string())),
            Member::Actions
            | Member::Alarm
            | Member::Audience
            | Member::Bound
            | Member::Chain
            | Member::Code
            | Member::Detail
            | Member::Instance
            | Member::Task
            | Member::Ttl
            | Member::Upstream
            | Member::Version => None,
        });
        Parts { envelope, ..Parts::default() }
    }

    fn conditions(&self) -> Vec<Condition> {
        let mut all = self.origin.uses();
        all.extend(self.proven.iter().cloned());
        all
    }
}

impl Recordable for RevokedRecord {
    fn kind(&self) -> RecordKind {
        RecordKind::Control
    }

    fn parts(&self) -> Parts {
        let envelope = self.origin.envelope(|member| match member {
            Member::Decision => Some(Field::Text(Decision::Allow.to_string())),
            Member::Operation => Some(Field::Text("revoke".into())),
            Member::Token => Some(Field::Text(self.token.to_string())),
            Member::Actions
            | Member::Alarm
            | Member::Audience
            | Member::Bound
            | Member::Chain
            | Member::Code
            | Member::Detail
            | Member::Instance
            | Member::Task
            | Member::Ttl
            | Member::Upstream
            | Member::Version => None,
        });
        Parts { envelope, ..Parts::default() }
    }

    fn conditions(&self) -> Vec<Condition> {
        let mut all = self.origin.uses();
        all.extend(self.proven.iter().cloned());
        all
    }

    fn changes(&self) -> Vec<StateChange> {
        let mut value = Vec::new();
        let mut writer = Writer::new(&mut value);
        writer.begin_object().field_str("agent", self.origin.client.agent.as_str());
        writer.field_int("until", self.expires.seconds()).end();
        end(writer);
        vec![StateChange { key: format!("revoked/token/{}", self.token), value: Some(value) }]
    }
}

/// The members of an envelope that differ between records.
#[derive(Clone, Copy)]
enum Member {
    Actions,
    Alarm,
    Audience,
    Bound,
    Chain,
    Code,
    Decision,
    Detail,
    Instance,
    Operation,
    Task,
    Token,
    Ttl,
    Upstream,
    Version,
}

enum Field {
    Text(String),
    Number(i64),
    Raw(Vec<u8>),
    Truth(bool),
}

impl Origin {
    /// The envelope: the origin's own members and those that `of` gives, in canonical order.
    fn envelope(&self, of: impl Fn(Member) -> Option<Field>) -> Vec<u8> {
        let (key, via) = match &self.client.way {
            Way::Assertion { key, .. } => (Some(key.as_str()), "private_key_jwt"),
            Way::Certificate { key } => (Some(key.as_str()), "tls_client_auth"),
            Way::Federated { .. } => (None, "federated"),
            Way::ScopedKey { .. } => (None, "scoped_key"),
            Way::Control => (None, "control"),
        };
        let mut out = Vec::with_capacity(512);
        let mut writer = Writer::new(&mut out);
        let revision = self.revision.to_string();
        writer.begin_object();
        put(&mut writer, "actions", of(Member::Actions));
        writer.field_str("agent", self.client.agent.as_str());
        put(&mut writer, "alarm", of(Member::Alarm));
        put(&mut writer, "audience", of(Member::Audience));
        put(&mut writer, "bound", of(Member::Bound));
        writer.field_str("boundary", if self.development { "development" } else { "production" });
        put(&mut writer, "chain", of(Member::Chain));
        put(&mut writer, "code", of(Member::Code));
        writer.field_str("control_revision", &revision);
        put(&mut writer, "decision", of(Member::Decision));
        put(&mut writer, "detail", of(Member::Detail));
        writer.field_str("edge", "oauth");
        if let Way::Federated { issuer, subject, .. } = &self.client.way {
            writer.field_str("federated_issuer", issuer);
            if let Some(workload) = self.client.pinned() {
                writer.field_str("federated_pin", &workload.value);
            }
            writer.field_str("federated_subject", subject);
        }
        put(&mut writer, "instance", of(Member::Instance));
        if let Some(key) = key {
            writer.field_str("key", key);
        }
        put(&mut writer, "operation", of(Member::Operation));
        if let Some((id, _)) = self.client.scoped_key() {
            writer.field_str("scoped_key", id);
        }
        put(&mut writer, "task", of(Member::Task));
        put(&mut writer, "token", of(Member::Token));
        put(&mut writer, "ttl", of(Member::Ttl));
        put(&mut writer, "upstream", of(Member::Upstream));
        writer.field_int("v", 1);
        put(&mut writer, "version", of(Member::Version));
        writer.field_str("via", via).end();
        end(writer);
        out
    }

    /// The key that an assertion is pinned to, if it may be used again.
    pub(crate) fn pins(&self, key: &str) -> Option<Condition> {
        let workload = self.client.pinned().filter(|_| self.pinning)?;
        let to = subject_digest("instance", key);
        Some(Condition::Pinned { what: workload.what, to, until: workload.until })
    }

    /// An assertion that counts once is used up by whatever record answers it.
    fn uses(&self) -> Vec<Condition> {
        match &self.client.way {
            Way::Assertion { single_use: (what, until), .. }
            | Way::Federated { reuse: Reuse::Once(what, until), .. } => {
                vec![Condition::Unused { what: *what, until: *until }]
            }
            Way::Federated { reuse: Reuse::Pinned(_), .. }
            | Way::Certificate { .. }
            | Way::ScopedKey { .. }
            | Way::Control => Vec::new(),
        }
    }
}

fn put<'a>(writer: &mut Writer<'a>, name: &'a str, field: Option<Field>) {
    match field {
        Some(Field::Text(text)) => drop(writer.field_str(name, &text)),
        Some(Field::Raw(canonical)) => drop(writer.field_raw(name, &canonical)),
        Some(Field::Number(number)) => drop(writer.field_int(name, number)),
        Some(Field::Truth(truth)) => drop(writer.field_bool(name, truth)),
        None => {}
    }
}

fn write_actions(actions: &BTreeSet<ActionId>) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let mut writer = Writer::new(&mut out);
    writer.begin_array();
    for action in actions {
        writer.item_str(&action.to_string());
    }
    writer.end();
    end(writer);
    out
}

/// Whose token was to be exchanged, where nothing came of it.
fn exchanged(parent: &Parent) -> Field {
    let mut out = Vec::with_capacity(128);
    let mut writer = Writer::new(&mut out);
    writer.begin_array().begin_object().field_str("agent", parent.agent.as_str());
    writer.field_str("token", &parent.token.to_string()).end().end();
    end(writer);
    Field::Raw(out)
}

/// An object of the members that are there; names in canonical order.
fn object(members: &[(&str, Option<String>)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    writer.begin_object();
    for (name, text) in members {
        if let Some(text) = text {
            writer.field_str(name, text);
        }
    }
    writer.end();
    end(writer);
    out
}

/// Everything above is written in canonical order with small numbers, which the tests of each
/// record read back; nothing else can fail here.
fn end(writer: Writer<'_>) {
    let written = writer.finish();
    debug_assert!(written.is_ok(), "{written:?}");
}
