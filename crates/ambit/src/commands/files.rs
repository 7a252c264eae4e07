//! Commands on files alone: no gate, no data directory, no clock but for the time of a question.

use crate::{
    cli::{Check, Declared, Policy},
    config::{self, ConfigError, Loaded},
    control::Failed,
    exit::Exit,
    output::{Output, table},
    views,
};
use anyhow::Context as _;
use canonical::Limits;
use model::{ActionId, Decision, Name, Timestamp};
use policy::Question;
use serde_json::{Map, Value, json};

/// `ambit validate`
pub(super) fn validate(options: &Declared, output: &Output) -> anyhow::Result<Exit> {
    let checked = config::load(&options.path).and_then(|loaded| {
        let compiled = loaded.compile()?;
        config::check_observation(&loaded, now())?;
        if !options.without_secrets {
            config::check_secrets(&loaded, options.secrets_dir.as_deref(), None)?;
        }
        Ok((loaded, compiled))
    });
    let (loaded, compiled) = match checked {
        Ok(checked) => checked,
        Err(error) => return Ok(invalid(&error, output)),
    };
    let (unpinned, in_vault) = (unpinned(&loaded), config::in_vault(&loaded));
    let declared = &loaded.declared;
    let answer = json!({
        "valid": true,
        "path": loaded.files.path,
        "agents": declared.agents.len(),
        "upstreams": declared.upstreams.len(),
        "actions": compiled.catalog().count(),
        "policies": loaded.files.policies.len(),
        "tests": declared.tests.len(),
        "unpinned": unpinned,
        "in_vault": in_vault,
    });
    output.answer(&answer, |answer| {
        let count = |member: &str, one: &str| {
            let count = answer.get(member).and_then(Value::as_u64).unwrap_or(0);
            format!("{count} {one}{}", if count == 1 { "" } else { "s" })
        };
        let counts = [
            ("agents", "agent"),
            ("upstreams", "upstream"),
            ("actions", "action"),
            ("policies", "policy file"),
            ("tests", "test"),
        ];
        format!(
            "✓ {}: {}",
            loaded.files.path,
            counts.map(|(member, one)| count(member, one)).join(", ")
        )
    })?;
    if !unpinned.is_empty() {
        let note = format!(
            "note: without `ambit.lock` the arguments of {} are not type-checked",
            unpinned.join(", ")
        );
        output.talk(&note)?;
    }
    if !in_vault.is_empty() {
        output.talk(&format!(
            "note: whether the vault has `{}` is seen by `ambit dev` and `ambit apply`, which refuse without it",
            in_vault.join("`, `")
        ))?;
    }
    Ok(Exit::Ok)
}

/// MCP actions whose definitions are not beside the file.
fn unpinned(loaded: &Loaded) -> Vec<String> {
    let mcp = loaded
        .declared
        .upstreams
        .iter()
        .filter(|(_, upstream)| upstream.kind == model::declared::UpstreamKind::Mcp);
    let actions = mcp.flat_map(|(name, upstream)| {
        upstream.actions.keys().filter_map(move |action| ActionId::new(name.clone(), action).ok())
    });
    actions
        .filter(|action| !loaded.definitions.contains_key(action))
        .map(|action| action.to_string())
        .collect()
}

/// Shows every problem with its place.
pub(super) fn invalid(error: &ConfigError, output: &Output) -> Exit {
    let shown = if matches!(error, ConfigError::File { .. }) {
        output.complain(&format!("error: {error}"))
    } else if output.is_table() {
        output.complain(&error.rendered(output.colour_on_stderr()))
    } else {
        output.answer(&error.rows(), |_| String::new())
    };
    // A terminal that is gone cannot be told so; the code still is.
    let _gone = shown.is_err();
    error.exit()
}

/// `ambit test`
pub(super) fn test(options: &Declared, output: &Output) -> anyhow::Result<Exit> {
    let loaded = config::load(&options.path)?;
    let results = loaded.compile()?.run_tests(now());
    let failed = results.iter().filter(|result| !result.passed).count();
    output.answer(&views::cases(&results), |_| {
        results.iter().map(|result| format!("{}\n", views::case_line(result))).collect()
    })?;
    output.talk(&format!("{} passed, {failed} failed", results.len() - failed))?;
    Ok(if failed == 0 { Exit::Ok } else { Exit::Unproven })
}

