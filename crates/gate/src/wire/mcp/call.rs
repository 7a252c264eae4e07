//! `tools/call`: the message becomes an action request, and the flow's answer a response in the client's revision.

use super::{
    Body, Visit, claim,
    era::Era,
    refuse,
    rpc::{self, Message},
};
use crate::{
    ActionRequest, Answer, Edge, Frame, Gate, Outbound, limits,
    mediate::{Head, Reply},
};
use ::http::{HeaderName, HeaderValue, Response, header};
use bytes::Bytes;
use canonical::{Object, Value};
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame as HttpFrame;
use model::Code;
use std::sync::Arc;
use tokio::sync::mpsc;
use upstream::mcp::Outcome;

const ACCEL: HeaderName = HeaderName::from_static("x-accel-buffering");

/// What an answer needs to know of its request.
struct Asked {
    era: Era,
    id: Value,
    tool: String,
}

/// Takes one tool call through the flow.
pub(super) async fn answer(
    gate: &Arc<Gate>,
    visit: Visit,
    id: Value,
    mut message: Message,
) -> Response<Body> {
    let Some(tool) = message.text("name").map(str::to_owned) else {
        return refuse::nameless(id).response();
    };
    let progress = message.meta("progressToken").filter(|token| is_token(token)).cloned();
    let arguments = match &mut message.params {
        Value::Object(params) => params.remove("arguments"),
        _ => None,
    };
    let mut arguments = arguments.unwrap_or(Value::Object(Object::new()));
    let mut operation = tool.clone();
    if tool == claim::TOOL {
        let claimed = claim::find(gate, &visit, &arguments);
        // At another upstream's door the handle stands for nothing: its token is for that door.
        match claimed.filter(|claimed| claimed.action.upstream == visit.upstream) {
            Some(claimed) => {
                operation = claimed.action.operation.to_string();
                arguments = claimed.arguments;
            }
            None => return claim::refuse(gate, &visit, &id).await,
        }
    }
    let request = ActionRequest {
        edge: Edge::Mcp,
        credential: visit.credential.clone(),
        upstream: visit.upstream.clone(),
        operation,
        arguments,
        trace: visit.trace,
        traceparent: visit.traceparent.clone(),
        task: visit.task,
        outbound: Outbound::Mcp { progress: progress.filter(|_| visit.takes_events) },
    };
    let asked = Asked { era: visit.era, id, tool };
    match gate.mediate(request).await {
        Answer::Whole(reply) => {
            rpc::answer(::http::StatusCode::OK, &asked.reply(gate, &visit, reply))
        }
        Answer::Refused(refusal) => {
            match refuse::call(gate, &visit, &asked.id, &asked.tool, &refusal) {
                Ok(result) => rpc::result(asked.era, &asked.id, result),
                Err(response) => *response,
            }
        }
        Answer::Stream(Head::Mcp, frames) => events(asked, frames),
        Answer::Stream(Head::Http(_), _) => {
            rpc::result(asked.era, &asked.id, crossed(&asked, &visit))
        }
    }
}

impl Asked {
    fn reply(&self, _gate: &Gate, visit: &Visit, reply: Reply) -> Value {
        match reply {
            Reply::Mcp(outcome) => self.outcome(outcome),
            Reply::Http(_) => rpc::result_message(self.era, &self.id, crossed(self, visit)),
        }
    }

    fn outcome(&self, outcome: Outcome) -> Value {
        if outcome.is_protocol_error() {
            return rpc::error_message(Some(&self.id), outcome.into_value());
        }
        rpc::result_message(self.era, &self.id, outcome.into_value())
    }
}

/// The flow answers an MCP request with an MCP reply; anything else is a fault of our own.
fn crossed(asked: &Asked, visit: &Visit) -> Value {
    refuse::result(&asked.tool, &crate::Refusal::new(Code::UpstreamInvalid, visit.trace))
}

/// The answer as server-sent events. The flow sends the last frame after its outcome is durable; dropping the body
/// drops the receiver, which the flow takes as cancellation.
fn events(asked: Asked, frames: mpsc::Receiver<Frame>) -> Response<Body> {
    let stream = stream::unfold(Some((asked, frames)), |state| async move {
        let (asked, mut frames) = state?;
        let (bytes, go_on) = match tokio::time::timeout(limits::MCP_KEEP_ALIVE, frames.recv()).await
        {
            Err(_) => (Bytes::from_static(b":\n\n"), true),
            Ok(Some(Frame::Notification(notification))) => (event(&notification), true),
            Ok(Some(Frame::Last(Reply::Mcp(outcome)))) => (event(&asked.outcome(outcome)), false),
            Ok(Some(Frame::Broken(refusal))) => {
                let result = refuse::result(&asked.tool, &refusal);
                (event(&rpc::result_message(asked.era, &asked.id, result)), false)
            }
            Ok(Some(Frame::Bytes(_) | Frame::Last(Reply::Http(_))) | None) => {
                return Some((Err(std::io::Error::other("the answer broke off")), None));
            }
        };
        let rest = go_on.then_some((asked, frames));
        Some((Ok(HttpFrame::data(bytes)), rest))
    });
    let mut response = Response::new(StreamBody::new(stream).boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(ACCEL, HeaderValue::from_static("no"));
    response
}

fn event(message: &Value) -> Bytes {
    let mut bytes = b"event: message\ndata: ".to_vec();
    // Canonical JSON escapes line breaks, so that one message is one `data` line.
    message.write(&mut bytes);
    bytes.extend_from_slice(b"\n\n");
    bytes.into()
}

fn is_token(token: &Value) -> bool {
    match token {
        Value::Integer(_) => true,
        Value::String(text) => text.len() <= limits::MCP_ID,
        _ => false,
    }
}
