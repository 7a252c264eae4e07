//! What a client asked of the registry: recorded before it is answered, and its proof is used up by that.

use super::{caller::Client, problem::Problem, request};
use crate::{
    app::App,
    tasks::{self, Refused},
};
use canonical::Value;
use http::request::Parts as Head;
use model::{
    Code, Digest, Name, Timestamp,
    declared::ApiRight,
    record::{Condition, Parts, RecordKind, Recordable},
};

/// A request of an authenticated client.
struct Presented {
    boundary: &'static str,
    client: Name,
    method: String,
    path: String,
    refused: Option<Code>,
    revision: u64,
    proof: (Digest, Timestamp),
    subjects: Vec<Digest>,
}

impl Recordable for Presented {
    fn kind(&self) -> RecordKind {
        RecordKind::Presented
    }

    fn parts(&self) -> Parts {
        let code = self.refused.map(Code::slug);
        let envelope = gate::json::object([
            ("boundary", self.boundary.into()),
            ("client", self.client.as_str().into()),
            ("code", code.map_or(Value::Null, Value::from)),
            ("control_revision", self.revision.to_string().into()),
            ("decision", if code.is_none() { "allow" } else { "deny" }.into()),
            ("method", self.method.as_str().into()),
            ("v", Value::Integer(1)),
            ("what", "api".into()),
        ]);
        let arguments = gate::json::object([("path", self.path.as_str().into())]);
        Parts { envelope: envelope.to_bytes(), arguments: arguments.to_bytes(), ..Parts::default() }
    }

    fn conditions(&self) -> Vec<Condition> {
        let (what, until) = self.proof;
        let subjects = self.subjects.clone();
        vec![
            Condition::Unused { what, until },
            Condition::NotRevokedSince { subjects, decided_at: self.revision },
        ]
    }
}

/// Records a request of a client that has the right; another is refused.
pub(super) async fn record(
    app: &App,
    client: &Client,
    head: &Head,
    right: ApiRight,
) -> Result<(), Problem> {
    if client.declared.may.contains(&right) {
        return append(app, client, head, None).await;
    }
    Err(refuse(app, client, head, right.as_str()).await)
}

/// Refuses what a client may not do.
pub(super) async fn refuse(app: &App, client: &Client, head: &Head, what: &str) -> Problem {
    let name = &client.name;
    let told = format!("client `{name}` may not {what}: its block in `clients:` does not say so");
    match append(app, client, head, Some(Code::NotGranted)).await {
        Ok(()) => Problem::of(Refused::Denied(Code::NotGranted, told)),
        Err(unrecorded) => unrecorded,
    }
}

async fn append(
    app: &App,
    client: &Client,
    head: &Head,
    refused: Option<Code>,
) -> Result<(), Problem> {
    let presented = Presented {
        boundary: app.settings.form.as_str(),
        client: client.name.clone(),
        method: head.method.to_string(),
        path: request::cut(head.uri.path().as_bytes()),
        refused,
        revision: client.revision,
        proof: client.proof,
        subjects: client.subjects.clone(),
    };
    tasks::append(app, presented).await.map_err(Problem::of)
}
