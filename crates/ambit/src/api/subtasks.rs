//! `/tasks` at the agents' listener: an agent opens sub-tasks of tasks of its own with its own token, and nothing else.

use super::{
    problem::Problem,
    request::{self, NewSubTask},
    tasks::{ended, opened},
};
use crate::{
    app::App,
    tasks::{self, Opening, Refused, Told, Use},
};
use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    response::Response,
    routing::{delete, post},
};
use gate::wire::credential;
use http::{StatusCode, request::Parts};
use identity::Actor;
use model::{Code, Digest, Name, OpenedBy, TaskId};
use policy::{everything, subject_digest, subjects_of};
use serde_json::{Map, Value};
use std::sync::Arc;

/// Its path; with the agents' listener's URL the audience of tokens for it.
pub(crate) const PATH: &str = "/tasks";

/// The routes.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new().route("/tasks", post(open)).route("/tasks/{id}", delete(end)).with_state(app)
}

fn authenticate(app: &App, head: &Parts) -> Result<Actor, Problem> {
    let base = &app.settings.base_url;
    let url = format!("{base}{}", head.uri.path());
    let shown = credential::read(&head.headers, head.method.as_str(), url)
        .map(|shown| shown.over(&head.extensions));
    app.gate.recognise(shown.as_ref(), &format!("{base}{PATH}")).map_err(|code| {
        app.gate.count_stranger(code);
        Problem::stranger(code)
    })
}

async fn open(State(app): State<Arc<App>>, request: Request) -> Result<Response<Body>, Problem> {
    let (head, body) = request.into_parts();
    let revision = app.gate.world().revision;
    let actor = authenticate(&app, &head)?;
    let bytes = request::bytes(body).await?;
    let using = Use {
        uses: actor.proof_use().into_iter().collect(),
        subjects: subjects(&actor),
        remembered: None,
        revision,
        asked: request::cut(&bytes),
    };
    let opening = match asked(&app, &actor, &bytes) {
        Ok(opening) => opening,
        Err(refused) => {
            let whom = (actor.agent().clone(), None);
            return Err(Problem::of(tasks::refuse(&app, whom, refused, using, Told::Nobody).await));
        }
    };
    let within = opening.within.iter();
    let using = Use {
        subjects: within
            .map(|task| subject_digest("task", &task.id.to_string()))
            .chain(using.subjects)
            .collect(),
        ..using
    };
    let task = tasks::open(&app, opening, using).await.map_err(Problem::of)?;
    Ok(opened(&app, &task))
}

/// Everybody whose revocation takes the opening back.
fn subjects(actor: &Actor) -> Vec<Digest> {
    let instance = actor.instance().map(|instance| subject_digest("instance", instance));
    let own = [
        subject_digest("version", &actor.version().to_string()),
        subject_digest("token", &actor.token().to_string()),
        everything(),
    ];
    let key = actor.scoped_key().map(|key| subject_digest("key", key));
    let chain = actor.chain().iter().flat_map(subjects_of);
    own.into_iter().chain(instance).chain(key).chain(chain).collect()
}

fn asked(app: &App, actor: &Actor, bytes: &[u8]) -> Result<Opening, Refused> {
    let denied = |what: &str| Refused::Denied(Code::NotGranted, what.to_owned());
    let only = "an agent opens sub-tasks of its own tasks only: name one as `parent`";
    // Whatever else it asks for, without a task of its own it opens none.
    let named: Map<String, Value> = request::read(bytes)?;
    if named.get("parent").is_none_or(Value::is_null) {
        return Err(denied(only));
    }
    let asked: NewSubTask = request::read(bytes)?;
    let parent = asked.parent.as_deref().and_then(TaskId::parse);
    let line = parent.and_then(|parent| app.gate.task_of(actor, parent));
    let within = line.ok_or_else(|| denied("`parent` is not an open task of this agent"))?;
    let parent = within.first().ok_or_else(|| denied(only))?;
    let intent = match &asked.intent {
        None => parent.intent.clone(),
        Some(name) => Some(Name::new(name).map_err(|error| Refused::Wrong(error.to_string()))?),
    };
    let params = match asked.params {
        Some(params) => params,
        None => params_of(parent),
    };
    Ok(Opening {
        agent: actor.agent().clone(),
        intent,
        params,
        user: parent.user.clone(),
        told: Told::Parent,
        trigger: parent.trigger.clone(),
        body: None,
        expires: request::end(app.clock.now(), asked.expires_in)?
            .map(|expires| expires.min(parent.expires)),
        instance: asked.instance.or_else(|| parent.instance.clone()),
        opened_by: OpenedBy::Agent,
        client: parent.client.clone(),
        within,
    })
}

/// The parameters of a task, as they are asked for.
fn params_of(task: &policy::TaskFacts) -> Map<String, Value> {
    let value = serde_json::from_slice(&task.params.to_bytes()).unwrap_or_default();
    match value {
        Value::Object(params) => params,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}

/// Ends a task of the agent's own: that only narrows.
async fn end(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let (head, _) = request.into_parts();
    let actor = authenticate(&app, &head)?;
    let line = TaskId::parse(&id).and_then(|id| app.gate.task_of(&actor, id));
    let task = line.and_then(|line| line.first().cloned()).ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "there is no such open task of this agent")
    })?;
    ended(&app, task.id, format!("ended by agent `{}`", actor.agent())).await
}
