//! `manifest: FILE`: what a version of an agent is made of, written by whoever builds it.

use crate::{
    fields::{Fields, members, refused, text},
    limits,
    node::{self, Entry, Value},
    problems::Problems,
    read::{Rejected, rejected},
    schema::shapes,
    sources::{Lines, Sources},
};
use model::{ActionId, manifest::Manifest};
use std::collections::BTreeMap;

/// Reads a manifest, as YAML or JSON, strictly. Returns it, or every problem that was found.
pub fn read_manifest(path: &str, source: &str) -> Result<Manifest, Rejected> {
    let mut problems = Problems::default();
    let lines = Lines::new(source);
    let mut manifest = Manifest::default();
    match node::parse(source) {
        Ok(root) => {
            let span = crate::node::Span { start: root.span.start, length: 1 };
            if let Some(fields) = Fields::open(&root, span, &shapes::MANIFEST, &mut problems) {
                manifest = parts(&fields, &mut problems);
            }
        }
        Err(problem) => problems.found.push(problem),
    }
    if problems.found.is_empty() {
        return Ok(manifest);
    }
    let sources = Sources::new(path, source, &problems.masked, &[]);
    Err(rejected(problems, &lines, sources))
}

fn parts(fields: &Fields<'_>, problems: &mut Problems) -> Manifest {
    if let Some(version) = fields.get("version", problems)
        && !matches!(version.value.value, Value::Integer(1))
    {
        problems.add(version.value.span, "this format has version 1", "write `version: 1`");
    }
    let one = |key: &'static str, problems: &mut Problems| {
        let entry = fields.get(key, problems)?;
        part(entry, key, problems)
    };
    let mut out = Manifest {
        model: one("model", problems),
        image: one("image", problems),
        prompts: texts(fields, "prompts", problems),
        integrations: texts(fields, "integrations", problems),
        tools: BTreeMap::new(),
    };
    let Some(tools) = fields.any("tools") else { return out };
    for (entry, name) in members(tools, "`tools`", problems) {
        let Some(action) = refused(entry.key.span, name, ActionId::parse, problems) else {
            continue;
        };
        let digest = match entry.value.value {
            Value::Null => None,
            _ => match part(entry, name, problems) {
                None => continue,
                digest => digest,
            },
        };
        out.tools.insert(action, digest);
    }
    out
}

fn texts(
    fields: &Fields<'_>,
    key: &'static str,
    problems: &mut Problems,
) -> BTreeMap<String, String> {
    let Some(entry) = fields.any(key) else { return BTreeMap::new() };
    let mut out = BTreeMap::new();
    for (member, name) in members(entry, &format!("`{key}`"), problems) {
        if let Some(value) = part(member, name, problems) {
            out.insert(name.to_owned(), value);
        }
    }
    out
}

/// What fixes one part: a digest, a version, a name.
fn part(entry: &Entry, what: &str, problems: &mut Problems) -> Option<String> {
    let text = text(&entry.value, &format!("`{}`", crate::problems::shown(what)), problems)?;
    if text.len() > limits::PART_BYTES || text.chars().any(char::is_control) {
        let message = format!("this is longer than {} bytes, or no line", limits::PART_BYTES);
        problems.add(entry.value.span, message, "write a digest, a version or a name");
        return None;
    }
    Some(text.to_owned())
}
