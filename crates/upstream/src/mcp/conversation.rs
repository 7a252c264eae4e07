//! For whom a call is made beyond agent and human: the client's own session, and what that client can be asked.

use canonical::{Value, Writer};

/// What a client can be asked for, as far as the gate hands it on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Capabilities(u8);

impl Capabilities {
    /// Forms for the human.
    pub const FORM: Capabilities = Capabilities(1);
    /// Pages for the human.
    pub const URL: Capabilities = Capabilities(2);
    /// The client's model.
    pub const SAMPLING: Capabilities = Capabilities(4);
    /// The client's model, with tools.
    pub const SAMPLING_TOOLS: Capabilities = Capabilities(8);
    /// The client's roots.
    pub const ROOTS: Capabilities = Capabilities(16);

    /// The client takes a task instead of a result (`io.modelcontextprotocol/tasks`, 2026-07-28).
    pub const TASKS: Capabilities = Capabilities(32);

    /// Reads the `capabilities` that a client declared. An empty `elicitation` means forms.
    #[must_use]
    pub fn declared(capabilities: &Value) -> Capabilities {
        let mut all = Capabilities::default();
        let mut add = |there: bool, one| {
            if there {
                all = all.with(one);
            }
        };
        let has = |pointer: &str| capabilities.pointer(pointer).is_some();
        let elicits = has("/elicitation");
        add(elicits && (has("/elicitation/form") || !has("/elicitation/url")), Self::FORM);
        add(has("/elicitation/url"), Self::URL);
        add(has("/sampling"), Self::SAMPLING);
        add(has("/sampling/tools"), Self::SAMPLING_TOOLS);
        add(has("/roots"), Self::ROOTS);
        add(has("/extensions/io.modelcontextprotocol~1tasks"), Self::TASKS);
        all
    }

    /// Both.
    #[must_use]
    pub const fn with(self, other: Capabilities) -> Capabilities {
        Capabilities(self.0 | other.0)
    }

    /// What both have.
    #[must_use]
    pub const fn within(self, other: Capabilities) -> Capabilities {
        Capabilities(self.0 & other.0)
    }

    /// What only this one has.
    #[must_use]
    pub const fn without(self, other: Capabilities) -> Capabilities {
        Capabilities(self.0 & !other.0)
    }

    /// Whether it holds all of the other.
    #[must_use]
    pub const fn has(self, other: Capabilities) -> bool {
        self.0 & other.0 == other.0
    }

    /// As one byte, for handles.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// From that byte.
    #[must_use]
    pub const fn of_bits(bits: u8) -> Capabilities {
        Capabilities(bits & 63)
    }

    /// Writes the members of a `capabilities` object. Forms alone are written as revision 2025-06-18 knew them.
    pub(super) fn write(self, writer: &mut Writer<'_>) {
        if self.has(Self::FORM) || self.has(Self::URL) {
            writer.field_object("elicitation");
            if self.has(Self::URL) {
                if self.has(Self::FORM) {
                    writer.field_object("form").end();
                }
                writer.field_object("url").end();
            }
            writer.end();
        }
        if self.has(Self::TASKS) {
            writer.field_object("extensions").field_object("io.modelcontextprotocol/tasks");
            writer.end().end();
        }
        if self.has(Self::ROOTS) {
            writer.field_object("roots").end();
        }
        if self.has(Self::SAMPLING) {
            writer.field_object("sampling");
            if self.has(Self::SAMPLING_TOOLS) {
                writer.field_object("tools").end();
            }
            writer.end();
        }
    }
}

/// The conversation that a call belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conversation {
    /// The client's legacy session: what it opens upstream is its alone. An upstream that speaks both revisions is
    /// then spoken to in the legacy one.
    pub session: Option<u128>,
    /// What the client can be asked for and the gate lets through.
    pub capabilities: Capabilities,
    /// The least severe log message that the client wants, if it may get any.
    pub level: Option<Level>,
}

/// Severity of a log message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(u8);

impl Level {
    const NAMES: [&'static str; 8] =
        ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

    /// Reads its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Level> {
        let at = Level::NAMES.iter().position(|one| *one == name)?;
        u8::try_from(at).ok().map(Level)
    }

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Level::NAMES.get(usize::from(self.0)).copied().unwrap_or("emergency")
    }
}

#[cfg(test)]
mod tests;
