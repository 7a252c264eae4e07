//! An act as it is shown: what the agent did, and what the logs say about it.

use crate::output::{Output, Paint, printable};

/// How a line ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// It happened, and should.
    Done,
    /// It was refused.
    Stopped,
    /// It happened, and should not.
    Harm,
    /// Told, not judged.
    Note,
}

/// One act.
pub(super) struct Act {
    number: u8,
    title: &'static str,
    lines: Vec<(Mark, String)>,
    checks: Vec<(bool, String)>,
}

impl Act {
    pub(super) fn new(number: u8, title: &'static str) -> Act {
        Act { number, title, lines: Vec::new(), checks: Vec::new() }
    }

    pub(super) fn number(&self) -> u8 {
        self.number
    }

    /// Adds a line.
    pub(super) fn line(&mut self, mark: Mark, text: impl Into<String>) {
        self.lines.push((mark, text.into()));
    }

    /// Says what the upstreams' logs or the ledger must show, and whether they do.
    pub(super) fn check(&mut self, holds: bool, text: impl Into<String>) {
        self.checks.push((holds, text.into()));
    }

    /// True if every log and the ledger say what the story says.
    pub(super) fn as_told(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|(holds, _)| *holds)
    }

    pub(super) fn show(&self, output: &Output) -> std::io::Result<()> {
        output.line(&output.paint(Paint::Bold, &format!("{} {}", self.number, self.title)))?;
        for (mark, text) in &self.lines {
            let (glyph, paint) = match mark {
                Mark::Done => ("✓", Paint::Green),
                Mark::Stopped => ("✕", Paint::Red),
                Mark::Harm => ("!", Paint::Red),
                Mark::Note => (" ", Paint::Dim),
            };
            output.line(&format!("  {} {}", output.paint(paint, glyph), printable(text)))?;
        }
        for (holds, text) in &self.checks {
            let (word, paint) =
                if *holds { ("seen", Paint::Dim) } else { ("NOT SEEN", Paint::Red) };
            output.line(&output.paint(paint, &format!("    {word}: {}", printable(text))))?;
        }
        output.line("")
    }
}

#[cfg(test)]
mod tests {
    use super::Act;

    #[test]
    fn an_act_without_a_check_is_not_as_told() {
        let mut act = Act::new(1, "nothing");
        assert!(!act.as_told());
        act.check(true, "a");
        assert!(act.as_told());
        act.check(false, "b");
        assert!(!act.as_told());
    }
}
