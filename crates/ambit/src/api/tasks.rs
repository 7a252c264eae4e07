//! `/api/v1/tasks`: a client opens tasks of its agent, and ends them.

use super::{
    caller::{Client, authenticate},
    human, presented,
    problem::Problem,
    request::{self, NewTask},
};
use crate::{
    app::App,
    tasks::{self, Opening, Refused, Told, Use},
};
use axum::{
    body::Body,
    extract::{Path, Request, State},
    response::Response,
};
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use model::{AgentName, Code, Digest, Name, OpenedBy, TaskId, Timestamp, UserName};
use policy::TaskFacts;
use serde_json::json;
use std::sync::Arc;

/// Opens a task.
pub(super) async fn open(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let (head, body) = request.into_parts();
    let client = authenticate(&app, &head)?;
    let agent = opener(&app, &client, &head).await?;
    let bytes = request::bytes(body).await?;
    let key = idempotency_key(&client, &head.headers)?;
    let digest = request::sha256(&bytes);
    if let Some(known) = key.as_ref().and_then(|key| remembered(&app, key)) {
        return repeated(&app, &known, &digest);
    }
    let mut using = Use {
        uses: vec![client.proof],
        subjects: client.subjects.clone(),
        remembered: key.clone().map(|key| (key, digest)),
        revision: client.revision,
        asked: request::cut(&bytes),
    };
    let opening = match asked(&app, (&client, &agent), &bytes).await {
        Ok((opening, subjects)) => {
            using.subjects.extend(subjects);
            opening
        }
        Err(refused) => {
            let whom = (agent, Some(client.name.clone()));
            using.remembered = None;
            return Err(Problem::of(tasks::refuse(&app, whom, refused, using, Told::Nobody).await));
        }
    };
    if let Some(key) = &key {
        // Two at once with one key: one of them opens, the other is told what it opened.
        let unused = request::sha256(format!("ambit-idempotency-v1\n{key}").as_bytes());
        using.uses.push((unused, app.clock.now().after(crate::limits::IDEMPOTENCY_KEPT)));
    }
    match tasks::open(&app, opening, using).await {
        Ok(task) => Ok(opened(&app, &task)),
        Err(Refused::Used) => match key.as_ref().and_then(|key| remembered(&app, key)) {
            Some(known) => repeated(&app, &known, &digest),
            None => Err(Problem::of(Refused::Used)),
        },
        Err(refused) => Err(Problem::of(refused)),
    }
}

/// Ends a task of the client's own.
pub(super) async fn end(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let (head, _) = request.into_parts();
    let client = authenticate(&app, &head)?;
    let task = TaskId::parse(&id).and_then(|id| app.gate.task(id));
    let own = |task: &Arc<TaskFacts>| task.client.as_ref() == Some(&client.name);
    let Some(task) = task.filter(own) else {
        return Err(Problem::new(StatusCode::NOT_FOUND, "there is no such task of this client"));
    };
    let reason = format!("ended by client `{}`", client.name);
    ended(&app, task.id, reason).await
}

