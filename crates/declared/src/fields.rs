//! A map of the file held against its shape, and the small words that values are made of.

use crate::{
    limits,
    node::{Entry, Node, Span, Value},
    problems::{Problems, is_invisible, nearest, shown},
    schema::{Shape, Status},
};
use model::{Duration, Name, NameError, PartyName};
use std::collections::BTreeMap;

/// The known keys of one map.
pub(crate) struct Fields<'a> {
    known: BTreeMap<&'static str, &'a Entry>,
}

impl<'a> Fields<'a> {
    /// Holds a map against its shape: what is repeated, unknown, renamed, not enforced or missing
    /// becomes a problem. `at` is the key that the map belongs to.
    pub(crate) fn open(
        node: &'a Node,
        at: Span,
        shape: &'static Shape,
        problems: &mut Problems,
    ) -> Option<Fields<'a>> {
        let entries = match &node.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Null => &[],
            other => {
                let message = format!("{} is a map, and this is {}", shape.title, other.kind());
                problems.add(node.span, message, "write `key: value` lines below it");
                return None;
            }
        };
        let mut fields = Fields { known: BTreeMap::new() };
        for (entry, name) in unique(entries, problems) {
            fields.take(entry, name, shape, problems);
        }
        for key in shape.keys.iter().filter(|key| key.status == Status::Required) {
            if !fields.known.contains_key(key.name) {
                let message = format!("{} needs `{}`", shape.title, key.name);
                problems.add(at, message, format!("add `{}`: {}", key.name, lower(key.help)));
            }
        }
        Some(fields)
    }

    fn take(&mut self, entry: &'a Entry, name: &'a str, shape: &Shape, problems: &mut Problems) {
        let span = entry.key.span;
        if let Some(key) = shape.keys.iter().find(|key| key.name == name) {
            if !key.status.is_enforced() {
                not_enforced(span, name, problems);
            } else {
                self.known.insert(key.name, entry);
            }
            return;
        }
        if let Some((_, new)) = shape.renamed.iter().find(|(old, _)| *old == name) {
            let message = format!("`{name}` is called `{new}` here");
            let key = shape.keys.iter().find(|key| key.name == *new);
            let help = key.map(|key| lower(key.help)).unwrap_or_default();
            problems.add(span, message, format!("write `{new}`: {help}"));
            if let Some(key) = key {
                self.known.entry(key.name).or_insert(entry);
            }
            return;
        }
        if shape.rest.is_some() && name.starts_with("sum(") {
            not_enforced(span, name, problems);
            return;
        }
        let message = format!("`{}` is not a key of {}", shown(name), shape.title);
        let meant = nearest(name, shape.keys.iter().map(|key| key.name));
        if let Some(meant) = meant.and_then(|meant| shape.keys.iter().find(|k| k.name == meant)) {
            problems.add(span, message, format!("did you mean `{}`?", meant.name));
            // Read as what was meant, so that one slip is one problem.
            if meant.status.is_enforced() {
                self.known.entry(meant.name).or_insert(entry);
            }
            return;
        }
        let known = shape.keys.iter().filter(|key| key.status.is_enforced());
        let list = known.map(|key| format!("`{}`", key.name)).collect::<Vec<_>>().join(", ");
        problems.add(span, message, format!("remove it; {} has {list}", shape.title));
    }

    /// The entry of a key; a key without a value counts as absent and is a problem.
    pub(crate) fn get(&self, key: &str, problems: &mut Problems) -> Option<&'a Entry> {
        let entry = self.any(key)?;
        if matches!(entry.value.value, Value::Null) {
            let message = format!("`{key}` has no value");
            problems.add(entry.key.span, message, "give it a value, or remove it");
            return None;
        }
        Some(entry)
    }

    /// The entry of a key, which may have no value.
    pub(crate) fn any(&self, key: &str) -> Option<&'a Entry> {
        self.known.get(key).copied()
    }
}

/// The members of a map with their names: names that are not text, and repeated ones, are problems.
pub(crate) fn unique<'a>(
    entries: &'a [Entry],
    problems: &mut Problems,
) -> Vec<(&'a Entry, &'a str)> {
    let mut seen = BTreeMap::new();
    let mut out = Vec::with_capacity(entries.len());
    for entry in entries {
        let Value::Text(name) = &entry.key.value else {
            let message = format!("a key is text, and this is {}", entry.key.value.kind());
            problems.add(entry.key.span, message, "put it in quotation marks");
            continue;
        };
        if seen.insert(name.as_str(), ()).is_some() {
            let message = format!("`{}` is here twice", shown(name));
            problems.add(entry.key.span, message, "keep one of the two");
            continue;
        }
        out.push((entry, name.as_str()));
    }
    out
}

/// The members of a map whose keys are free; nothing at all is an empty map.
pub(crate) fn members<'a>(
    entry: &'a Entry,
    what: &str,
    problems: &mut Problems,
) -> Vec<(&'a Entry, &'a str)> {
    match &entry.value.value {
        Value::Map(entries) => unique(entries, problems),
        Value::Null => Vec::new(),
        other => {
            let message = format!("{what} is a map, and this is {}", other.kind());
            problems.add(entry.value.span, message, "write `name: …` lines below it");
            Vec::new()
        }
    }
}

/// The items of a list.
pub(crate) fn items<'a>(entry: &'a Entry, what: &str, problems: &mut Problems) -> &'a [Node] {
    match &entry.value.value {
        Value::List(items) => items,
        other => {
            let message = format!("{what} is a list, and this is {}", other.kind());
            problems.add(entry.value.span, message, "write it as `[a, b]`");
            &[]
        }
    }
}

