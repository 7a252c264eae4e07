//! The bodies that the API takes, read strictly.

use super::problem::Problem;
use crate::{limits, tasks::Refused};
use axum::body::Body;
use http::StatusCode;
use model::{Digest, Duration, InputTrust, Timestamp, TriggerKind};
use policy::Trigger;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

/// A task that a client asks for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTask {
    pub(super) intent: String,
    #[serde(default)]
    pub(super) params: Map<String, Value>,
    #[serde(rename = "for")]
    pub(super) user: Option<String>,
    pub(super) subject_token: Option<String>,
    pub(super) trigger: Option<NewTrigger>,
    pub(super) input_trust: Option<String>,
    pub(super) expires_in: Option<i64>,
    pub(super) instance: Option<String>,
}

/// A task that an agent asks for, below one of its own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSubTask {
    pub(super) parent: Option<String>,
    pub(super) intent: Option<String>,
    pub(super) params: Option<Map<String, Value>>,
    pub(super) expires_in: Option<i64>,
    pub(super) instance: Option<String>,
}

/// Why something is stopped.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stop {
    pub(super) reason: String,
}

/// What set a task off.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTrigger {
    kind: String,
    #[serde(rename = "ref")]
    reference: String,
    digest: Option<String>,
    body: Option<String>,
}

/// The body's bytes, if it is not longer than any may be.
pub(super) async fn bytes(body: Body) -> Result<bytes::Bytes, Problem> {
    let read = axum::body::to_bytes(body, limits::API_BODY_BYTES).await;
    read.map_err(|_| Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long"))
}

/// Reads a body: I-JSON of exactly the known members.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refused> {
    canonical::parse(bytes, &canonical::Limits::FRAME)
        .map_err(|error| Refused::Wrong(format!("the body is not I-JSON: {error}")))?;
    serde_json::from_slice(bytes).map_err(|error| Refused::Wrong(error.to_string()))
}

/// What was asked for, cut, as the record of a refusal keeps it.
pub(super) fn cut(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(limits::API_RECORDED_CHARS).collect()
}

/// The end of a task that lives so many seconds.
pub(super) fn end(now: Timestamp, seconds: Option<i64>) -> Result<Option<Timestamp>, Refused> {
    match seconds {
        None => Ok(None),
        Some(seconds) if seconds > 0 && seconds <= limits::TASK_LIFE.as_seconds() => {
            Ok(Some(now.after(Duration::seconds(seconds))))
        }
        Some(_) => {
            let most = limits::TASK_LIFE.as_seconds();
            Err(Refused::Wrong(format!("`expires_in` is 1 to {most} seconds")))
        }
    }
}

/// The trigger and its text. A text has the digest that is stated for it, if one is.
pub(super) fn trigger(
    asked: Option<NewTrigger>,
    trust: Option<&str>,
) -> Result<(Trigger, Option<String>), Refused> {
    let wrong = |what: &str| Refused::Wrong(what.to_owned());
    let trust = match trust {
        None => InputTrust::Untrusted,
        Some(word) => InputTrust::parse(word)
            .ok_or_else(|| wrong("`input_trust` is `human`, `system` or `untrusted`"))?,
    };
    let Some(asked) = asked else {
        return Err(wrong("say what set the task off: `trigger: { kind, ref }`"));
    };
    let kinds = "`trigger.kind` is `message`, `ticket`, `schedule`, `webhook` or `agent`";
    let kind = TriggerKind::parse(&asked.kind).ok_or_else(|| wrong(kinds))?;
    let length = asked.reference.chars().count();
    if length == 0 || length > limits::TRIGGER_REFERENCE_CHARS {
        return Err(wrong("`trigger.ref` has 1 to 256 characters"));
    }
    let stated = match &asked.digest {
        None => None,
        Some(text) => Some(
            Digest::from_hex(text).ok_or_else(|| wrong("`trigger.digest` is SHA-256 in hex"))?,
        ),
    };
    let digest = match &asked.body {
        None => stated,
        Some(body) if body.len() > limits::TRIGGER_BYTES => {
            return Err(wrong("`trigger.body` is longer than 64 KiB"));
        }
        Some(body) => {
            let digest = sha256(body.as_bytes());
            if stated.is_some_and(|stated| stated != digest) {
                return Err(wrong("`trigger.digest` is not the digest of `trigger.body`"));
            }
            Some(digest)
        }
    };
    Ok((Trigger { kind, reference: asked.reference, digest, trust }, asked.body))
}

/// SHA-256.
pub(super) fn sha256(bytes: &[u8]) -> Digest {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    Digest(<[u8; 32]>::try_from(digest.as_ref()).unwrap_or_default())
}