/// Ends a task and answers when its reach has ended.
pub(super) async fn ended(
    app: &Arc<App>,
    id: TaskId,
    reason: String,
) -> Result<Response<Body>, Problem> {
    let ending = Arc::clone(app);
    let done = tokio::spawn(async move { crate::ops::end_task(&ending, id, reason).await }).await;
    done.unwrap_or_else(|broken| Err(broken.into())).map_err(|error| {
        tracing::error!(%error, "a task could not be ended");
        Problem::of(Refused::Unrecorded(Code::Unrecorded, "the task was not ended".to_owned()))
    })?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// The agent whose tasks the client opens, if it opens any.
async fn opener(app: &App, client: &Client, head: &Parts) -> Result<AgentName, Problem> {
    match &client.declared.agent {
        Some(agent) => Ok(agent.clone()),
        None => Err(presented::refuse(app, client, head, "open tasks").await),
    }
}

async fn asked(
    app: &App,
    (client, agent): (&Client, &AgentName),
    bytes: &[u8],
) -> Result<(Opening, Vec<Digest>), Refused> {
    let asked: NewTask = request::read(bytes)?;
    let intent = Name::new(&asked.intent).map_err(|error| Refused::Wrong(error.to_string()))?;
    if !client.declared.may_open.contains(&intent) {
        let what = format!("client `{}` may not open tasks of intent `{intent}`", client.name);
        return Err(Refused::Denied(Code::NotGranted, what));
    }
    let (trigger, body) = request::trigger(asked.trigger, asked.input_trust.as_deref())?;
    let expires = request::end(app.clock.now(), asked.expires_in)?;
    let (named, token) = (asked.user.as_deref(), asked.subject_token.as_deref());
    let human = human::read(app, (client, agent), named, token).await?;
    let opening = Opening {
        agent: agent.clone(),
        intent: Some(intent),
        params: asked.params,
        user: human.user,
        told: human.told,
        trigger,
        body,
        expires,
        instance: asked.instance,
        opened_by: OpenedBy::Orchestrator,
        client: Some(client.name.clone()),
        within: Vec::new(),
    };
    Ok((opening, human.subjects))
}

/// The row that remembers requests under this client's key.
fn idempotency_key(client: &Client, headers: &HeaderMap) -> Result<Option<String>, Problem> {
    if !headers.contains_key("idempotency-key") {
        return Ok(None);
    }
    let key = gate::wire::credential::single(headers, "idempotency-key");
    let fits = |key: &&str| !key.is_empty() && key.len() <= 255 && key.is_ascii();
    let key = key.filter(fits).ok_or_else(|| {
        let what = "`Idempotency-Key` comes once, with 1 to 255 ASCII characters";
        Problem::new(StatusCode::BAD_REQUEST, what)
    })?;
    Ok(Some(format!("idempotent/{}/{}", client.name, request::sha256(key.as_bytes()))))
}

/// What was asked for under a key before: the request's digest and the task.
fn remembered(app: &App, key: &str) -> Option<(String, TaskId)> {
    let row = app.store.live(key)?;
    let row = canonical::parse(&row, &canonical::Limits::ARGUMENTS).ok()?;
    let text = |name: &str| row.get(name).and_then(canonical::Value::as_str);
    Some((text("request")?.to_owned(), TaskId::parse(text("task")?)?))
}

fn repeated(
    app: &App,
    (request, task): &(String, TaskId),
    digest: &Digest,
) -> Result<Response<Body>, Problem> {
    if *request != digest.to_string() {
        let what = "this `Idempotency-Key` was used for another request";
        return Err(Problem::new(StatusCode::CONFLICT, what));
    }
    let task = app.gate.task(*task);
    let task = task.ok_or_else(|| Problem::new(StatusCode::GONE, "that task has ended"))?;
    Ok(opened(app, &task))
}

/// The answer for an opened task.
pub(super) fn opened(app: &App, task: &TaskFacts) -> Response<Body> {
    let version = app.gate.world().compiled.agent(&task.agent).map(|entry| entry.version);
    let body = json!({
        "task": task.id.to_string(),
        "agent": task.agent.as_str(),
        "version": version.map(|version| version.to_string()),
        "intent": task.intent.as_ref().map(Name::as_str),
        "for": task.user.as_ref().map(UserName::as_str),
        "opened_by": task.opened_by.as_str(),
        "parent": task.parent.map(|parent| parent.to_string()),
        "input_trust": task.trigger.trust.as_str(),
        "expires": task.expires.to_string(),
        "expires_in": seconds_left(app.clock.now(), task.expires),
    });
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::CREATED;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let place = match task.opened_by {
        OpenedBy::Agent => super::SUBTASKS.to_owned(),
        OpenedBy::Human | OpenedBy::Orchestrator | OpenedBy::Operator => {
            format!("{}/tasks", super::PREFIX)
        }
    };
    if let Ok(location) = HeaderValue::try_from(format!("{place}/{}", task.id)) {
        headers.insert(header::LOCATION, location);
    }
    response
}

fn seconds_left(now: Timestamp, expires: Timestamp) -> i64 {
    expires.since(now).as_seconds().max(0)
}