/// Text that is not empty.
pub(crate) fn text<'a>(node: &'a Node, what: &str, problems: &mut Problems) -> Option<&'a str> {
    match &node.value {
        Value::Text(text) if !text.trim().is_empty() => Some(text),
        Value::Text(_) | Value::Null => {
            problems.add(node.span, format!("{what} is empty"), "give it a value");
            None
        }
        Value::Boolean(_) | Value::Integer(_) | Value::Float(_) => {
            let message = format!("{what} is text, and this is {}", node.value.kind());
            problems.add(node.span, message, "put it in quotation marks if it is meant");
            None
        }
        Value::List(_) | Value::Map(_) => {
            let message = format!("{what} is text, and this is {}", node.value.kind());
            problems.add(node.span, message, "write one piece of text");
            None
        }
    }
}

/// A name as the key of a map.
pub(crate) fn key_name(entry: &Entry, name: &str, problems: &mut Problems) -> Option<Name> {
    refused(entry.key.span, name, Name::new, problems)
}

/// A name as a value.
pub(crate) fn name(node: &Node, what: &str, problems: &mut Problems) -> Option<Name> {
    refused(node.span, text(node, what, problems)?, Name::new, problems)
}

/// `user:NAME` or `group:NAME`; `issuer:NAME` is given to the caller to refuse.
pub(crate) fn party(node: &Node, what: &str, problems: &mut Problems) -> Option<PartyName> {
    let text = text(node, what, problems)?;
    refused(node.span, text, PartyName::parse, problems)
}

/// Reads with a rule of `model`; its refusal becomes a problem.
pub(crate) fn refused<T>(
    span: Span,
    text: &str,
    read: impl Fn(&str) -> Result<T, NameError>,
    problems: &mut Problems,
) -> Option<T> {
    let error = match read(text) {
        Ok(value) => return Some(value),
        Err(error) => error,
    };
    let text = shown(text);
    let (message, fix) = match error {
        NameError::Length { length, limit, .. } => (
            format!("`{text}` has {length} characters: a name has 1 to {limit}"),
            "shorten it".into(),
        ),
        NameError::Character { found, allowed, .. } => {
            (format!("`{text}` contains `{}`", shown(&found.to_string())), format!("use {allowed}"))
        }
        NameError::Form { form, .. } => {
            (format!("`{text}` is not of the form {form}"), format!("write {form}"))
        }
    };
    problems.add(span, message, fix);
    None
}

/// A span of time between nothing and `max`.
pub(crate) fn duration(
    node: &Node,
    what: &str,
    max: Duration,
    problems: &mut Problems,
) -> Option<Duration> {
    let read = match &node.value {
        Value::Text(text) => Duration::parse(text),
        _ => None,
    };
    let Some(read) = read else {
        let message = format!("{what} is a number with a unit");
        problems.add(node.span, message, "write it as `90s`, `15m`, `24h` or `7d`");
        return None;
    };
    if read.0 <= 0 || read > max {
        let message = format!("{what} is longer than nothing and at most {max}");
        problems.add(node.span, message, format!("write `{max}` or less"));
        return None;
    }
    Some(read)
}

/// One of some words; old words are answered with the new one.
pub(crate) fn word<T>(
    node: &Node,
    what: &str,
    known: &[(&str, T)],
    renamed: &[(&str, &str)],
    problems: &mut Problems,
) -> Option<T>
where
    T: Copy,
{
    let text = text(node, what, problems)?;
    if let Some((_, value)) = known.iter().find(|(word, _)| *word == text) {
        return Some(*value);
    }
    if let Some((_, new)) = renamed.iter().find(|(old, _)| *old == text) {
        let message = format!("`{text}` is called `{new}` here");
        problems.add(node.span, message, format!("write `{new}`"));
        return known.iter().find(|(word, _)| word == new).map(|(_, value)| *value);
    }
    let list = known.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    let fix = match nearest(text, known.iter().map(|(word, _)| *word)) {
        Some(word) => format!("did you mean `{word}`? there are {list}"),
        None => format!("use one of {list}"),
    };
    problems.add(node.span, format!("`{}` is not {what}", shown(text)), fix);
    None
}

/// An argument, parameter or resource type.
pub(crate) fn is_word(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        && text.len() <= limits::WORD_CHARS
}

/// A path below a directory: relative, no `..`, nothing that another system reads differently.
pub(crate) fn refused_path(
    span: Span,
    path: &str,
    (what, example): (&str, &str),
    problems: &mut Problems,
) -> Option<()> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    let strange = |c: char| c.is_control() || is_invisible(c) || c == '\\' || c == ':';
    if path.split('/').all(plain) && !path.contains(strange) && path.len() <= limits::PATH_CHARS {
        return Some(());
    }
    let message = format!("{what} is named by a relative path without `..`");
    problems.add(span, message, format!("write a path such as `{example}`"));
    None
}

/// Says that a key or value of the schema has no effect yet.
pub(crate) fn not_enforced(span: Span, what: &str, problems: &mut Problems) {
    let message = format!("`{}` is not enforced yet: remove it", shown(what));
    problems.add(span, message, "nothing acts on it, so it would promise what is not kept");
}

fn lower(sentence: &str) -> String {
    let mut chars = sentence.trim_end_matches('.').chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}
