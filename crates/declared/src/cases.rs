//! `tests`: cases that every `apply` must pass.

use crate::{
    fields::{Fields, name, refused, text, word},
    node::{Entry, Node, Span, Value},
    problems::{Problems, shown},
    read::Reading,
    references::Mention,
    schema::shapes,
};
use canonical::Object;
use model::{ActionId, Decision, declared::Case};

pub(crate) fn read(node: &Node, reading: &mut Reading<'_>) -> Option<Case> {
    let at = match &node.value {
        Value::Map(entries) => entries.first().map_or(node.span, |entry| entry.key.span),
        _ => node.span,
    };
    let line = reading.lines.mark(node.span).line;
    let problems = &mut reading.problems;
    let fields = Fields::open(node, at, &shapes::CASE, problems)?;
    let agent = fields.get("agent", problems).and_then(|entry| {
        let agent = name(&entry.value, "`agent`", problems)?;
        reading.references.mention(Mention::Agent, &agent, entry.value.span);
        Some(agent)
    });
    let user = fields.get("for", problems).map(|entry| user(&entry.value, problems));
    let action = fields.get("do", problems).and_then(|entry| {
        let text = text(&entry.value, "`do`", problems)?;
        let action = refused(entry.value.span, text, ActionId::parse, problems)?;
        reading.references.tested(&action, entry.value.span);
        Some(action)
    });
    let args = match fields.get("args", problems) {
        Some(entry) => object(entry, problems),
        None => Some(Object::default()),
    };
    let params = fields.get("params", problems);
    let given = match params {
        Some(entry) => object(entry, problems),
        None => Some(Object::default()),
    };
    let intent = fields.get("intent", problems).map(|entry| {
        let intent = name(&entry.value, "`intent`", problems)?;
        Some((intent, entry.value.span))
    });
    if let (Some(entry), None) = (params, &intent) {
        let message = "`params` belong to an intent, and this test names none";
        problems.add(entry.key.span, message, "add `intent: NAME`, or remove `params`");
    }
    let expect = fields.get("expect", problems).and_then(|entry| expect(&entry.value, problems));
    let reason = fields.get("reason", problems).map(|entry| {
        if expect == Some(Decision::Allow) {
            let message = "a test that expects `allow` has no reason: no rule stopped it";
            problems.add(entry.key.span, message, "remove `reason`, or expect `deny` or `ask`");
        }
        text(&entry.value, "`reason`", problems).map(str::to_owned)
    });
    let given = given?;
    let intent = intent.map(|intent| {
        let (intent, span) = intent?;
        reading.references.intent(&intent, span, &given, params.map(|entry| entry.key.span));
        Some((intent, bytes(given)))
    });
    Some(Case {
        agent: agent?,
        user: transpose(user)?,
        action: action?,
        args: bytes(args?),
        intent: transpose(intent)?,
        expect: expect?,
        reason: transpose(reason)?,
        line,
    })
}

/// Absent is fine; written and unreadable is not.
#[expect(clippy::option_option, reason = "the outer option is the result of reading")]
fn transpose<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(None) => None,
        Some(Some(value)) => Some(Some(value)),
    }
}

fn bytes(object: Object) -> Vec<u8> {
    canonical::Value::Object(object).to_bytes()
}

/// `ana` or `user:ana`.
fn user(node: &Node, problems: &mut Problems) -> Option<model::UserName> {
    let text = text(node, "`for`", problems)?;
    refused(node.span, text.strip_prefix("user:").unwrap_or(text), model::UserName::new, problems)
}

fn expect(node: &Node, problems: &mut Problems) -> Option<Decision> {
    let known: Vec<_> = Decision::ALL.iter().map(|word| (word.as_str(), *word)).collect();
    let old = [("approval", "ask"), ("hold", "ask"), ("pending", "ask"), ("forbid", "deny")];
    word(node, "an expectation", &known, &old, problems)
}

fn object(entry: &Entry, problems: &mut Problems) -> Option<Object> {
    match json(&entry.value, problems)? {
        canonical::Value::Object(object) => Some(object),
        _ => {
            let message = format!("arguments are a map, and this is {}", entry.value.value.kind());
            problems.add(entry.value.span, message, "write `{ name: value }`");
            None
        }
    }
}

fn json(node: &Node, problems: &mut Problems) -> Option<canonical::Value> {
    let number =
        |result: Result<_, canonical::NumberError>, span: Span, problems: &mut Problems| {
            result.map_err(|error| problems.add(span, error.to_string(), "write it as text")).ok()
        };
    Some(match &node.value {
        Value::Null => canonical::Value::Null,
        Value::Boolean(value) => canonical::Value::Bool(*value),
        Value::Integer(value) => number(canonical::Value::integer(*value), node.span, problems)?,
        Value::Float(value) => number(canonical::Value::number(*value), node.span, problems)?,
        Value::Text(text) => canonical::Value::String(text.clone()),
        Value::List(items) => {
            let items: Option<Vec<_>> = items.iter().map(|item| json(item, problems)).collect();
            canonical::Value::Array(items?)
        }
        Value::Map(entries) => {
            let mut object = Object::default();
            for entry in entries {
                let Value::Text(name) = &entry.key.value else {
                    let message = "a name in JSON is text";
                    problems.add(entry.key.span, message, "put it in quotation marks");
                    return None;
                };
                let value = json(&entry.value, problems)?;
                if object.insert(name.clone(), value).is_err() {
                    let message =
                        format!("`{}` is here twice, or differs only in case", shown(name));
                    problems.add(entry.key.span, message, "keep one of the two");
                    return None;
                }
            }
            canonical::Value::Object(object)
        }
    })
}
