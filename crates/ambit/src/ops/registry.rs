//! What a person decides of an agent's life, and who answers for it.

use super::{holds::calls_ended, usage};
use crate::{
    app::{
        App, Control,
        registry::{self, Ground, Living, operator},
    },
    control::Failed,
    exit::Exit,
    limits,
};
use model::{
    AgentName, Name, PartyName, Timestamp, UserName,
    lifecycle::{Suspender, WrongState},
    record::StateChange,
};
use policy::registry::Registration;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A registered agent, declared or not.
pub(super) fn registered(app: &App, text: &str) -> anyhow::Result<(AgentName, Registration)> {
    let state = app.store.state();
    let name = Name::new(text).map_err(|error| usage(error.to_string()))?;
    if let Some(found) = registry::registration(&state, &name)? {
        return Ok((name, found));
    }
    let known = registry::registrations(&state)?;
    let known: Vec<&str> = known.keys().map(Name::as_str).collect();
    let known = if known.is_empty() {
        "no agent is registered".to_owned()
    } else {
        format!("known: {}", known.join(", "))
    };
    Err(usage(format!("no agent `{text}`; {known}")))
}

/// A transition that is not there.
pub(super) fn wrong(name: &AgentName, error: &WrongState) -> anyhow::Error {
    let message = error.to_string().replace("NAME", name.as_str());
    Failed { exit: Exit::Failed, message }.into()
}

/// Stops an agent: when this returns, nothing of it reaches an upstream, and what was under way has ended.
pub(super) async fn suspend(app: &App, agent: &str, reason: String) -> anyhow::Result<Value> {
    let (name, registration) = registered(app, agent)?;
    let by = Suspender::Person(operator());
    let now = app.clock.now();
    let state = registration.state.suspend(by, reason.clone(), now);
    let state = state.map_err(|error| wrong(&name, &error))?;
    let after = Registration { state, ..registration };
    let why = model::Code::AgentSuspended.slug();
    let stop =
        StateChange { key: registry::stop_row(&name), value: Some(registry::stop(why, now)) };
    let changes = vec![registry::written(&name, &after), stop];
    app.control(Control { what: "suspend", reason: about(&name, &reason), changes }).await?;
    Ok(json!({
        "agent": name.as_str(),
        "state": after.state.as_str(),
        "calls_ended": calls_ended(app).await,
    }))
}

/// Lets an agent go on that a person suspended.
pub(super) async fn resume(app: &App, agent: &str, reason: String) -> anyhow::Result<Value> {
    let (name, registration) = registered(app, agent)?;
    let state = registration.state.resume(operator(), app.clock.now());
    let state = state.map_err(|error| wrong(&name, &error))?;
    let after = Registration { state, ..registration };
    let changes = vec![registry::written(&name, &after)];
    // The stop is lifted by what reconciles the registry: another reason may hold it.
    app.control(Control { what: "resume", reason: about(&name, &reason), changes }).await?;
    Ok(json!({ "agent": name.as_str(), "state": after.state.as_str() }))
}

/// Hands a draft in for its first review.
pub(super) async fn hand_in(app: &App, agent: &str) -> anyhow::Result<Value> {
    let (name, registration) = registered(app, agent)?;
    let state = registration.state.hand_in(operator(), app.clock.now());
    let state = state.map_err(|error| wrong(&name, &error))?;
    let after = Registration { state, ..registration };
    let changes = vec![registry::written(&name, &after)];
    app.control(Control { what: "hand-in", reason: about(&name, ""), changes }).await?;
    Ok(json!({
        "agent": name.as_str(),
        "state": after.state.as_str(),
        "calls_ended": calls_ended(app).await,
    }))
}

fn about(name: &AgentName, reason: &str) -> String {
    if reason.is_empty() { format!("agent `{name}`") } else { format!("agent `{name}`: {reason}") }
}

/// Confirms that an owner or sponsor is alive.
pub(super) async fn confirm(app: &App, text: &str) -> anyhow::Result<Value> {
    let party = match text.split_once(':') {
        Some(_) => PartyName::parse(text),
        None => Name::new(text).map(PartyName::User),
    };
    let party = party.map_err(|error| usage(error.to_string()))?;
    let state = app.store.state();
    let declared = app.gate.world().compiled.declared().clone();
    let answers = answering(&declared);
    let is_member = |party: &PartyName| match party {
        PartyName::User(name) => declared.people.contains_key(&UserName::from(name.clone())),
        PartyName::Group(_) | PartyName::Issuer(_) => false,
    };
    if !answers.contains_key(&party) && !is_member(&party) {
        let known: Vec<String> = answers.keys().map(ToString::to_string).collect();
        let known = known.join(", ");
        return Err(usage(format!("`{party}` answers for no agent; there are: {known}")));
    }
    let user = matches!(&party, PartyName::User(name) if state.rows.contains_key(&format!("revoked/user/{name}")));
    if user || state.rows.contains_key(&format!("revoked/owner/{party}")) {
        let message = format!("`{party}` is revoked: `ambit unfreeze` lets it go first");
        return Err(Failed { exit: Exit::Failed, message }.into());
    }
    let now = app.clock.now();
    let changes = vec![registry::alive(&party, now)];
    let reason = format!("`{party}` is alive");
    app.control(Control { what: "confirm", reason, changes }).await?;
    let until = now.after(Ground::of(&app.store.state()).term);
    let agents = answers.get(&party).cloned().unwrap_or_default();
    Ok(json!({ "confirmed": party.to_string(), "until": until.to_string(), "agents": agents }))
}

