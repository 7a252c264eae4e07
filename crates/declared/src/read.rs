//! The whole file, section by section, in the order in which people write it.

use crate::{
    agents, approvals, boundaries, cases, clients,
    fields::{Fields, items, key_name, members},
    hooks, intents, limits,
    node::{self, Entry, Node, Span, Value},
    people,
    problems::Problems,
    references::References,
    render::render,
    schema::shapes,
    secrets,
    sources::{Diagnostic, Lines, Sources},
    upstreams,
};
use model::{
    Name,
    declared::{Declared, PolicyFile},
};
use std::{collections::BTreeMap, fmt};

/// A file that was not accepted: all that is wrong with it, in the order of its lines.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// What is wrong; never empty.
    pub diagnostics: Vec<Diagnostic>,
    /// The files, for [`render`].
    pub sources: Sources,
}

impl std::error::Error for Rejected {}

impl fmt::Display for Rejected {
    /// All problems with lines and carets, without colours.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&render(&self.diagnostics, &self.sources, false))
    }
}

/// What the sections share while they are read.
pub(crate) struct Reading<'a> {
    pub problems: Problems,
    pub references: References,
    pub lines: Lines<'a>,
    pub credentials: Vec<(Name, Span)>,
}

impl Reading<'_> {
    /// The line of an entry's key.
    pub(crate) fn line(&self, entry: &Entry) -> u32 {
        self.lines.mark(entry.key.span).line
    }
}

/// Reads `ambit.yaml`. Policies are taken along unread, in the order given.
///
/// Returns either the declared state without any problem, or every problem that was found.
pub fn read(
    path: &str,
    text: &str,
    policies: Vec<PolicyFile>,
) -> Result<(Declared, Sources), Rejected> {
    let mut reading = Reading {
        problems: Problems::default(),
        references: References::default(),
        lines: Lines::new(text),
        credentials: Vec::new(),
    };
    let mut declared = Declared::default();
    let mut visible = text;
    secrets::refuse_scoped_keys(text, &mut reading.problems);
    match node::parse(text) {
        Ok(root) => {
            secrets::mask(&root, "", &mut reading.problems);
            secrets::mask_comments(text, &mut reading.problems);
            declared = file(&root, &mut reading);
            let Reading { problems, references, .. } = &mut reading;
            references.check(&declared, problems);
        }
        Err(problem) => {
            if text.len() <= limits::SHOWN_BYTES {
                secrets::mask_lines(text, &mut reading.problems);
            } else {
                visible = "";
            }
            reading.problems.found.push(problem);
        }
    }
    let Reading { problems, lines, credentials, .. } = reading;
    let mut sources = Sources::new(path, visible, &problems.masked, &policies);
    let held = keys_in_policies(&policies, &sources);
    if problems.found.is_empty() && held.is_empty() {
        for (upstream, span) in credentials {
            sources.set_credential(upstream, lines.mark(span));
        }
        declared.policies = policies;
        return Ok((declared, sources));
    }
    let mut rejected = rejected(problems, &lines, sources);
    rejected.diagnostics.extend(held);
    Err(rejected)
}

/// Scoped keys in policies, which are not read any further here.
fn keys_in_policies(policies: &[PolicyFile], sources: &Sources) -> Vec<Diagnostic> {
    let of_file = |file: &PolicyFile| {
        let lines = Lines::new(&file.text);
        let (message, fix) = secrets::NO_SCOPED_KEY;
        let found = secrets::scoped_keys(&file.text).map(|span| {
            let mark = lines.mark(span);
            sources.in_file(&file.path, mark, message.to_owned(), fix.to_owned())
        });
        found.collect::<Vec<_>>()
    };
    policies.iter().flat_map(of_file).collect()
}

/// All that is wrong with a file.
pub(crate) fn rejected(problems: Problems, lines: &Lines<'_>, sources: Sources) -> Rejected {
    Rejected { diagnostics: diagnostics(problems, lines, &sources), sources }
}

fn diagnostics(problems: Problems, lines: &Lines<'_>, sources: &Sources) -> Vec<Diagnostic> {
    let mut found = problems.found;
    found.sort_by(|a, b| (a.span.start, &a.message).cmp(&(b.span.start, &b.message)));
    found.dedup();
    let more = found.len().saturating_sub(limits::PROBLEMS);
    found.truncate(limits::PROBLEMS);
    let mut out: Vec<_> = found
        .into_iter()
        .map(|problem| {
            let mark = lines.mark(problem.span);
            sources.in_file(sources.main(), mark, problem.message, problem.fix)
        })
        .collect();
    if let Some(last) = out.last_mut()
        && more > 0
    {
        last.fix.push_str(&format!(" ({more} more problems are not shown)"));
    }
    out
}

fn file(root: &Node, reading: &mut Reading<'_>) -> Declared {
    let mut declared = Declared::default();
    let top = Span { start: root.span.start, length: 1 };
    let Some(fields) = Fields::open(root, top, &shapes::FILE, &mut reading.problems) else {
        return declared;
    };
    if let Some(version) = fields.get("version", &mut reading.problems)
        && !matches!(version.value.value, Value::Integer(1))
    {
        let problems = &mut reading.problems;
        problems.add(version.value.span, "this format has version 1", "write `version: 1`");
    }
    if let Some(humans) = fields.any("humans") {
        people::read(humans, &mut declared, reading);
    }
    declared.clients = section(&fields, "clients", clients::read, reading);
    declared.agents = section(&fields, "agents", agents::read, reading);
    declared.intents = section(&fields, "intents", intents::read, reading);
    declared.upstreams = section(&fields, "upstreams", upstreams::read, reading);
    declared.boundaries = section(&fields, "boundaries", boundaries::read, reading);
    declared.approvals = section(&fields, "approvals", approvals::read, reading);
    declared.hooks = section(&fields, "hooks", hooks::read, reading);
    if let Some(tests) = fields.any("tests") {
        let no_tests = matches!(tests.value.value, Value::Null);
        let tests = if no_tests { &[] } else { items(tests, "`tests`", &mut reading.problems) };
        declared.tests = tests.iter().filter_map(|case| cases::read(case, reading)).collect();
    }
    declared
}

/// A map from names to blocks. The name counts as declared even if its block has problems, so that
/// one mistake is reported once.
fn section<T>(
    fields: &Fields<'_>,
    key: &'static str,
    read: impl Fn(&Name, &Entry, &mut Reading<'_>) -> Option<T>,
    reading: &mut Reading<'_>,
) -> BTreeMap<Name, T> {
    let Some(entry) = fields.any(key) else { return BTreeMap::new() };
    let mut out = BTreeMap::new();
    for (block, name) in members(entry, &format!("`{key}`"), &mut reading.problems) {
        let Some(name) = key_name(block, name, &mut reading.problems) else {
            // What refers to it in the proper spelling is not a second problem.
            if let Ok(proper) = Name::new(&name.to_lowercase()) {
                reading.references.declare(key, &proper);
            }
            continue;
        };
        reading.references.declare(key, &name);
        if let Some(value) = read(&name, block, reading) {
            out.insert(name, value);
        }
    }
    out
}
