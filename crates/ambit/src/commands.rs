//! From what was typed to what is done.

mod asking;
mod files;
mod reviewing;
mod typed;

use crate::{
    bridge,
    cli::{self, Cli, Command},
    config::ConfigError,
    control::Failed,
    database, demo, dev,
    exit::Exit,
    logs,
    output::{Gone, Output},
    server,
    settings::{Form, Settings, TlsFiles},
    standin,
};
use clap::CommandFactory as _;

/// Runs one command.
pub(crate) async fn run(cli: Cli, output: &Output) -> anyhow::Result<Exit> {
    let input = if cli.global.no_input { typed::Input::Never } else { typed::Input::Terminal };
    logs::start(
        cli.global.verbose,
        cli.global.quiet,
        matches!(cli.command, Command::Dev(_) | Command::Server(_)),
    );
    match cli.command {
        Command::Demo(options) => Box::pin(demo::run(options, output)).await,
        Command::Dev(options) => Box::pin(serve(options, Form::Development, output)).await,
        Command::Server(cli::Server::Run(options)) => {
            Box::pin(serve(options.gate, Form::Production, output)).await
        }
        Command::Bridge(options) => bridge::run(options, output).await,
        Command::Run(options) => bridge::launch(options, output).await,
        Command::Validate(declared) => files::validate(&declared, output),
        Command::Test(declared) => files::test(&declared, output),
        Command::Check(check) => files::check(&check, output),
        Command::Policy(command) => files::policy(&command, output),
        Command::DemoMcp(options) => {
            standin::serve(options, standin::mcp::handle, output).await.map(|()| Exit::Ok)
        }
        Command::DemoHttp(options) => {
            standin::serve(options, standin::http::handle, output).await.map(|()| Exit::Ok)
        }
        Command::Version => {
            output.answer(&serde_json::json!({ "version": env!("CARGO_PKG_VERSION") }), |_| {
                concat!("ambit ", env!("CARGO_PKG_VERSION")).to_owned()
            })?;
            Ok(Exit::Ok)
        }
        Command::Help(topic) => help(&topic.topic, output),
        Command::Completion(options) => {
            let mut script = Vec::new();
            clap_complete::generate(options.shell, &mut Cli::command(), "ambit", &mut script);
            output.line(String::from_utf8_lossy(&script).trim_end())?;
            Ok(Exit::Ok)
        }
        command => Box::pin(asking::run(command, input, output)).await,
    }
}

/// Says what failed, with its causes, and gives the code to end with.
pub(crate) fn failed(error: &anyhow::Error, output: &Output) -> Exit {
    let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    if inner.is_some_and(|inner| inner.is::<Gone>()) {
        return Exit::Ok;
    }
    if let Some(invalid) = error.downcast_ref::<ConfigError>() {
        return files::invalid(invalid, output);
    }
    let exit = error.downcast_ref::<Failed>().map_or(Exit::Failed, |failed| failed.exit);
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    // A terminal that is gone cannot be told so; the code still is.
    let _gone = output.complain(&format!("error: {}", causes.join(": "))).is_err();
    exit
}

async fn serve(options: cli::Dev, form: Form, output: &Output) -> anyhow::Result<Exit> {
    let mut guards = gate::Guards::default();
    match options.guard_off {
        None => {}
        Some(cli::DevGuard::Revocation) => guards.revocation = false,
        Some(cli::DevGuard::Projection) => guards.projection = false,
        Some(cli::DevGuard::Bearer) => guards.bearer = false,
        Some(cli::DevGuard::Pins) => guards.pins = false,
    }
    if let Some(guard) = options.guard_off {
        output.complain(&format!(
            "warning: the guard {guard:?} is off; this is no gate, but the twin of a test"
        ))?;
    }
    let database = database::find(&options.data.data, options.database_url.as_deref())?;
    let tls = options.tls;
    let settings = Settings {
        form,
        config: options.config,
        database,
        data: options.data.data,
        listen: options.listen,
        ops_listen: options.ops_listen,
        api_listen: options.api_listen,
        base_url: tls.base_url.unwrap_or_default(),
        tls: tls.tls_cert.zip(tls.tls_key).map(|(certificate, key)| TlsFiles { certificate, key }),
        trust_domain: tls.trust_domain,
        trust_bundles: tls.trust_bundle,
        secrets_dir: options.secrets_dir,
        otlp_endpoint: options.otlp_endpoint,
        nonces_demanded: options.demand_nonces,
        environment: options.environment,
        owner_term: options.owner_term,
        guards,
    };
    if !options.until_stdin_closes {
        return run_as(settings, output).await;
    }
    tokio::spawn(async {
        standin::stdin_closes().await;
        // The way that any stop goes: open entries end first.
        if rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM)
            .is_err()
        {
            tracing::error!("this process cannot tell itself to stop");
        }
    });
    run_as(settings, output).await
}

async fn run_as(settings: Settings, output: &Output) -> anyhow::Result<Exit> {
    if settings.form == Form::Production {
        server::check(&settings)?;
    }
    dev::run(settings, output).await
}

fn help(topic: &[String], output: &Output) -> anyhow::Result<Exit> {
    if topic.first().is_some_and(|topic| topic == "exit-codes") {
        let rows = Exit::ALL
            .iter()
            .map(|exit| serde_json::json!({ "code": exit.number(), "meaning": exit.meaning() }));
        output.answer(&rows.collect(), |_| {
            Exit::ALL
                .iter()
                .map(|exit| format!("{:>3}  {}\n", exit.number(), exit.meaning()))
                .collect()
        })?;
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
