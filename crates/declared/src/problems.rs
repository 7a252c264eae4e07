//! What is wrong with a file, collected over the whole run.

use crate::{limits, node::Span, secrets::looks_secret};

/// One thing that is wrong, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub span: Span,
    pub message: String,
    pub fix: String,
}

impl Problem {
    /// A quoted name that looks like a secret is hidden: names may have a secret's form, and whoever put one where a
    /// name belongs does not see it again.
    pub(crate) fn new(span: Span, message: String, fix: impl Into<String>) -> Problem {
        Problem { span, message: hidden(message), fix: hidden(fix.into()) }
    }
}

/// All that is wrong, and what must not be shown when it is reported.
#[derive(Default)]
pub(crate) struct Problems {
    pub found: Vec<Problem>,
    /// Parts of the file that look like secrets.
    pub masked: Vec<Span>,
}

impl Problems {
    pub(crate) fn add(&mut self, span: Span, message: impl Into<String>, fix: impl Into<String>) {
        self.found.push(Problem::new(span, message.into(), fix));
    }

    /// Notes that a part of the file is a secret.
    pub(crate) fn mask(&mut self, span: Span) {
        self.masked.push(span);
    }
}

/// A message without the quoted pieces that look like secrets.
fn hidden(text: String) -> String {
    if !looks_secret(&text) {
        return text;
    }
    let pieces = text.split('`').enumerate();
    let shown = pieces.map(|(at, piece)| {
        let is_quoted = at % 2 == 1;
        if is_quoted && looks_secret(piece) { "(hidden)" } else { piece }
    });
    shown.collect::<Vec<_>>().join("`")
}

/// A piece of the file as it may stand in a message: cut, without control characters or secrets.
pub(crate) fn shown(text: &str) -> String {
    if looks_secret(text) {
        return "(hidden)".into();
    }
    let mut out: String = text
        .chars()
        .take(limits::QUOTED_CHARS)
        .map(|c| if c.is_control() || is_invisible(c) { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(limits::QUOTED_CHARS).is_some() {
        out.push('…');
    }
    out
}

/// Characters that hide or reorder what stands beside them.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The candidate that was probably meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let slips = |candidate: &str| (candidate.len() / 3).max(1);
    known
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= slips(candidate))
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= slips(candidate))
        .min()
        .map(|(_, candidate)| candidate)
}

/// "did you mean `x`?", or what else can be done.
pub(crate) fn did_you_mean<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
    otherwise: impl Into<String>,
) -> String {
    match nearest(word, known) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => otherwise.into(),
    }
}
