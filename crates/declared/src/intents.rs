//! `intents`: kinds of task.

use crate::{
    agents::pattern,
    fields::{Fields, is_word, members, refused, word},
    node::{Entry, Value},
    problems::{Problems, did_you_mean, shown},
    read::Reading,
    schema::shapes,
};
use model::{
    Name,
    declared::{Constraint, Intent, ParamType},
};
use std::collections::BTreeMap;

pub(crate) fn read(_: &Name, entry: &Entry, reading: &mut Reading<'_>) -> Option<Intent> {
    let line = reading.line(entry);
    let problems = &mut reading.problems;
    let fields = Fields::open(&entry.value, entry.key.span, &shapes::INTENT, problems)?;
    let params = fields.any("params").map(|entry| params(entry, problems)).unwrap_or_default();
    let mut allow = BTreeMap::new();
    for (action, text) in members(fields.any("allow")?, "`allow`", problems) {
        let Some(found) = refused(action.key.span, text, pattern, problems) else { continue };
        reading.references.allowed(&found, action.key.span);
        let mut constraints = BTreeMap::new();
        for (argument, name) in members(action, "the constraints of an action", problems) {
            if !argument_name(argument, name, problems) {
                continue;
            }
            if let Some(constraint) = constraint(argument, &params, problems) {
                constraints.insert(name.to_owned(), constraint);
            }
        }
        allow.insert(found, constraints);
    }
    Some(Intent { params, allow, line })
}

fn params(entry: &Entry, problems: &mut Problems) -> BTreeMap<String, ParamType> {
    let known = [
        ("string", ParamType::String),
        ("integer", ParamType::Integer),
        ("boolean", ParamType::Boolean),
    ];
    let renamed =
        [("text", "string"), ("int", "integer"), ("number", "integer"), ("bool", "boolean")];
    let mut out = BTreeMap::new();
    for (param, name) in members(entry, "`params`", problems) {
        if argument_name(param, name, problems)
            && let Some(kind) = word(&param.value, "a parameter's type", &known, &renamed, problems)
        {
            out.insert(name.to_owned(), kind);
        }
    }
    out
}

fn argument_name(entry: &Entry, name: &str, problems: &mut Problems) -> bool {
    if is_word(name) {
        return true;
    }
    let message = format!("`{}` is not a name of an argument or parameter", shown(name));
    let fix = "use letters, digits, `_` and `-`, beginning with a letter, at most 64";
    problems.add(entry.key.span, message, fix);
    false
}

fn constraint(
    entry: &Entry,
    params: &BTreeMap<String, ParamType>,
    problems: &mut Problems,
) -> Option<Constraint> {
    let span = entry.value.span;
    match &entry.value.value {
        Value::Boolean(value) => Some(Constraint::Boolean(*value)),
        Value::Integer(value) => Some(Constraint::Integer(*value)),
        Value::Text(text) => {
            let Some(param) = text.strip_prefix('$') else {
                return Some(Constraint::Text(text.clone()));
            };
            if param.starts_with('$') {
                return Some(Constraint::Text(param.into()));
            }
            if !params.contains_key(param) {
                let message = format!("`${}` is not a parameter of this intent", shown(param));
                let names = params.keys().map(String::as_str);
                let fix = did_you_mean(param, names, "add it to `params`, or write `$$` for a `$`");
                problems.add(span, message, fix);
                return None;
            }
            Some(Constraint::Param(param.into()))
        }
        Value::Null | Value::Float(_) | Value::List(_) | Value::Map(_) => {
            let message = format!(
                "an argument equals text, a whole number, true or false, and this is {}",
                entry.value.value.kind()
            );
            problems.add(span, message, "write a value, or `$param`");
            None
        }
    }
}
