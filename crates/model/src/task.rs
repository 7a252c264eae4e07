//! What is known of how a task came to be: who opened it, what set it off, and how far that is trusted.

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$of])* $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The word in requests, facts and records.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }

            /// Reads the word; anything else is `None`.
            #[must_use]
            pub fn parse(text: &str) -> Option<$name> {
                match text { $($word => Some($name::$variant),)* _ => None }
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
    /// Who opened a task.
    OpenedBy {
        /// The human acted for, on Ambit's own page.
        Human = "human",
        /// A client with `may_open`, which proved or stated the human.
        Orchestrator = "orchestrator",
        /// The agent itself, below a task of its own: it narrows and never unlocks.
        Agent = "agent",
        /// Whoever runs the gate, on its control socket.
        Operator = "operator",
    }
}

words! {
    /// What set a task off.
    TriggerKind {
        /// Somebody wrote.
        Message = "message",
        /// A ticket.
        Ticket = "ticket",
        /// A clock.
        Schedule = "schedule",
        /// Another system called.
        Webhook = "webhook",
        /// Another agent asked.
        Agent = "agent",
    }
}

words! {
    /// How far the triggering input is trusted, as whoever opened the task states it.
    InputTrust {
        /// The human acted for wrote it.
        Human = "human",
        /// A system wrote it in which nobody else writes.
        System = "system",
        /// Anybody may have written it: content, never instruction. What nothing is stated of.
        Untrusted = "untrusted",
    }
}
