//! Problems as people read them: the line, a caret, what is wrong and what to do.

use crate::{
    limits,
    problems::is_invisible,
    sources::{Diagnostic, Sources},
};
use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents,
    SourceCode, SourceSpan, SpanContents,
};
use std::fmt::{self, Display};

/// Problems with their lines and carets, at most 100 columns wide; colours only if asked for.
#[must_use]
pub fn render(diagnostics: &[Diagnostic], sources: &Sources, colour: bool) -> String {
    let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(limits::RENDER_COLUMNS)
        .with_links(false)
        .without_syntax_highlighting();
    let mut out = String::new();
    for diagnostic in diagnostics {
        let report = Report::new(diagnostic, sources);
        if handler.render_report(&mut out, &report).is_err() {
            let Diagnostic { file, line, column, message, fix, .. } = diagnostic;
            out.push_str(&format!("{file}:{line}:{column}: {message}; {fix}\n"));
        }
        out.push('\n');
    }
    out
}

/// One problem in the form that `miette` draws.
#[derive(Debug)]
struct Report<'a> {
    diagnostic: &'a Diagnostic,
    excerpt: Option<Excerpt>,
}

impl<'a> Report<'a> {
    fn new(diagnostic: &'a Diagnostic, sources: &Sources) -> Report<'a> {
        let excerpt =
            sources.text(&diagnostic.file).and_then(|text| Excerpt::new(diagnostic, text));
        Report { diagnostic, excerpt }
    }
}

impl Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.diagnostic.message)
    }
}

impl std::error::Error for Report<'_> {}

impl miette::Diagnostic for Report<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn Display + 'a>> {
        Some(Box::new(&self.diagnostic.fix))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.excerpt.as_ref().map(|excerpt| excerpt as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let caret = self.excerpt.as_ref()?.caret;
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(None, caret))))
    }
}

/// The line of a problem and the line before it, cut to the width and free of control characters.
#[derive(Debug)]
struct Excerpt {
    file: String,
    text: String,
    caret: SourceSpan,
    first_line: usize,
    place: (usize, usize),
}

impl Excerpt {
    fn new(diagnostic: &Diagnostic, text: &str) -> Option<Excerpt> {
        let index = usize::try_from(diagnostic.line).ok()?.checked_sub(1)?;
        let column = usize::try_from(diagnostic.column).ok()?.checked_sub(1)?;
        let line = text.split('\n').nth(index)?;
        let length = usize::try_from(diagnostic.length).ok()?;
        let skip = if line.chars().count() <= limits::EXCERPT_CHARS {
            0
        } else {
            column.saturating_sub(limits::EXCERPT_CHARS / 3)
        };
        let mut out = String::new();
        if let Some(before) = index.checked_sub(1).and_then(|index| text.split('\n').nth(index)) {
            out.push_str(&cut(before, skip));
            out.push('\n');
        }
        let line = cut(line, skip);
        let within = column - skip.min(column);
        let bytes = |chars: usize| line.chars().take(chars).map(char::len_utf8).sum::<usize>();
        let start = bytes(within);
        let end = bytes(within.saturating_add(length).min(line.chars().count()));
        let caret = SourceSpan::new((out.len() + start).into(), end.saturating_sub(start));
        out.push_str(&line);
        out.push('\n');
        Some(Excerpt {
            file: diagnostic.file.clone(),
            text: out,
            caret,
            first_line: index.saturating_sub(1),
            place: (index, column),
        })
    }
}

impl SourceCode for Excerpt {
    /// Asked for no context, `miette` wants the place for the heading; else what to draw.
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let heading = before == 0 && after == 0;
        let (line, column) = if heading { self.place } else { (self.first_line, 0) };
        let whole = SourceSpan::new(0.into(), self.text.len());
        Ok(Box::new(MietteSpanContents::new_named(
            self.file.clone(),
            self.text.as_bytes(),
            if heading { *span } else { whole },
            line,
            column,
            self.text.lines().count(),
        )))
    }
}

fn cut(line: &str, skip: usize) -> String {
    let plain = |c: char| match c {
        '\t' => ' ',
        c if c.is_control() || is_invisible(c) => '\u{fffd}',
        c => c,
    };
    let mut out: String = line.chars().skip(skip).take(limits::EXCERPT_CHARS).map(plain).collect();
    if line.chars().nth(skip + limits::EXCERPT_CHARS).is_some() {
        out.push('…');
    }
    out
}
