//! What went wrong between Ambit and an upstream, and what is known about it.

use model::Code;

/// Whose doing a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The request cannot be sent as it is.
    Caller,
    /// The upstream, or the way to it.
    Upstream,
    /// Ambit or its configuration.
    Ourselves,
}

/// A call that brought no answer that may be handed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Fault {
    blame: Blame,
    code: Code,
    after_send: bool,
    detail: String,
}

impl Fault {
    /// Whose doing it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        self.blame
    }

    /// The code that records and answers carry.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// True if bytes may have reached the upstream and no definite answer came: the action's
    /// outcome is unknown.
    #[must_use]
    pub const fn after_send(&self) -> bool {
        self.after_send
    }

    /// What happened, for records and logs; names places, holds no secret and no payload.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    pub(crate) fn caller(code: Code, detail: impl Into<String>) -> Fault {
        Fault { blame: Blame::Caller, code, after_send: false, detail: detail.into() }
    }

    pub(crate) fn ourselves(code: Code, detail: impl Into<String>) -> Fault {
        Fault { blame: Blame::Ourselves, code, after_send: false, detail: detail.into() }
    }

    /// The upstream's definite refusal, or a failure before anything was sent.
    pub(crate) fn upstream(code: Code, detail: impl Into<String>) -> Fault {
        Fault { blame: Blame::Upstream, code, after_send: false, detail: detail.into() }
    }

    /// A failure after which nobody knows whether the action happened.
    pub(crate) fn unknown(code: Code, detail: impl Into<String>) -> Fault {
        Fault { blame: Blame::Upstream, code, after_send: true, detail: detail.into() }
    }

    /// The same fault in a message that comes before the action: the action was not sent.
    pub(crate) fn before_action(self) -> Fault {
        let code = match self.code {
            Code::UpstreamTimeout => Code::UpstreamUnreachable,
            code => code,
        };
        Fault { code, after_send: false, ..self }
    }
}
