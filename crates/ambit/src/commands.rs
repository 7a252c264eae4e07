//! From what was typed to what is done.

use crate::{
    cli::{Cli, Command},
    exit::Exit,
    output::Output,
    standin,
};
use clap::CommandFactory as _;

/// Runs one command.
pub(crate) async fn run(cli: Cli, output: &Output) -> anyhow::Result<Exit> {
    match cli.command {
        Command::DemoMcp(options) => standin::serve(options, standin::mcp::handle, output).await?,
        Command::DemoHttp(options) => {
            standin::serve(options, standin::http::handle, output).await?
        }
        Command::Version => output.line(concat!("ambit ", env!("CARGO_PKG_VERSION")))?,
        Command::Help(topic) => return help(&topic.topic, output),
        _ => anyhow::bail!("not built yet"),
    }
    Ok(Exit::Ok)
}

/// Says what failed, with its causes, and gives the code to end with.
pub(crate) fn failed(error: &anyhow::Error, output: &Output) -> Exit {
    if error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    {
        return Exit::Ok;
    }
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    match output.complain(&format!("error: {}", causes.join(": "))) {
        Ok(()) | Err(_) => Exit::Failed,
    }
}

fn help(topic: &[String], output: &Output) -> anyhow::Result<Exit> {
    if topic.first().is_some_and(|topic| topic == "exit-codes") {
        for exit in Exit::ALL {
            output.line(&format!("{:>3}  {}", exit.number(), exit.meaning()))?;
        }
        return Ok(Exit::Ok);
    }
    let mut command = Cli::command();
    command.build();
    let mut found = &mut command;
    for name in topic {
        let Some(next) = found.find_subcommand_mut(name) else {
            output.complain(&format!("error: no command `{}`", topic.join(" ")))?;
            return Ok(Exit::Usage);
        };
        found = next;
    }
    output.line(&found.render_help().to_string())?;
    Ok(Exit::Ok)
}
