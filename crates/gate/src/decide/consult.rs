//! Asks the hooks that an action names before it happens. They can only refuse; no answer is a refusal.

use crate::{Gate, Refusal, World, json::object, settle};
use canonical::{Limits, Value};
use identity::Actor;
use model::{
    Code,
    declared::{Before, Hook},
};
use policy::{Clearance, Consultation};
use std::time::Duration;
use upstream::Message;

/// Brings a consultation to a clearance or a refusal; the first hook that does not agree ends it.
pub(crate) async fn consult(
    gate: &Gate,
    world: &World,
    actor: &Actor,
    consultation: Consultation,
) -> Result<Clearance, Refusal> {
    let hooks: Vec<Before> = consultation.hooks().cloned().collect();
    for before in &hooks {
        let Err((code, sentence)) = ask(gate, world, &consultation, before).await else { continue };
        let facts = consultation.facts().clone();
        return match consultation.refused(before, code, sentence) {
            Ok(observed) => Ok(observed),
            Err(denial) => Err(settle::deny(gate, actor, denial, &facts).await),
        };
    }
    Ok(consultation.agreed())
}

/// Asks one hook; an error is why it does not count as agreeing.
async fn ask(
    gate: &Gate,
    world: &World,
    consultation: &Consultation,
    before: &Before,
) -> Result<(), (Code, String)> {
    let hook = before.hook().and_then(|name| world.compiled.declared().hooks.get(name));
    let hook = hook.ok_or((Code::HookUnavailable, format!("`{before}` is not declared")))?;
    let (status, body) = post(gate, hook, question(consultation)).await.map_err(|why| {
        tracing::warn!(hook = %before, %why, "a hook gave no answer");
        (Code::HookUnavailable, format!("`{before}` gave no answer: {why}"))
    })?;
    if !status.is_success() {
        let code = if status.is_server_error() { Code::HookUnavailable } else { Code::HookRefused };
        return Err((code, format!("`{before}` answered with {status}")));
    }
    let Before::Pdp(_) = before else { return Ok(()) };
    let decision = canonical::parse(&body, &Limits::ARGUMENTS)
        .ok()
        .and_then(|answer| answer.get("decision").and_then(Value::as_bool));
    match decision {
        Some(true) => Ok(()),
        Some(false) => Err((Code::HookRefused, format!("`{before}` says no"))),
        None => Err((Code::HookUnavailable, format!("`{before}` answered with no decision"))),
    }
}

/// Posts JSON to a hook.
pub(crate) async fn post(
    gate: &Gate,
    hook: &Hook,
    body: Vec<u8>,
) -> Result<(http::StatusCode, bytes::Bytes), String> {
    let secret = hook.secret.as_ref().map(|source| gate.broker.header_of(source)).transpose();
    let message = Message {
        url: &hook.url,
        content_type: "application/json",
        body,
        secret: secret.map_err(|error| error.to_string())?,
        within: Duration::from_micros(u64::try_from(hook.within.0).unwrap_or(0)),
    };
    gate.courier.post(message).await.map_err(|fault| fault.to_string())
}

/// The question in the form of an AuthZEN access evaluation.
fn question(consultation: &Consultation) -> Vec<u8> {
    let (subject, facts, call) =
        (consultation.subject(), consultation.facts(), consultation.call());
    let entry = call.entry();
    let text = |text: &dyn std::fmt::Display| Value::from(text.to_string());
    let mut who = vec![("version", text(&subject.version))];
    who.extend(subject.user.as_ref().map(|user| ("user", text(user))));
    let mut context = vec![
        ("arguments", call.arguments().clone()),
        ("edge", facts.edge.into()),
        ("entry", text(&facts.entry)),
        ("time", text(&facts.now)),
        ("trace", text(&facts.trace)),
    ];
    context.extend(subject.task.map(|task| ("task", text(&task))));
    let intent = facts.task.as_ref().and_then(|task| task.intent.as_ref());
    context.extend(intent.map(|intent| ("intent", text(intent))));
    let resource = entry.action.resource.as_ref();
    let id = resource.and_then(|resource| call.arguments().get(resource.id.as_deref()?));
    let kind = resource.map_or("operation", |resource| resource.kind.as_str());
    let id = match id {
        Some(Value::String(id)) => id.clone(),
        Some(other) => String::from_utf8(other.to_bytes()).unwrap_or_default(),
        None => entry.id.to_string(),
    };
    object([
        (
            "action",
            object([
                ("name", text(&entry.id)),
                (
                    "properties",
                    object([
                        ("effect", entry.action.effect.as_str().into()),
                        ("risk", entry.action.risk.as_str().into()),
                    ]),
                ),
            ]),
        ),
        ("context", object(context)),
        (
            "resource",
            object([
                ("id", id.as_str().into()),
                ("properties", object([("upstream", text(&entry.id.upstream))])),
                ("type", kind.into()),
            ]),
        ),
        (
            "subject",
            object([
                ("id", text(&subject.agent)),
                ("properties", object(who)),
                ("type", "agent".into()),
            ]),
        ),
    ])
    .to_bytes()
}
