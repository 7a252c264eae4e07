//! The only place that writes to the terminal: data on stdout, talk on stderr.

mod yaml;

use crate::cli::{Colour, Format};
use serde_json::Value;
use std::io::{self, IsTerminal, Write};

/// How a command speaks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    format: Format,
    quiet: bool,
    colour: bool,
}

/// Whoever read the answer has enough of it (`ambit trace list | head`): no failure.
#[derive(Debug)]
pub(crate) struct Gone;

impl std::error::Error for Gone {}

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("nobody reads the answer any more")
    }
}

/// A colour that means something: never the only sign of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    /// Went well.
    Green,
    /// Was stopped, or harm.
    Red,
    /// Waits for a human.
    Yellow,
    /// Beside the point.
    Dim,
    /// A heading.
    Bold,
}

impl Output {
    /// Reads the global options and the terminal.
    pub(crate) fn new(format: Format, quiet: bool, colour: Colour) -> Output {
        let colour = match colour {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        };
        Output { format, quiet, colour }
    }

    /// Whether colours may be used on stderr, too.
    pub(crate) fn colour_on_stderr(&self) -> bool {
        self.colour && io::stderr().is_terminal()
    }

    /// Whether the answer is for people.
    pub(crate) fn is_table(&self) -> bool {
        self.format == Format::Table
    }

    /// Writes `text` and a line end to stdout.
    pub(crate) fn line(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let end = if text.ends_with('\n') { "" } else { "\n" };
        out.write_all(text.as_bytes())
            .and_then(|()| out.write_all(end.as_bytes()))
            .and_then(|()| out.flush())
            .map_err(|error| match error.kind() {
                io::ErrorKind::BrokenPipe => io::Error::new(io::ErrorKind::BrokenPipe, Gone),
                _ => error,
            })
    }

    /// Says something to the person at the terminal, on stderr, unless `-q`.
    pub(crate) fn talk(&self, text: &str) -> io::Result<()> {
        if self.quiet { Ok(()) } else { self.complain(text) }
    }

    /// Says what went wrong, on stderr, also with `-q`.
    pub(crate) fn complain(&self, text: &str) -> io::Result<()> {
        let mut out = io::stderr().lock();
        out.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
        out.flush()
    }

    /// Writes an answer: `people` draws it for people, every other form comes from the value itself.
    pub(crate) fn answer(
        &self,
        value: &Value,
        people: impl FnOnce(&Value) -> String,
    ) -> io::Result<()> {
        match self.format {
            Format::Table => self.line(&people(value)),
            Format::Json => self.line(&pretty(value)),
            Format::Jsonl => match value.as_array() {
                Some(rows) => rows.iter().try_for_each(|row| self.line(&row.to_string())),
                None => self.line(&value.to_string()),
            },
            Format::Yaml => self.line(&yaml::write(value)),
            Format::Name => match value.as_array() {
                Some(rows) => rows.iter().try_for_each(|row| self.line(name_of(row))),
                None => self.line(name_of(value)),
            },
        }
    }

    /// Lines with the sign of what does not hold in red, those that warn in yellow, if colours may be used.
    pub(crate) fn marked(&self, text: &str) -> String {
        let line = |line: &str| match (line.contains('✕'), line.contains("! ")) {
            (true, _) => self.paint(Paint::Red, line),
            (false, true) => self.paint(Paint::Yellow, line),
            (false, false) => line.to_owned(),
        };
        text.lines().map(line).map(|line| line + "\n").collect()
    }

    /// `text` in a colour, if colours may be used.
    pub(crate) fn paint(&self, paint: Paint, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match paint {
            Paint::Green => "32",
            Paint::Red => "31",
            Paint::Yellow => "33",
            Paint::Dim => "2",
            Paint::Bold => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
}

/// What names a row: the first of its naming members.
fn name_of(row: &Value) -> &str {
    ["name", "trace", "id", "entry", "task", "token", "path", "kid", "vkey"]
        .iter()
        .find_map(|member| row.get(member).and_then(Value::as_str))
        .or_else(|| row.as_str())
        .unwrap_or("-")
}

/// Columns for people, aligned, without borders; control characters are made visible.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let heading = headings.iter().map(|heading| heading.to_uppercase()).collect();
    let clean = |row: &Vec<String>| row.iter().map(|cell| printable(cell)).collect();
    let all: Vec<Vec<String>> = std::iter::once(heading).chain(rows.iter().map(clean)).collect();
    let width = |column: usize| {
        all.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let mut out = String::new();
    for row in &all {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count()) + 2));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Text from agents and upstreams without what steers a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The same for text of several lines, which stay lines.
pub(crate) fn printable_lines(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", printable(line))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_never_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\n"), "a\u{fffd}[31mb\u{fffd}");
    }

    #[test]
    fn columns_line_up() {
        let rows = vec![vec!["helpdesk".into(), "it".into()], vec!["a".into(), "b".into()]];
        assert_eq!(
            table(&["name", "owner"], &rows),
            "NAME      OWNER\nhelpdesk  it\na         b\n"
        );
    }

    #[test]
    fn a_row_is_named_by_its_first_naming_member() {
        assert_eq!(name_of(&serde_json::json!({"id": "x", "name": "y"})), "y");
        assert_eq!(name_of(&serde_json::json!({"other": 1})), "-");
    }
}
