//! The text of the files that were read, without their secrets, and places in it.

use crate::{node::Span, secrets::scoped_keys};
use model::{UpstreamName, declared::PolicyFile};
use std::collections::BTreeMap;

/// One thing that is wrong in the declared state, where, and how to put it right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file as the user knows it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// How many characters of that line are meant; at least 1.
    pub length: u32,
    /// What is wrong; never holds a secret.
    pub message: String,
    /// What to do about it.
    pub fix: String,
}

/// The files that were read, for showing places in them. What looked like a secret is blotted out
/// with `*` when they are taken in, and cannot be had back.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    main: String,
    files: BTreeMap<String, String>,
    credentials: BTreeMap<UpstreamName, Mark>,
}

/// A place in the main file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub line: u32,
    pub column: u32,
    pub length: u32,
}

impl Sources {
    pub(crate) fn new(path: &str, text: &str, masked: &[Span], policies: &[PolicyFile]) -> Sources {
        let policy = |file: &PolicyFile| {
            let keys: Vec<Span> = scoped_keys(&file.text).collect();
            (file.path.clone(), blot(&file.text, &keys))
        };
        let mut files: BTreeMap<_, _> = policies.iter().map(policy).collect();
        files.insert(path.into(), blot(text, masked));
        Sources { main: path.into(), files, credentials: BTreeMap::new() }
    }

    /// The path of the main file.
    #[must_use]
    pub fn main(&self) -> &str {
        &self.main
    }

    /// The text of a file, secrets blotted out.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// A problem with what begins on a line of the main file (the `line` fields of
    /// `model::declared`); the caret marks the key that stands there.
    #[must_use]
    pub fn in_declared(&self, line: u32, message: String, fix: String) -> Diagnostic {
        let text = self.line(&self.main, line);
        let indent = text.chars().take_while(|c| matches!(c, ' ' | '-' | '{')).count();
        let key = text
            .trim_start_matches([' ', '-', '{'])
            .split(':')
            .next()
            .unwrap_or_default()
            .trim_end();
        self.in_file(
            &self.main,
            Mark { line, column: number(indent + 1), length: number(key.chars().count()) },
            message,
            fix,
        )
    }

    /// A problem in a policy file; line and column from 1, column and length in characters.
    #[must_use]
    pub fn in_policy(
        &self,
        path: &str,
        (line, column, length): (u32, u32, u32),
        message: String,
        fix: String,
    ) -> Diagnostic {
        self.in_file(path, Mark { line, column, length }, message, fix)
    }

    pub(crate) fn in_file(
        &self,
        file: &str,
        mark: Mark,
        message: String,
        fix: String,
    ) -> Diagnostic {
        let rest = self.line(file, mark.line).chars().count() + 1;
        let rest = number(rest).saturating_sub(mark.column).max(1);
        Diagnostic {
            file: file.into(),
            line: mark.line.max(1),
            column: mark.column.max(1),
            length: mark.length.min(rest).max(1),
            message,
            fix,
        }
    }

    pub(crate) fn set_credential(&mut self, upstream: UpstreamName, mark: Mark) {
        self.credentials.insert(upstream, mark);
    }

    pub(crate) fn credential(&self, upstream: &UpstreamName) -> Option<Mark> {
        self.credentials.get(upstream).copied()
    }

    fn line(&self, file: &str, line: u32) -> &str {
        let index = usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX);
        self.text(file).and_then(|text| text.lines().nth(index)).unwrap_or_default()
    }
}

/// Line starts of a text, for turning byte ranges into lines and columns.
pub(crate) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(text: &'a str) -> Lines<'a> {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect();
        Lines { text, starts }
    }

    /// Line and column of a byte range; a range over several lines is cut at the first.
    pub(crate) fn mark(&self, span: Span) -> Mark {
        let line = self.starts.partition_point(|start| *start <= span.start);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self.text.get(start..span.start).unwrap_or_default();
        let end = span.start.saturating_add(span.length);
        let inside = self.text.get(span.start..end).unwrap_or_default();
        let inside = inside.lines().next().unwrap_or_default().trim_end();
        Mark {
            line: number(line),
            column: number(before.chars().count() + 1),
            length: number(inside.chars().count()).max(1),
        }
    }
}

/// Covers the given ranges with `*`, one per character; line breaks stay.
fn blot(text: &str, masked: &[Span]) -> String {
    let mut ranges: Vec<_> =
        masked.iter().map(|span| (span.start, span.start.saturating_add(span.length))).collect();
    ranges.sort_unstable();
    let mut ranges = ranges.into_iter().peekable();
    let mut out = String::with_capacity(text.len());
    let mut until = 0;
    for (at, c) in text.char_indices() {
        while let Some((_, end)) = ranges.next_if(|(start, _)| *start <= at) {
            until = until.max(end);
        }
        out.push(if at < until && c != '\n' { '*' } else { c });
    }
    out
}

pub(crate) fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
