//! Commands that ask a gate: the one that runs on the data directory, or this process in its place.

use super::{
    files::pairs,
    reviewing,
    typed::{self, Input},
};
use crate::{
    cli::{
        self, Agent, Command, FreezeCommand, Key, Ledger, Revoke, Secret, Task, TokenFormat, Trace,
        Upstream,
    },
    config,
    control::{self, KeyWish, Request, Which},
    exit::Exit,
    limits, ops,
    output::Output,
    views,
};
use anyhow::Context as _;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Asks and shows the answer.
pub(super) async fn run(command: Command, input: Input, output: &Output) -> anyhow::Result<Exit> {
    match command {
        Command::Token(options) => token(options, output).await,
        Command::Apply(options) => apply(options, output).await,
        Command::Diff(options) => {
            diff(&options.declared.path, &options.data.data, options.exit_code, output).await
        }
        Command::Export(options) => export(options, output).await,
        Command::Ledger(Ledger::Verify(options)) => verify(&options, output),
        Command::Report(cli::Report::Would(options)) => would(options, output).await,
        Command::Why(options) => {
            let cli::Why { trace, agent, handle, .. } = options;
            let request = Request::Why { trace, agent, handle };
            ask(&options.data.data, request, output, views::why).await
        }
        Command::Secret(Secret::Set { name, user, data }) => {
            let value = typed::secret(&name, input, output)?;
            ask(&data.data, Request::SecretSet { name, user, value }, output, views::members).await
        }
        Command::Agent(Agent::Review(options)) => reviewing::review(options, output).await,
        Command::Owner(cli::Owner::Key(options)) => reviewing::key(options, output).await,
        Command::Trace(Trace::Tail(options)) => tail(options, output).await,
        Command::Agent(Agent::List(data)) => {
            let agents = control::ask(&data.data, None, Request::AgentList).await?;
            output.answer(&agents, |agents| output.marked(&views::agents(agents)))?;
            Ok(Exit::Ok)
        }
        Command::Owner(cli::Owner::List(data)) => {
            let owners = control::ask(&data.data, None, Request::OwnerList).await?;
            output.answer(&owners, |owners| output.marked(&views::owners(owners)))?;
            Ok(Exit::Ok)
        }
        Command::Doctor(data) => {
            let probes = control::ask(&data.data, None, Request::Doctor).await?;
            output.answer(&probes, views::doctor)?;
            let failed = probes.as_array().into_iter().flatten();
            let failed = failed.filter(|probe| member(probe, "state") == "fail").count();
            Ok(if failed == 0 { Exit::Ok } else { Exit::Failed })
        }
        Command::Status(data) => {
            let status = control::ask(&data.data, None, Request::Status).await?;
            output.answer(&status, views::members)?;
            let running = status.get("running").and_then(Value::as_bool).unwrap_or(false);
            Ok(if running { Exit::Ok } else { Exit::Failed })
        }
        command => {
            let (data, request, people) = simple(command)?;
            ask(&data, request, output, people).await
        }
    }
}

type People = fn(&Value) -> String;

async fn ask(
    data: &Path,
    request: Request,
    output: &Output,
    people: People,
) -> anyhow::Result<Exit> {
    let answer = control::ask(data, None, request).await?;
    output.answer(&answer, people)?;
    Ok(Exit::Ok)
}

fn client(command: cli::Client) -> (PathBuf, Request, People) {
    let cli::Client::Key { client, data, .. } = command;
    (data.data, Request::ClientKey { client }, |value| value.to_string())
}

/// The end of a task is its revocation.
fn ending(task: cli::RevokeOne) -> (PathBuf, Request, People) {
    let request = Request::Revoke { kind: Which::Task, name: task.name, reason: task.reason };
    (task.data.data, request, views::members)
}

