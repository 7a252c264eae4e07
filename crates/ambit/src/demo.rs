//! `ambit demo`: one attack three times, its benign twin, a replay, a freeze, and the proof of what happened.
//!
//! Upstreams and gate are processes of their own on loopback. What each act came to is read from the upstreams' own
//! access logs and from the ledger, never from the script.

mod acts;
mod agent;
mod client;
mod ledger;
mod logs;
mod page;
mod process;
mod stage;

use crate::{
    cli::{Demo, Guard},
    exit::Exit,
    output::{Output, Paint},
};
use page::Act;
use stage::Stage;
use std::{io::IsTerminal as _, time::Instant};

/// Tells the story; ends, or stays up for the viewer's own questions.
pub(crate) async fn run(options: Demo, output: &Output) -> anyhow::Result<Exit> {
    crate::app::install_crypto();
    let started = Instant::now();
    output.line(&output.paint(Paint::Bold, "ambit demo · one attack, told three times"))?;
    output.line("A help-desk agent resolves ticket #4711. The ticket's text hides an instruction to the agent.")?;
    output.line(
        "The agent is scripted and obeys it. Everything runs on loopback, as processes of its own.",
    )?;
    output.line("")?;
    if let Some(guard) = options.guard_off {
        let warning =
            format!("with the guard `{}` off: the story must not come out as told", word(guard));
        output.line(&output.paint(Paint::Yellow, &warning))?;
        output.line("")?;
    }
    let mut stage = Stage::build(options.guard_off).await?;
    let told = match tell(&mut stage, output).await {
        Ok(told) => told,
        Err(error) => {
            let said = stage.gate_said();
            stage.strike().await;
            return Err(error.context(format!("the story broke off; the gate said:\n{said}")));
        }
    };
    let differing: Vec<&Act> = told.iter().filter(|act| !act.as_told()).collect();
    let seconds = started.elapsed().as_secs_f32();
    if differing.is_empty() {
        let line = format!("All {} acts came out as told, in {seconds:.1} s.", told.len());
        output.line(&output.paint(Paint::Green, &line))?;
    } else {
        let names: Vec<String> = differing.iter().map(|act| act.number().to_string()).collect();
        let line = format!("Not as told: act {}.", names.join(", "));
        output.line(&output.paint(Paint::Red, &line))?;
    }
    if differing.is_empty() {
        output.line("Stopped was a mail with a reset link to a stranger. A role allows it, since resetting and mailing are this")?;
        output.line(
            "agent's job; the task does not, since the ticket's requester is somebody else.",
        )?;
    }
    if !options.exit && std::io::stdout().is_terminal() && std::io::stdin().is_terminal() {
        stage.stay(output).await?;
    }
    stage.strike().await;
    Ok(if differing.is_empty() { Exit::Ok } else { Exit::Failed })
}

async fn tell(stage: &mut Stage, output: &Output) -> anyhow::Result<Vec<Act>> {
    let mut told = Vec::new();
    for number in 1..=acts::COUNT {
        let act = acts::play(number, stage).await?;
        act.show(output)?;
        told.push(act);
    }
    Ok(told)
}

fn word(guard: Guard) -> String {
    format!("{guard:?}").to_lowercase()
}
