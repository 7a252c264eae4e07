//! What an action does to the world, and how much a mistake would cost.

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// All values, in order.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The word used in files, records and answers.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }

            /// Reads the word; anything else is `None`.
            #[must_use]
            pub fn parse(text: &str) -> Option<$name> {
                match text { $($text => Some($name::$variant),)* _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// What an operation does.
    Effect {
        /// Changes nothing.
        Read = "read",
        /// Changes data.
        Write = "write",
        /// Destroys data.
        Delete = "delete",
        /// Moves money or other value.
        Transfer = "transfer",
        /// Changes who may do what.
        AuthChange = "auth-change",
        /// Runs code or commands.
        Execute = "execute",
        /// Sends a message to someone.
        Send = "send",
    }
}

words! {
    /// Where the operation's arguments go.
    Sink {
        /// They stay in the upstream.
        None = "none",
        /// They reach other people inside the organisation.
        Internal = "internal",
        /// They may leave the organisation.
        External = "external",
    }
}

words! {
    /// How much a mistake would cost; generates the guardrails.
    RiskTier {
        /// Automated.
        Low = "low",
        /// Policy checks; always consequential.
        Medium = "medium",
        /// Named exactly, and a human is asked.
        High = "high",
        /// Never, by anyone.
        Prohibited = "prohibited",
    }
}

words! {
    /// How an action was decided, in records and answers.
    Decision {
        /// It may happen.
        Allow = "allow",
        /// It may not.
        Deny = "deny",
        /// A human is asked.
        Ask = "ask",
    }
}

/// True if an open entry must be durable before the first byte leaves (design §1, invariant 0).
#[must_use]
pub fn is_consequential(effect: Effect, tier: RiskTier, sink: Sink) -> bool {
    effect != Effect::Read || tier >= RiskTier::Medium || sink == Sink::External
}