/// Commands that are one request and one answer.
fn simple(command: Command) -> anyhow::Result<(PathBuf, Request, People)> {
    Ok(match command {
        Command::Agent(command) => agent(command)?,
        Command::History(data) => (data.data, Request::History, views::history),
        Command::Rollback(options) => {
            let cli::Rollback { revision, reason, skip_tests, data } = options;
            (data.data, Request::Rollback { revision, reason, skip_tests }, views::applied)
        }
        Command::Client(command) => client(command),
        Command::Task(Task::End(options)) => ending(options),
        Command::Task(Task::Open(options)) => {
            let params = pairs(&options.params)?;
            let cli::TaskOpen { agent, intent, user, trigger, data, .. } = options;
            (data.data, Request::TaskOpen { agent, intent, user, trigger, params }, views::members)
        }
        Command::Freeze(cli::Freeze { command: Some(FreezeCommand::List(data)), .. }) => {
            (data.data, Request::FreezeList, views::frozen)
        }
        Command::Freeze(cli::Freeze { stop, reason, data, command: None }) => {
            let (selector, effects) = (stop.selector.unwrap_or_default(), stop.effect);
            let reason = reason.unwrap_or_default();
            (data.data, Request::Freeze { selector, effects, reason }, views::members)
        }
        Command::Unfreeze(cli::Unfreeze { stop, reason, data }) => {
            let (selector, effects) = (stop.selector.unwrap_or_default(), stop.effect);
            let reason = reason.unwrap_or_default();
            (data.data, Request::Unfreeze { selector, effects, reason }, views::members)
        }
        Command::Revoke(command) => revoke(command),
        Command::Owner(cli::Owner::Confirm { name, data }) => {
            (data.data, Request::OwnerConfirm { name }, views::members)
        }
        Command::Key(command) => return Ok(key(command)),
        Command::Trace(Trace::List(options)) => {
            let cli::TraceList { which, limit, data } = options;
            (data.data, Request::TraceList { which, limit }, views::traces)
        }
        Command::Trace(Trace::Show { trace, data }) => {
            (data.data, Request::TraceShow { trace }, views::trace)
        }
        Command::Ledger(Ledger::Key(data)) => {
            (data.data, Request::LedgerKey, |value| member(value, "vkey"))
        }
        Command::Ledger(Ledger::Checkpoint(data)) => {
            (data.data, Request::LedgerCheckpoint, |value| member(value, "checkpoint"))
        }
        Command::Ledger(Ledger::Export { file, data }) => {
            let file = std::path::absolute(&file)?.display().to_string();
            (data.data, Request::LedgerExport { file }, views::members)
        }
        Command::Upstream(Upstream::Pin { name, data }) => {
            (data.data, Request::UpstreamPin { name }, views::members)
        }
        Command::Upstream(Upstream::Credential { name, confirm, data }) => {
            (data.data, Request::UpstreamCredential { name, confirm }, views::members)
        }
        Command::Secret(Secret::List(data)) => (data.data, Request::SecretList, views::secrets),
        Command::Secret(Secret::Rm { name, user, force, data }) => {
            (data.data, Request::SecretRemove { name, user, force }, views::members)
        }
        other => anyhow::bail!("`{other:?}` is no question to a gate"),
    })
}

fn key(command: Key) -> (PathBuf, Request, People) {
    match command {
        Key::Create(options) => {
            let cli::KeyCreate { agent, life, upstreams, actions, networks, data } = options;
            let wish = KeyWish { agent, life, upstreams, actions, networks };
            (data.data, Request::KeyCreate(wish), |value| member(value, "key"))
        }
        Key::List { agent, data } => (data.data, Request::KeyList { agent }, views::scoped_keys),
        Key::Rotate { authority, withdraw, data } => {
            (data.data, Request::KeyRotate { authority, withdraw }, views::members)
        }
    }
}

fn revoke(command: Revoke) -> (PathBuf, Request, People) {
    let (kind, options) = match command {
        Revoke::Token(options) => (Which::Token, options),
        Revoke::Agent(options) => (Which::Agent, options),
        Revoke::Task(options) => (Which::Task, options),
        Revoke::Key(options) => (Which::Key, options),
        Revoke::Instance(options) => (Which::Instance, options),
        Revoke::Version(options) => (Which::Version, options),
        Revoke::User(options) => (Which::User, options),
        Revoke::Owner(options) => (Which::Owner, options),
        Revoke::Upstream(options) => (Which::Upstream, options),
    };
    let request = Request::Revoke { kind, name: options.name, reason: options.reason };
    (options.data.data, request, views::members)
}

