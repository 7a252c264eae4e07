//! The frozen table of exit codes: numbers are never changed and never reused.

use std::process::ExitCode;

macro_rules! exits {
    ($($(#[$doc:meta])* $variant:ident = $number:literal $meaning:literal;)*) => {
        /// How a command ended, for scripts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Exit { $($(#[$doc])* $variant,)* }

        impl Exit {
            /// All codes, in the order of their numbers.
            pub(crate) const ALL: &'static [Exit] = &[$(Exit::$variant,)*];

            /// The number that the process ends with.
            pub(crate) const fn number(self) -> u8 { match self { $(Exit::$variant => $number,)* } }

            /// What it tells.
            pub(crate) const fn meaning(self) -> &'static str { match self { $(Exit::$variant => $meaning,)* } }
        }
    };
}

exits! {
    /// Done.
    Ok = 0 "done";
    /// It did not work.
    Failed = 1 "failed; the message on stderr says why";
    /// The command line or the declared state is wrong.
    Usage = 2 "the command line, `ambit.yaml` or a policy is wrong";
    /// Two states differ.
    Differs = 3 "there are differences (`diff --exit-code`)";
    /// Nobody is signed in.
    SignIn = 4 "sign in first";
    /// The action or the command was refused.
    Denied = 5 "denied by policy";
    /// A human is asked.
    Asked = 6 "a human is asked, or would be";
    /// A test or a verification failed.
    Unproven = 7 "a case of `tests:` came out differently, or a verification failed";
}

impl Exit {
    /// The code of a number that came over the control socket; unknown numbers are failures.
    pub(crate) fn from_number(number: u8) -> Exit {
        Exit::ALL.iter().copied().find(|exit| exit.number() == number).unwrap_or(Exit::Failed)
    }

    /// The table as `docs/reference/exit-codes.md` has it.
    #[cfg(test)]
    pub(crate) fn reference() -> String {
        let mut page = String::from(
            "# Exit codes\n\nFrozen: a number is never changed and never reused. Also: `ambit help exit-codes`.\n\n\
             | code | meaning |\n|---|---|\n",
        );
        for exit in Exit::ALL {
            page.push_str(&format!("| {} | {} |\n", exit.number(), exit.meaning()));
        }
        page
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.number())
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn the_page_and_the_table_agree() {
        let page = include_str!("../../../docs/reference/exit-codes.md");
        assert_eq!(
            page,
            Exit::reference(),
            "write the table above into docs/reference/exit-codes.md"
        );
    }

    #[test]
    fn numbers_are_distinct_and_round() {
        for (place, exit) in Exit::ALL.iter().enumerate() {
            assert_eq!(usize::from(exit.number()), place);
            assert_eq!(Exit::from_number(exit.number()), *exit);
        }
        assert_eq!(Exit::from_number(250), Exit::Failed);
    }
}
