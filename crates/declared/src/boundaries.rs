//! `boundaries`: playgrounds.

use crate::{
    fields::{Fields, items, name, text},
    limits,
    node::{Entry, Node, Value},
    problems::{Problems, shown},
    read::Reading,
    references::Mention,
    schema::shapes,
};
use model::{
    Duration, Name,
    declared::{Boundary, CallLimit},
};
use std::collections::BTreeSet;

pub(crate) fn read(_: &Name, entry: &Entry, reading: &mut Reading<'_>) -> Option<Boundary> {
    let line = reading.line(entry);
    let problems = &mut reading.problems;
    let fields = Fields::open(&entry.value, entry.key.span, &shapes::BOUNDARY, problems)?;
    let mut upstreams = BTreeSet::new();
    if let Some(entry) = fields.get("upstreams", problems) {
        for item in items(entry, "`upstreams`", problems) {
            if let Some(upstream) = name(item, "an upstream", problems) {
                reading.references.mention(Mention::Upstream, &upstream, item.span);
                upstreams.insert(upstream);
            }
        }
    }
    let deny_data = match fields.get("deny_data", problems) {
        Some(entry) => data_classes(entry, problems),
        None => BTreeSet::new(),
    };
    let calls = fields.get("limits", problems).and_then(|entry| {
        if entry.key_is("max_calls") {
            return calls(&entry.value, problems);
        }
        let fields = Fields::open(&entry.value, entry.key.span, &shapes::LIMITS, problems)?;
        calls(&fields.get("calls", problems)?.value, problems)
    });
    Some(Boundary { upstreams, deny_data, calls, line })
}

/// `hr`, `hr.compensation`.
pub(crate) fn data_classes(entry: &Entry, problems: &mut Problems) -> BTreeSet<String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    let mut out = BTreeSet::new();
    for item in items(entry, "the list of data classes", problems) {
        let Some(class) = text(item, "a data class", problems) else { continue };
        let good = class.split('.').all(|part| !part.is_empty() && part.chars().all(plain));
        if good && class.len() <= limits::WORD_CHARS {
            out.insert(class.to_owned());
        } else {
            let message = format!("`{}` is not a data class", shown(class));
            problems.add(item.span, message, "use lower-case words with dots: `hr.compensation`");
        }
    }
    out
}

fn calls(node: &Node, problems: &mut Problems) -> Option<CallLimit> {
    let read = match &node.value {
        Value::Text(text) => call_limit(text),
        _ => None,
    };
    if read.is_none() {
        let message = "a limit on calls is a number of calls in a time of at most 24h";
        problems.add(node.span, message, "write it as `300/h` or `50/10m`");
    }
    read
}

fn call_limit(text: &str) -> Option<CallLimit> {
    let (max, span) = text.split_once('/')?;
    if max.is_empty() || !max.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let max = max.parse::<u32>().ok().filter(|max| (1..=limits::CALLS_MAX).contains(max))?;
    let span = if span.starts_with(|c: char| c.is_ascii_digit()) {
        span.to_owned()
    } else {
        format!("1{span}")
    };
    let window = Duration::parse(&span)?;
    (window.0 > 0 && window <= limits::WINDOW_MAX).then_some(CallLimit { max, window })
}