fn agent(command: Agent) -> anyhow::Result<(PathBuf, Request, People)> {
    Ok(match command {
        Agent::List(data) => (data.data, Request::AgentList, views::agents),
        Agent::Show { agent, data } => (data.data, Request::AgentShow { agent }, views::agent),
        Agent::Suspend(cli::AgentStop { agent, reason, data }) => {
            (data.data, Request::AgentSuspend { agent, reason }, views::members)
        }
        Agent::Resume(cli::AgentStop { agent, reason, data }) => {
            (data.data, Request::AgentResume { agent, reason }, views::members)
        }
        Agent::Enrol { agent, data } => {
            (data.data, Request::AgentEnrol { agent }, |value| member(value, "code"))
        }
        Agent::Instances { agent, data } => {
            (data.data, Request::AgentInstances { agent }, views::instances)
        }
        Agent::Residual { agent, data } => {
            (data.data, Request::AgentResidual { agent }, views::residual)
        }
        Agent::Decommission(cli::AgentDecommission { agent, yes, reason, data }) => {
            (data.data, Request::AgentDecommission { agent, reason, yes }, views::decommission)
        }
        Agent::Key { agent, export: cli::KeyForm::Jwk, data } => {
            (data.data, Request::AgentKey { agent }, |value| value.to_string())
        }
        Agent::Cert { agent, csr, data } => {
            let place = || format!("`--csr {}` cannot be read", csr.display());
            let csr = std::fs::read_to_string(&csr).with_context(place)?;
            (data.data, Request::AgentCert { agent, csr }, |value| member(value, "certificate"))
        }
        other @ Agent::Review(_) => anyhow::bail!("`{other:?}` is no question to a gate"),
    })
}

fn member(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

async fn token(options: cli::Token, output: &Output) -> anyhow::Result<Exit> {
    let cli::Token { agent, audience, format, task, url, method, data } = options;
    let base = url::Url::parse(&audience).context("`--audience` is the door's full URL")?;
    let base = base.origin().ascii_serialization();
    let request = Request::Token { agent, audience, task, url, method };
    let issued = control::ask(&data.data, Some(&base), request).await?;
    let (token, kind) = (member(&issued, "token"), member(&issued, "type"));
    let proof = member(&issued, "proof");
    match format {
        TokenFormat::Json => output.line(&issued.to_string())?,
        TokenFormat::Header => {
            output.line(&format!("Authorization: {kind} {token}"))?;
            if !proof.is_empty() {
                output.line(&format!("DPoP: {proof}"))?;
            }
        }
        TokenFormat::Env => {
            output.line(&format!("AMBIT_TOKEN={token}\nAMBIT_TOKEN_TYPE={kind}"))?;
            if !proof.is_empty() {
                output.line(&format!("AMBIT_PROOF={proof}"))?;
            }
        }
    }
    if kind == "DPoP" {
        output.talk("note: the token is bound to the agent's key; the proof is good for one request to its URL, within a minute")?;
    }
    Ok(Exit::Ok)
}

async fn apply(options: cli::Apply, output: &Output) -> anyhow::Result<Exit> {
    if options.dry_run {
        return diff(&options.declared.path, &options.data.data, false, output).await;
    }
    let loaded = config::load(&options.declared.path)?;
    let cli::Apply { reason, skip_tests, data, .. } = options;
    let request = Request::Apply { files: loaded.files, reason, skip_tests };
    ask(&data.data, request, output, views::applied).await
}

async fn diff(path: &Path, data: &Path, exit_code: bool, output: &Output) -> anyhow::Result<Exit> {
    let loaded = config::load(path)?;
    let difference = control::ask(data, None, Request::Diff { files: loaded.files }).await?;
    output.answer(&difference, views::difference)?;
    let is = |member: &str| difference.get(member).and_then(Value::as_bool).unwrap_or(false);
    let failed = difference.get("failed").and_then(Value::as_array);
    Ok(match (failed.is_some_and(|failed| !failed.is_empty()), exit_code && is("differs")) {
        (true, _) => Exit::Unproven,
        (false, true) => Exit::Differs,
        (false, false) => Exit::Ok,
    })
}

async fn export(options: cli::Export, output: &Output) -> anyhow::Result<Exit> {
    let exported = control::ask(&options.data.data, None, Request::Export).await?;
    let files = exported.get("files").and_then(Value::as_object).context("no files came")?;
    let mut written = Vec::new();
    for (name, text) in files {
        let path = options.directory.join(name);
        anyhow::ensure!(
            options.force || !path.exists(),
            "`{}` is there: choose another directory, or `--force`",
            path.display()
        );
        written.push((path, text.as_str().unwrap_or_default()));
    }
    for (path, text) in &written {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .with_context(|| format!("`{}` cannot be made", parent.display()))?;
        }
        std::fs::write(path, text)
            .with_context(|| format!("`{}` cannot be written", path.display()))?;
    }
    let names: Vec<String> = written.iter().map(|(path, _)| path.display().to_string()).collect();
    output.answer(&serde_json::json!({ "written": names }), |_| {
        names.iter().map(|name| format!("{name}\n")).collect()
    })?;
    Ok(Exit::Ok)
}

