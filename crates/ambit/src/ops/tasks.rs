//! `ambit task open`: a task by whoever runs the gate.

use super::{agent_name, usage};
use crate::{
    app::App,
    control::Failed,
    exit::Exit,
    limits,
    tasks::{self, Opening, Refused, Told, Use},
};
use model::{Name, OpenedBy, UserName};
use policy::Trigger;
use serde_json::{Map, Value, json};

/// Opens a task of an intent, for somebody, with what set it off.
pub(super) async fn open(
    app: &App,
    (agent, intent): (&str, &str),
    (user, trigger): (Option<String>, Option<String>),
    params: Map<String, Value>,
) -> anyhow::Result<Value> {
    let world = app.gate.world();
    let agent = agent_name(&world.compiled, agent)?;
    let known = |name: &Name| world.compiled.declared().intents.contains_key(name);
    let known = Name::new(intent).ok().filter(known);
    let intent = known.ok_or_else(|| usage(format!("no intent `{intent}` is declared")))?;
    let trigger = trigger.unwrap_or_default();
    let user = user.as_deref().map(UserName::new).transpose()?;
    let served = world.compiled.agent(&agent).and_then(|entry| entry.declared.users.as_ref());
    if served.is_some() && user.is_none() {
        return Err(usage(format!(
            "agent `{agent}` acts for people: say for whom with `--for USER`"
        )));
    }
    anyhow::ensure!(
        trigger.len() <= limits::TRIGGER_BYTES,
        "the trigger is longer than {} bytes",
        limits::TRIGGER_BYTES
    );
    let given = params.clone();
    let opening = Opening {
        agent,
        intent: Some(intent),
        params,
        told: if user.is_some() { Told::Operator } else { Told::Nobody },
        user,
        trigger: Trigger::named(trigger),
        body: None,
        expires: None,
        instance: None,
        opened_by: OpenedBy::Operator,
        client: None,
        within: Vec::new(),
    };
    let using = Use { revision: world.revision, ..Use::default() };
    let task = tasks::open(app, opening, using).await.map_err(|refused| match refused {
        Refused::Wrong(what) => usage(what),
        Refused::Denied(_, message) => Failed { exit: Exit::Denied, message }.into(),
        Refused::Used | Refused::Unrecorded(..) => anyhow::Error::new(refused),
    })?;
    let version = world.compiled.agent(&task.agent).map(|entry| entry.version.to_string());
    Ok(json!({
        "task": task.id.to_string(),
        "agent": task.agent.as_str(),
        "version": version,
        "intent": task.intent.as_ref().map(Name::as_str),
        "user": task.user.as_ref().map(UserName::as_str),
        "params": given,
        "expires": task.expires.to_string(),
    }))
}
