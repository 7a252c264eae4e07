//! What is wrong with declared state or with a hand-written policy, and where.

/// Where a problem lies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the declared file.
    Declared {
        /// Its line, 1-based; 0 where the block's line is not known.
        line: u32,
    },
    /// In a file of hand-written policies.
    Policy {
        /// The file's path as the user knows it.
        path: String,
        /// Line, 1-based.
        line: u32,
        /// Column in characters, 1-based.
        column: u32,
        /// Length of the marked text in characters, at least 1, never beyond the line's end.
        length: u32,
    },
}

/// One problem that keeps declared state from being published.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What is wrong, in lower case.
    pub message: String,
    /// What to do about it.
    pub fix: String,
}

impl Problem {
    pub(crate) fn declared(
        line: u32,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> Problem {
        Problem { place: Place::Declared { line }, message: message.into(), fix: fix.into() }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.place {
            Place::Declared { line } => write!(f, "{}:{line}: ", crate::DECLARED_PATH)?,
            Place::Policy { path, line, column, .. } => write!(f, "{path}:{line}:{column}: ")?,
        }
        write!(f, "{}; {}", self.message, self.fix)
    }
}

/// Turns byte offsets of one text into lines and columns.
pub(crate) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(crate) fn of(text: &'a str) -> Lines<'a> {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0).chain(breaks.map(|(at, _)| at.saturating_add(1))).collect();
        Lines { text, starts }
    }

    /// Line and column (1-based, in characters) and length of a span, cut at the line's end.
    pub(crate) fn locate(&self, offset: usize, length: usize) -> (u32, u32, u32) {
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let next = self.starts.get(line).map_or(self.text.len(), |next| next.saturating_sub(1));
        let count = |from: usize, to: usize| {
            let chars = self.text.get(from..to.max(from)).map_or(0, |part| part.chars().count());
            u32::try_from(chars).unwrap_or(u32::MAX)
        };
        let end = offset.saturating_add(length).min(next);
        let line = u32::try_from(line).unwrap_or(u32::MAX);
        (line, count(start, offset).saturating_add(1), count(offset, end).max(1))
    }

    pub(crate) fn place(&self, path: &str, offset: usize, length: usize) -> Place {
        let (line, column, length) = self.locate(offset, length);
        Place::Policy { path: path.to_owned(), line, column, length }
    }
}