/// Follows a running gate until interrupted, or until the gate or the reader is gone.
async fn tail(options: cli::TraceTail, output: &Output) -> anyhow::Result<Exit> {
    let cli::TraceTail { which, lines, data } = options;
    let mut next = None;
    if lines > 0 {
        // The place comes first: what happens between the two questions is shown rather than lost.
        let begun = Request::TraceTail { which: which.clone(), after: None };
        let begun = control::ask_running(&data.data, &begun).await.context(NO_GATE)?;
        next = begun.get("next").and_then(Value::as_u64);
        let request = Request::TraceList { which: which.clone(), limit: Some(lines) };
        show_rows(&control::ask_running(&data.data, &request).await.context(NO_GATE)?, output)?;
    }
    loop {
        let request = Request::TraceTail { which: which.clone(), after: next };
        let found = control::ask_running(&data.data, &request).await.context(NO_GATE)?;
        next = found.get("next").and_then(Value::as_u64).or(next);
        show_rows(found.get("rows").unwrap_or(&Value::Null), output)?;
        tokio::time::sleep(limits::TAIL).await;
    }
}

const NO_GATE: &str = "no gate runs on this data directory, so there is nothing to follow";

fn show_rows(rows: &Value, output: &Output) -> anyhow::Result<()> {
    for row in rows.as_array().into_iter().flatten() {
        if output.is_table() {
            output.line(views::traces(&serde_json::json!([row])).trim_end())?;
        } else {
            output.line(&row.to_string())?;
        }
    }
    Ok(())
}

async fn would(options: cli::ReportWould, output: &Output) -> anyhow::Result<Exit> {
    let request = Request::ReportWould { agent: options.agent, since: options.since };
    let mut report = control::ask(&options.data.data, None, request).await?;
    let (before, after) = (member(&report, "before"), member(&report, "after"));
    let path = config::main_file(&options.config);
    let changed = !after.is_empty();
    let diff = if changed { views::patch(&path, &before, &after) } else { String::new() };
    if options.write && changed {
        let found = std::fs::read_to_string(&path)
            .with_context(|| format!("`{}` cannot be read", path.display()))?;
        anyhow::ensure!(
            found == before,
            "`{}` is not what is in force: `ambit apply` it first, or write what `ambit export` gives",
            path.display()
        );
        std::fs::write(&path, after)
            .with_context(|| format!("`{}` cannot be written", path.display()))?;
    }
    if options.diff {
        output.line(diff.trim_end())?;
        return Ok(Exit::Ok);
    }
    if let Some(members) = report.as_object_mut() {
        members.remove("before");
        members.remove("after");
        members.insert("diff".into(), diff.into());
        members.insert("written".into(), (options.write && changed).into());
    }
    output.answer(&report, views::would)?;
    Ok(Exit::Ok)
}

fn verify(options: &cli::LedgerVerify, output: &Output) -> anyhow::Result<Exit> {
    let kept = match &options.checkpoint {
        None => None,
        Some(path) => Some(
            std::fs::read_to_string(path)
                .with_context(|| format!("`{}` cannot be read", path.display()))?,
        ),
    };
    let verified = ops::verify(&options.data, options.key.as_deref(), kept.as_deref())?;
    output.answer(&verified.value(), |_| views::verified_line(&verified))?;
    Ok(if verified.holds { Exit::Ok } else { Exit::Unproven })
}
