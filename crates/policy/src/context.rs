//! The Cedar context of one call, built natively, with no more in it than the slice reads.

use crate::call::Call;
use crate::facts::{Facts, Subject};
use crate::reads::Reads;
use crate::shape;
use canonical::Value;
use cedar_policy::{Context, RestrictedExpression};
use model::Timestamp;

type Pairs = Vec<(String, RestrictedExpression)>;

/// Why no context could be built; the action is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ContextError {
    /// A policy reads an argument that is longer than it may be.
    #[error("an argument that a policy reads is too long to be checked")]
    TooLong,
    /// A value is not what its type says.
    #[error("an argument is not what its type says")]
    Malformed,
}

/// What is common to both passes; `approved` is added by [`with_approved`].
pub(crate) fn build(
    subject: &Subject,
    call: &Call,
    facts: &Facts,
    intent_ok: bool,
    reads: &Reads,
) -> Result<Pairs, ContextError> {
    let mut pairs: Pairs = Vec::with_capacity(12);
    let mut add = |name: &str, value: &dyn Fn() -> Result<RestrictedExpression, ContextError>| {
        if reads.name(name) {
            pairs.push((name.to_owned(), value()?));
        }
        Ok(())
    };
    add("args", &|| arguments(call, reads))?;
    add("args_opaque", &|| Ok(texts(&call.opaque)))?;
    add("development", &|| Ok(RestrictedExpression::new_bool(facts.development)))?;
    add("edge", &|| Ok(text(facts.edge)))?;
    add("entitled", &|| {
        let entitled = call.slice().entitles(subject.user.as_ref(), &facts.user_groups);
        Ok(RestrictedExpression::new_bool(entitled))
    })?;
    add("extra", &|| Ok(texts(&call.extra)))?;
    add("hour", &|| Ok(RestrictedExpression::new_long(hour(facts.now))))?;
    add("intent_ok", &|| Ok(RestrictedExpression::new_bool(intent_ok)))?;
    add("now_ms", &|| Ok(RestrictedExpression::new_long(facts.now.millis())))?;
    add("served", &|| {
        let served = call.slice().principal.serves(subject.user.as_ref(), &facts.user_groups);
        Ok(RestrictedExpression::new_bool(served))
    })?;
    add("weekday", &|| Ok(RestrictedExpression::new_long(weekday(facts.now))))?;
    if facts.task.is_some() {
        add("task", &|| task(call, facts))?;
    }
    if let Some(user) = &subject.user {
        add("user", &|| {
            let groups = facts.user_groups.iter().map(|group| text(group.as_str()));
            let groups = RestrictedExpression::new_set(groups);
            let issuer = user.issuer().map(|issuer| ("issuer", text(issuer)));
            let known = [("groups", groups), ("name", text(user.as_str()))];
            fields(known.into_iter().chain(issuer))
        })?;
    }
    Ok(pairs)
}

/// The context of one pass.
pub(crate) fn with_approved(
    mut pairs: Pairs,
    approved: bool,
    reads: &Reads,
) -> Result<Context, ContextError> {
    if reads.name("approved") {
        pairs.push(("approved".to_owned(), RestrictedExpression::new_bool(approved)));
    }
    Context::from_pairs(pairs).map_err(|_| ContextError::Malformed)
}

fn arguments(call: &Call, reads: &Reads) -> Result<RestrictedExpression, ContextError> {
    let members = &call.entry().arguments.members;
    shape::record(members, call.object(), |name| reads.argument(name)).map_err(|unbuilt| {
        match unbuilt {
            shape::Unbuilt::TooLong => ContextError::TooLong,
            shape::Unbuilt::Misfit => ContextError::Malformed,
        }
    })
}

fn task(call: &Call, facts: &Facts) -> Result<RestrictedExpression, ContextError> {
    let Some(task) = &facts.task else { return Err(ContextError::Malformed) };
    let typed = &call.slice().published.params;
    let params = typed.iter().filter_map(|name| {
        let value = match task.params.get(name)? {
            Value::String(value) => text(value),
            Value::Integer(number) => RestrictedExpression::new_long(*number),
            Value::Bool(truth) => RestrictedExpression::new_bool(*truth),
            Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => return None,
        };
        Some((name.clone(), value))
    });
    let params = RestrictedExpression::new_record(params).map_err(|_| ContextError::Malformed)?;
    let known = [
        ("id", text(&task.id.to_string())),
        ("input_trust", text(task.trigger.trust.as_str())),
        ("opened_by", text(task.opened_by.as_str())),
        ("params", params),
        ("trigger", text(&task.trigger.reference)),
        ("trigger_kind", text(task.trigger.kind.as_str())),
    ];
    let intent = task.intent.as_ref().map(|intent| ("intent", text(intent.as_str())));
    fields(known.into_iter().chain(intent))
}

fn fields<'a>(
    fields: impl IntoIterator<Item = (&'a str, RestrictedExpression)>,
) -> Result<RestrictedExpression, ContextError> {
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
    RestrictedExpression::new_record(fields).map_err(|_| ContextError::Malformed)
}

fn text(text: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_owned())
}

fn texts(all: &[String]) -> RestrictedExpression {
    RestrictedExpression::new_set(all.iter().map(|one| text(one)))
}

/// The hour of the day in UTC, 0 to 23.
pub(crate) fn hour(now: Timestamp) -> i64 {
    now.seconds().div_euclid(3_600).rem_euclid(24)
}

/// The day of the week in UTC, 1 for Monday to 7 for Sunday. 1970-01-01 was a Thursday.
pub(crate) fn weekday(now: Timestamp) -> i64 {
    now.seconds().div_euclid(86_400).saturating_add(3).rem_euclid(7).saturating_add(1)
}