/// `ambit check`
pub(super) fn check(options: &Check, output: &Output) -> anyhow::Result<Exit> {
    let compiled = config::load(&options.config)?.compile()?;
    let params = pairs(&options.params)?;
    let question = Question {
        agent: Name::new(&options.agent)?,
        user: options.user.as_deref().map(model::UserName::new).transpose()?,
        action: ActionId::parse(&options.action)?,
        arguments: canonical_object(&pairs(&options.arguments)?)?,
        intent: match &options.intent {
            None => None,
            Some(intent) => Some((Name::new(intent)?, canonical_object(&params)?)),
        },
    };
    if compiled.agent(&question.agent).is_none() {
        return Err(unknown_agent(&question.agent, &compiled));
    }
    let explanation = compiled.check(&question, now());
    output.answer(&views::explanation(&explanation), views::check)?;
    Ok(match explanation.decision {
        Decision::Allow => Exit::Ok,
        Decision::Ask => Exit::Asked,
        Decision::Deny => Exit::Denied,
    })
}

/// A mistake of who asked, not a decision: there is nobody to decide about.
fn unknown_agent(agent: &Name, compiled: &policy::Compiled) -> anyhow::Error {
    let known: Vec<&str> = compiled.declared().agents.keys().map(Name::as_str).collect();
    let known = match known.as_slice() {
        [] => "no agent is declared".to_owned(),
        known => format!("known: {}", known.join(", ")),
    };
    Failed { exit: Exit::Usage, message: format!("no agent `{agent}`; {known}") }.into()
}

/// `ambit policy …`
pub(super) fn policy(command: &Policy, output: &Output) -> anyhow::Result<Exit> {
    match command {
        Policy::Generated(options) => {
            let generated = config::load(&options.path)?.compile()?.generated();
            output.answer(&json!({ "generated": generated }), |_| generated.clone())?;
        }
        Policy::List(options) => {
            let loaded = config::load(&options.path)?;
            let compiled = loaded.compile()?;
            let rows: Value = loaded
                .files
                .policies
                .iter()
                .map(|(path, text)| json!({ "path": path, "bytes": text.len() }))
                .collect();
            output.answer(&rows, |_| {
                let row =
                    |(path, text): (&String, &String)| vec![path.clone(), text.len().to_string()];
                let rows: Vec<Vec<String>> = loaded.files.policies.iter().map(row).collect();
                format!("{}digest {}\n", table(&["path", "bytes"], &rows), compiled.digest())
            })?;
        }
    }
    Ok(Exit::Ok)
}

/// `k=text` and `k:=JSON` as members.
pub(super) fn pairs(arguments: &[String]) -> anyhow::Result<Map<String, Value>> {
    let mut members = Map::new();
    for argument in arguments {
        let (name, value) = argument
            .split_once('=')
            .with_context(|| format!("`{argument}` is not `name=value`"))?;
        let (name, value) = match name.strip_suffix(':') {
            None => (name, Value::from(value)),
            Some(name) => (
                name,
                serde_json::from_str(value).with_context(|| format!("`{value}` is not JSON"))?,
            ),
        };
        anyhow::ensure!(
            members.insert(name.to_owned(), value).is_none(),
            "`{name}` is given twice"
        );
    }
    Ok(members)
}

fn canonical_object(members: &Map<String, Value>) -> anyhow::Result<canonical::Value> {
    let text = serde_json::to_vec(members)?;
    Ok(canonical::parse(&text, &Limits::ARGUMENTS)?)
}

fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::pairs;

    #[test]
    fn arguments_are_text_unless_they_say_json() {
        let check = |given: &[&str], expected: Result<serde_json::Value, &str>| {
            let given: Vec<String> = given.iter().map(|text| (*text).to_owned()).collect();
            let got =
                pairs(&given).map(serde_json::Value::Object).map_err(|error| error.to_string());
            assert_eq!(got, expected.map_err(str::to_owned), "{given:?}");
        };
        check(
            &["a=1", "b:=1", "c=x=y", "d:={\"e\":[true]}"],
            Ok(serde_json::json!({"a": "1", "b": 1, "c": "x=y", "d": {"e": [true]}})),
        );
        check(&["a"], Err("`a` is not `name=value`"));
        check(&["a=1", "a:=2"], Err("`a` is given twice"));
        check(&["a:=x"], Err("`x` is not JSON"));
    }
}
