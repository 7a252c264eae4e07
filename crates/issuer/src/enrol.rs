//! Enrols an instance: a one-time code and a proof of possession buy a place for its public key.

use crate::{error::IssueError, form::Form, issue::Issuer, limits::ENROL_TRIES};
use aws_lc_rs::{constant_time::verify_slices_are_equal, digest};
use canonical::{Value, Writer};
use http::HeaderMap;
use identity::{AgentKeys, Nonces, Proof, ProofTarget, limits::AGENT_KEYS, verify_proof};
use ledger::{AppendError, subject_digest};
use model::{
    AgentName, Digest, Name, Timestamp,
    record::{Condition, Parts, RecordKind, Recordable, StateChange},
};

/// A code that was given out, as its row says it.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// SHA-256 of its secret part.
    pub hash: Digest,
    /// When it ends.
    pub until: Timestamp,
    /// How often it was tried.
    pub tries: u8,
}

impl Enrolment {
    /// The row of a code of an agent.
    #[must_use]
    pub fn row(agent: &AgentName, id: &str) -> String {
        format!("enrol/{agent}/{id}")
    }

    /// The row of an instance of an agent.
    #[must_use]
    pub fn instance_row(agent: &AgentName, thumbprint: &str) -> String {
        format!("instance/{agent}/{thumbprint}")
    }

    /// The bytes of its row.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.begin_object().field_str("hash", &self.hash.to_string());
        writer.field_int("tries", i64::from(self.tries));
        writer.field_int("until", self.until.seconds()).field_int("v", 1).end();
        let written = writer.finish();
        debug_assert!(written.is_ok(), "{written:?}");
        out
    }

    /// Reads a row; anything else is `None`.
    #[must_use]
    pub fn from_bytes(row: &[u8]) -> Option<Enrolment> {
        let row = canonical::parse(row, &canonical::Limits::ARGUMENTS).ok()?;
        let number = |name: &str| row.get(name).and_then(Value::as_i64);
        Some(Enrolment {
            hash: Digest::from_hex(row.get("hash")?.as_str()?)?,
            until: Timestamp::from_seconds(number("until")?),
            tries: u8::try_from(number("tries")?).ok()?,
        })
    }

    /// What is kept of a secret.
    #[must_use]
    pub fn digest(secret: &str) -> Digest {
        let found = digest::digest(&digest::SHA256, secret.as_bytes());
        Digest(<[u8; 32]>::try_from(found.as_ref()).unwrap_or_default())
    }
}

/// An instance that is enrolled.
pub(crate) struct Enrolled {
    pub(crate) agent: AgentName,
    pub(crate) instance: String,
}

/// What was sent: `AGENT.ID.SECRET`, and the key.
struct Sent {
    agent: AgentName,
    id: String,
    secret: String,
    jwk: Vec<u8>,
    proof: Proof,
}

