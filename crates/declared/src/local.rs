//! `stdio`: a local MCP server, started as a child process, and what belongs to it alone.

use crate::{
    fields::{Fields, is_word, items, members, text},
    limits,
    node::{Entry, Node, Value},
    problems::{Problems, shown},
    secrets,
};
use model::declared::LocalServer;
use std::collections::BTreeMap;

/// Names of variables that are Ambit's own, or that say what a process loads before it begins.
const NOT_GIVEN: [&str; 3] = ["AMBIT_", "LD_", "DYLD_"];

/// Reads the command and what goes with it.
pub(crate) fn read(
    stdio: &Entry,
    fields: &Fields<'_>,
    credential: Option<&Entry>,
    problems: &mut Problems,
) -> Option<LocalServer> {
    let command = command(stdio, problems);
    let shared = fields.get("shared", problems).is_some_and(|entry| switch(entry, problems));
    let variables = match fields.get("variables", problems) {
        Some(entry) => variables(entry, problems),
        None => BTreeMap::new(),
    };
    let credential_variable = credential.and_then(|entry| credential_variable(entry, problems));
    let twice = credential_variable.as_ref().filter(|name| variables.contains_key(*name));
    if let Some(name) = twice {
        let message = format!("`{name}` is given by `variables` and by `credential`");
        problems.add(stdio.key.span, message, "keep one of the two");
    }
    Some(LocalServer { command: command?, variables, credential_variable, shared })
}

/// Refuses what only a local server has, at an upstream that has an address.
pub(crate) fn refuse(fields: &Fields<'_>, credential: Option<&Entry>, problems: &mut Problems) {
    for key in ["shared", "variables"] {
        if let Some(entry) = fields.any(key) {
            let message = format!("`{key}` belongs to a local server, and this upstream has a URL");
            problems.add(entry.key.span, message, "remove it");
        }
    }
    if let Some(variable) = credential.and_then(|entry| member(&entry.value, "variable")) {
        let message = "`variable` belongs to a local server, and this upstream has a URL";
        problems.add(variable.key.span, message, "remove it: the credential goes into a header");
    }
}

fn command(entry: &Entry, problems: &mut Problems) -> Option<Vec<String>> {
    let mut out = Vec::new();
    for item in items(entry, "`stdio`", problems) {
        let part = text(item, "a part of the command", problems)?;
        if part.contains('\0') {
            let message = "a part of the command holds a zero byte";
            problems.add(item.span, message, "remove it");
            return None;
        }
        out.push(part.to_owned());
    }
    if out.is_empty() {
        if matches!(&entry.value.value, Value::List(items) if items.is_empty()) {
            let message = "`stdio` is empty: it is a program and its arguments";
            problems.add(entry.key.span, message, "write `stdio: [program, argument]`");
        }
        return None;
    }
    if out.len() > limits::COMMAND_PARTS {
        let message = format!("the command has more than {} parts", limits::COMMAND_PARTS);
        problems.add(entry.key.span, message, "put the arguments into a file of the server's");
        return None;
    }
    Some(out)
}

fn switch(entry: &Entry, problems: &mut Problems) -> bool {
    match entry.value.value {
        Value::Boolean(on) => on,
        _ => {
            let message = "`shared` is `true` or `false`";
            problems.add(entry.value.span, message, "write `true` or `false`");
            false
        }
    }
}

fn variables(entry: &Entry, problems: &mut Problems) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for (variable, name) in members(entry, "`variables`", problems) {
        let Some(name) = name_of(&variable.key, name, problems) else { continue };
        let Some(value) = text(&variable.value, "a variable's value", problems) else { continue };
        if value.contains('\0') {
            problems.add(variable.value.span, "a value holds a zero byte", "remove it");
            continue;
        }
        if secrets::looks_secret(value) {
            let message = format!("the value of `{}` looks like a secret", shown(&name));
            let fix = "give it by `credential: { secret: env:AMBIT_SECRET_NAME, variable: NAME }`";
            problems.add(variable.key.span, message, fix);
            continue;
        }
        out.insert(name, value.to_owned());
    }
    out
}

fn credential_variable(entry: &Entry, problems: &mut Problems) -> Option<String> {
    let Some(variable) = member(&entry.value, "variable") else {
        let message = "a local server gets its credential in a variable, and none is named";
        let fix = "write `credential: { secret: env:AMBIT_SECRET_NAME, variable: API_KEY }`";
        problems.add(entry.key.span, message, fix);
        return None;
    };
    let name = text(&variable.value, "`variable`", problems)?;
    name_of(&variable.value, name, problems)
}

fn name_of(node: &Node, name: &str, problems: &mut Problems) -> Option<String> {
    let plain = is_word(name) && !name.contains('-');
    if !plain || NOT_GIVEN.iter().any(|prefix| name.starts_with(prefix)) {
        let message = format!("`{}` is not a variable that a server may be given", shown(name));
        let fix = "name it with letters, digits and `_`; not `AMBIT_…`, `LD_…` or `DYLD_…`";
        problems.add(node.span, message, fix);
        return None;
    }
    Some(name.to_owned())
}

fn member<'a>(node: &'a Node, key: &str) -> Option<&'a Entry> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|entry| entry.key_is(key))
}
