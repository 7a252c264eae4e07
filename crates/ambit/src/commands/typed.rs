//! What a person types at the terminal, or a script pipes in, and nobody should see.

use crate::{control::SecretText, limits, output::Output};
use anyhow::Context as _;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{IsTerminal as _, Read as _, Stdin, stdin};

/// Whether the terminal may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// If there is one.
    Terminal,
    /// `--no-input`.
    Never,
}

/// Reads a secret from standard input; a terminal does not show what is typed.
pub(super) fn secret(name: &str, input: Input, output: &Output) -> anyhow::Result<SecretText> {
    let from = stdin();
    if !from.is_terminal() {
        let mut text = String::new();
        let read = from.lock().take(limits::SECRET_BYTES).read_to_string(&mut text);
        let value = SecretText::new(text);
        read.context("the secret on standard input is not text")?;
        return Ok(value);
    }
    anyhow::ensure!(
        input == Input::Terminal,
        "the secret is read from standard input: `ambit secret set {name} < FILE`"
    );
    output.complain(&format!("secret `{name}` (it is not shown): "))?;
    let silent = Silent::on(&from)?;
    let mut text = String::new();
    let read = from.read_line(&mut text);
    let value = SecretText::new(text);
    drop(silent);
    read.context("the terminal cannot be read")?;
    Ok(value)
}

/// A terminal that does not show what is typed, until this is dropped.
struct Silent<'a> {
    terminal: &'a Stdin,
    before: Termios,
}

impl<'a> Silent<'a> {
    fn on(terminal: &'a Stdin) -> anyhow::Result<Silent<'a>> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        silent.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(terminal, OptionalActions::Flush, &silent)?;
        Ok(Silent { terminal, before })
    }
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        if tcsetattr(self.terminal, OptionalActions::Now, &self.before).is_err() {
            tracing::warn!("the terminal stays silent: `stty echo` brings it back");
        }
    }
}
