//! Asks the person at the terminal of `dev`; nothing but this terminal answers.

use super::watch::{Proposal, Proposals};
use crate::{app::App, limits};
use gate::decide::hold::Shown;
use std::{
    io::{BufRead as _, IsTerminal as _, Write as _},
    sync::Arc,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What the record of an answer says of its proof: a development terminal meets any rule, and says so.
const PROOF: &str = "terminal (development)";

/// What is asked at the terminal.
enum Question {
    /// An action waits for a human.
    Ask(Arc<Shown>),
    /// A change of the declared files widens.
    Change(Arc<Proposal>),
}

impl Question {
    /// The oldest ask; without one, the change that waits.
    fn next(app: &App) -> Option<Question> {
        let ask = app.gate.asks().waiting(app.clock.now()).into_iter().next();
        ask.map(Question::Ask).or_else(|| app.proposals.waiting().map(Question::Change))
    }

    fn id(&self) -> String {
        match self {
            Question::Ask(ask) => ask.id.to_string(),
            Question::Change(proposal) => proposal.number.to_string(),
        }
    }

    fn show(&self) {
        match self {
            Question::Ask(ask) => show(ask),
            Question::Change(proposal) => {
                let lines: Vec<String> = proposal.shown.lines().map(visible).collect();
                say(&format!("\n⧗ {}\n  apply? [y/n] ", lines.join("\n")));
            }
        }
    }

    async fn answer(&self, app: &App, approved: bool, by: &str) -> String {
        match self {
            Question::Ask(ask) => match app.gate.answer(ask.id, approved, by, PROOF).await {
                Ok(()) => (if approved { "approved once\n" } else { "declined\n" }).to_owned(),
                Err(error) => format!("{error}\n"),
            },
            Question::Change(proposal) => Proposals::answer(app, proposal, approved).await,
        }
    }
}

/// Shows each question, the oldest ask first, and takes `y` or `n`.
pub(crate) async fn answer(app: Arc<App>, stop: CancellationToken) {
    if !std::io::stdin().is_terminal() {
        return;
    }
    let mut lines = read_lines();
    let by = format!("uid {}", rustix::process::getuid().as_raw());
    let mut shown = None;
    loop {
        let next = Question::next(&app);
        let id = next.as_ref().map(Question::id);
        if id != shown {
            shown = id;
            if let Some(question) = &next {
                forget_typed(&mut lines).await;
                question.show();
            }
        }
        let line = tokio::select! {
            line = lines.recv() => line,
            () = app.gate.asks().arrived() => continue,
            () = app.proposals.arrived() => continue,
            () = tokio::time::sleep(std::time::Duration::from_secs(1)) => continue,
            () = stop.cancelled() => return,
        };
        let Some(line) = line else { return };
        let Some(question) = next else { continue };
        let approved = match line.trim() {
            "y" | "yes" => true,
            "n" | "no" => false,
            _ => {
                say("answer `y` or `n`: ");
                continue;
            }
        };
        say(&question.answer(&app, approved, &by).await);
    }
}

/// Standard input on a thread of its own: a read of a terminal cannot be cancelled.
fn read_lines() -> mpsc::Receiver<String> {
    let (send, receive) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if send.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receive
}

/// Drops what was typed before a question is shown: nobody answers what he has not seen.
async fn forget_typed(lines: &mut mpsc::Receiver<String>) {
    let _not_a_terminal =
        rustix::termios::tcflush(std::io::stdin(), rustix::termios::QueueSelector::IFlush).is_err();
    // One line may wait in the channel and one in the reader's hand: each look lets the other move up.
    for _ in 0..limits::TYPED_AHEAD {
        while lines.try_recv().is_ok() {}
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

fn show(ask: &Shown) {
    let whom =
        if ask.user.is_empty() { String::new() } else { format!(" for {}", visible(&ask.user)) };
    say(&format!(
        "\n⧗ {} wants {}{whom}\n{}  arguments  {}\n  rule       {} (asks {})\n  until      {}\n  handle     {}\n  approve once? [y/n] ",
        ask.agent,
        ask.action,
        first(ask),
        visible(&String::from_utf8_lossy(&ask.arguments)),
        ask.rules.join(", "),
        ask.approvers,
        ask.until,
        ask.id,
    ));
}

/// The arguments that the catalog's `show:` names, each on a line, before all of them.
fn first(ask: &Shown) -> String {
    let arguments = canonical::parse(&ask.arguments, &canonical::Limits::ARGUMENTS).ok();
    let line = |name: &String| {
        let value = arguments.as_ref()?.get(name)?.to_bytes();
        Some(format!("  {name:9}  {}\n", visible(&String::from_utf8_lossy(&value))))
    };
    ask.show.iter().filter_map(line).collect()
}

/// Text as it is, with what a terminal would obey, or an eye would miss, made visible.
fn visible(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars()
        .map(|c| if hidden(c) { format!("\\u{{{:x}}}", u32::from(c)) } else { c.to_string() })
        .collect()
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    // A terminal that is gone cannot be told so.
    let _gone = out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err();
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_a_terminal_would_obey_is_made_visible() {
        assert_eq!(super::visible("a\u{1b}[2Jb\u{202e}c"), "a\\u{1b}[2Jb\\u{202e}c");
        assert_eq!(super::visible("Zoë"), "Zoë");
    }
}