impl Issuer {
    /// Answers `POST /oauth/enrol`. Whoever fails is a stranger: counted, and his try is written down where it was one.
    pub(crate) async fn enrol(
        &self,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Enrolled, IssueError> {
        let sent = self.read_enrolment(headers, body).inspect_err(|error| self.count(error))?;
        let revision = self.directory.control_revision();
        let enrolled = self.judge(sent, revision).await;
        enrolled.inspect_err(|error| self.count(error))
    }

    fn read_enrolment(&self, headers: &HeaderMap, body: &[u8]) -> Result<Sent, IssueError> {
        let form = Form::read(headers, body)?;
        let mut parts = form.require("code")?.splitn(3, '.');
        let (agent, id, secret) = (parts.next(), parts.next(), parts.next());
        let (Some(agent), Some(id), Some(secret)) = (agent, id, secret) else {
            return Err(IssueError::Enrolment);
        };
        let jwk = form.require("jwk")?.as_bytes().to_vec();
        let mut proofs = headers.get_all("dpop").iter();
        let proof = proofs.next().ok_or(IssueError::ProofMissing)?;
        if proofs.next().is_some() {
            return Err(IssueError::ProofRepeated);
        }
        let url = self.settings.enrolment_endpoint();
        let nonces = Nonces::Demanded(self.directory.nonce_key());
        let target = ProofTarget { method: "POST", url: &url, token: None, nonces };
        let proof = verify_proof(proof.to_str().unwrap_or_default(), &target, self.directory.now());
        Ok(Sent {
            agent: Name::new(agent).map_err(|_| IssueError::Enrolment)?,
            id: id.to_owned(),
            secret: secret.to_owned(),
            jwk,
            proof: proof.map_err(IssueError::Proof)?,
        })
    }

    async fn judge(&self, sent: Sent, revision: u64) -> Result<Enrolled, IssueError> {
        let keys = AgentKeys::parse(&sent.jwk).map_err(|_| IssueError::ForeignKey)?;
        if keys.thumbprints().ne([sent.proof.thumbprint()]) {
            return Err(IssueError::ForeignKey);
        }
        let found = self.directory.enrolment(&sent.agent, &sent.id);
        let found = found.filter(|found| found.tries < ENROL_TRIES);
        let found = found.filter(|found| self.directory.now() < found.until);
        let found = found.ok_or(IssueError::Enrolment)?;
        let hash = Enrolment::digest(&sent.secret);
        let fits = verify_slices_are_equal(hash.as_bytes(), found.hash.as_bytes()).is_ok();
        let agent = self.directory.agent(&sent.agent);
        let full = agent.is_some_and(|agent| agent.keys.thumbprints().count() >= AGENT_KEYS);
        let record = EnrolRecord { found, revision, fits: fits && !full, sent };
        let (agent, instance) =
            (record.sent.agent.clone(), record.sent.proof.thumbprint().to_owned());
        match self.record(record).await {
            Ok(()) if fits && !full => Ok(Enrolled { agent, instance }),
            // One try is judged at a time: whoever lost the race learns nothing of his guess.
            Ok(()) | Err(AppendError::Failed(_) | AppendError::Moved) => Err(IssueError::Enrolment),
            Err(error) => Err(IssueError::of_append(&error)),
        }
    }
}

/// A try, whatever came of it.
struct EnrolRecord {
    sent: Sent,
    found: Enrolment,
    revision: u64,
    fits: bool,
}

impl EnrolRecord {
    /// The place that this try takes; no other try of the same code may take it, too.
    fn place(&self) -> Digest {
        Enrolment::digest(&format!(
            "ambit-enrol-v1\0{}\0{}\0{}",
            self.sent.agent, self.sent.id, self.found.tries
        ))
    }
}

impl Recordable for EnrolRecord {
    fn kind(&self) -> RecordKind {
        RecordKind::Control
    }

    fn parts(&self) -> Parts {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.begin_object().field_str("agent", self.sent.agent.as_str());
        writer.field_str("code_id", &self.sent.id);
        writer.field_str("decision", if self.fits { "allow" } else { "deny" });
        writer.field_str("edge", "oauth");
        writer.field_str("instance", self.sent.proof.thumbprint());
        writer.field_int("v", 1).field_str("what", "enrol").end();
        let written = writer.finish();
        debug_assert!(written.is_ok(), "{written:?}");
        Parts { envelope: out, ..Parts::default() }
    }

    fn conditions(&self) -> Vec<Condition> {
        let (what, until) = self.sent.proof.single_use();
        vec![
            Condition::Unused { what, until },
            Condition::Unused { what: self.place(), until: self.found.until },
            Condition::NotRevokedSince {
                subjects: vec![subject_digest("agent", self.sent.agent.as_str())],
                decided_at: self.revision,
            },
        ]
    }

    fn changes(&self) -> Vec<StateChange> {
        let key = Enrolment::row(&self.sent.agent, &self.sent.id);
        if !self.fits {
            let tries = self.found.tries.saturating_add(1);
            let tried = Enrolment { tries, ..self.found.clone() };
            return vec![StateChange { key, value: Some(tried.to_bytes()) }];
        }
        let instance = Enrolment::instance_row(&self.sent.agent, self.sent.proof.thumbprint());
        vec![
            StateChange { key, value: None },
            StateChange { key: instance, value: Some(self.sent.jwk.clone()) },
        ]
    }
}