/// Who answers for which agents.
fn answering(declared: &model::declared::Declared) -> BTreeMap<PartyName, Vec<String>> {
    let mut found: BTreeMap<PartyName, Vec<String>> = BTreeMap::new();
    for (name, agent) in &declared.agents {
        for party in std::iter::once(&agent.owner).chain(&agent.governance.sponsor) {
            found.entry(party.clone()).or_default().push(name.to_string());
        }
    }
    found
}

/// Owners and sponsors, and until when each is known to be alive.
pub(super) fn owners(app: &App) -> anyhow::Result<Value> {
    let (state, now) = (app.store.state(), app.clock.now());
    let world = app.gate.world();
    let declared = world.compiled.declared();
    let living = Living::new(&state, declared);
    let term = Ground::of(&state).term;
    let row = |(party, agents): (PartyName, Vec<String>)| {
        let until = living.confirmed(&party).map(|at| at.after(term));
        json!({
            "name": party.to_string(),
            "state": vigour(until, term, now),
            "until": until.map(|until| until.to_string()),
            "agents": agents.join(", "),
        })
    };
    Ok(answering(declared).into_iter().map(row).collect())
}

/// How sure it is that somebody is alive; from four fifths of the term on it is said.
pub(super) fn vigour(
    until: Option<Timestamp>,
    term: model::Duration,
    now: Timestamp,
) -> &'static str {
    match until {
        None => "✕ never confirmed",
        Some(until) if until <= now => "✕ not confirmed lately",
        Some(until) if until.since(now).0 <= term.0 / 5 => "! confirm soon",
        Some(_) => "✓ alive",
    }
}

/// A one-time code with which an instance of an agent gives its own public key. It is shown once, and kept hashed.
pub(super) async fn enrol(app: &App, agent: &str) -> anyhow::Result<Value> {
    let (name, known) = registered(app, agent)?;
    if known.state.as_str() == "decommissioned" {
        let message = format!("agent `{name}` is decommissioned: it has no instances any more");
        return Err(Failed { exit: Exit::Failed, message }.into());
    }
    let (state, now) = (app.store.state(), app.clock.now());
    let until = Timestamp::from_seconds(now.after(limits::ENROL_LIFE).seconds());
    let mut random = zeroize::Zeroizing::new([0_u8; 22]);
    app.entropy.fill(random.as_mut_slice());
    let (id, secret) = random.split_at(6);
    let (id, secret) = (hex::encode(id), zeroize::Zeroizing::new(hex::encode(secret)));
    let code = issuer::Enrolment { hash: issuer::Enrolment::digest(&secret), until, tries: 0 };
    let ended = registry::below(&state, registry::codes_of(&name));
    let ended = ended
        .filter(|(_, row)| issuer::Enrolment::from_bytes(row).is_none_or(|code| code.until <= now));
    let mut changes: Vec<StateChange> = ended
        .map(|(id, _)| StateChange { key: issuer::Enrolment::row(&name, id), value: None })
        .collect();
    changes.push(StateChange {
        key: issuer::Enrolment::row(&name, &id),
        value: Some(code.to_bytes()),
    });
    let reason = format!("a code of enrolment for agent `{name}`");
    app.control(Control { what: "enrol-code", reason, changes }).await?;
    Ok(json!({
        "code": format!("{name}.{id}.{}", secret.as_str()),
        "agent": name.as_str(),
        "until": until.to_string(),
        "endpoint": format!("{}/oauth/enrol", app.settings.base_url),
    }))
}

/// An agent's enrolled instances.
pub(super) fn instances(app: &App, agent: &str) -> anyhow::Result<Value> {
    let (name, _) = registered(app, agent)?;
    let state = app.store.state();
    let row = |(thumbprint, _): (&str, &[u8])| {
        let revoked = state.rows.contains_key(&format!("revoked/instance/{thumbprint}"));
        json!({
            "name": thumbprint,
            "agent": name.as_str(),
            "state": if revoked { "✕ revoked" } else { "✓ enrolled" },
        })
    };
    Ok(registry::below(&state, registry::instances_of(&name)).map(row).collect())
}
