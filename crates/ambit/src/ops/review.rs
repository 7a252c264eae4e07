//! The review of an agent's version: one page, and its approval, signed by who answers for what changed.

use super::{registry::registered, usage};
use crate::{
    app::{
        App, Control,
        registry::{self, Ground, operator},
    },
    control::Failed,
    exit::Exit,
};
use identity::{AgentKeys, SignoffClaims, verify_signoff};
use model::{
    ActionId, AgentName, Digest, Lifecycle, Name, PartyName, UserName,
    declared::Agent,
    manifest::{Class, Evidence},
    record::StateChange,
};
use policy::registry::{Change, Demand, Passed, Registration, Snapshot, changes, demand, grows};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A reviewer's yes to one page.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Approval {
    /// Who says so; in a sandbox whoever runs it may be nobody in particular.
    pub(crate) reviewer: Option<String>,
    /// The digest of the page that was shown.
    pub(crate) page: String,
    /// Her signature under it.
    pub(crate) signature: Option<String>,
}

/// One agent's version, with everything that a reviewer reads.
struct Subject {
    name: AgentName,
    agent: Agent,
    registration: Registration,
    version: Snapshot,
    before: Option<Snapshot>,
    changes: Vec<Change>,
    parties: BTreeSet<PartyName>,
    missing: BTreeSet<PartyName>,
}

/// The prefix of answers of reviewers: `registry/answer/AGENT/VERSION/PARTY`.
const ANSWERS: &str = "registry/answer/";

/// The row of a reviewer's public key.
pub(super) fn key_row(person: &Name) -> String {
    format!("registry/key/{person}")
}

/// The page; nothing is changed.
pub(super) fn page(app: &App, agent: &str) -> anyhow::Result<Value> {
    let subject = subject(app, agent)?;
    Ok(subject.page(app))
}

fn subject(app: &App, agent: &str) -> anyhow::Result<Subject> {
    let (name, registration) = registered(app, agent)?;
    let world = app.gate.world();
    let (Some(entry), Some(version)) =
        (world.compiled.agent(&name), Snapshot::of(&world.compiled, &name))
    else {
        return Err(usage(format!(
            "agent `{name}` is not declared any more: `ambit agent decommission {name}` ends it"
        )));
    };
    let agent = entry.declared.clone();
    let never = matches!(registration.state.as_str(), "draft" | "under review");
    let passed = registration.version.as_ref().filter(|_| !never);
    let mut before = passed.map(|passed| passed.snapshot.clone());
    if let Some(before) = before.as_mut().filter(|_| agent.governance.review.is_none()) {
        // Nobody reviews how far it reaches, so nothing is kept of how far it did.
        before.reach.clone_from(&version.reach);
    }
    let nothing = Snapshot::default();
    let old = before.as_ref().unwrap_or(&nothing);
    let (found, grown) = (changes(old, &version), grows(old, &version));
    let asked = demand(agent.governance.review.as_ref(), &found, grown, &agent.owner);
    let parties = match asked {
        Demand::Review(parties) => parties,
        Demand::Pass { .. } => BTreeSet::from([agent.owner.clone()]),
    };
    let state = app.store.state();
    // An answer counts for one review: not again when the whole agent is reviewed the next time.
    let last = match &registration.state {
        Lifecycle::Active { reviewed, .. } => Some(*reviewed),
        Lifecycle::Suspended { reviewed, .. } => *reviewed,
        Lifecycle::Draft { .. }
        | Lifecycle::UnderReview { .. }
        | Lifecycle::Decommissioned { .. } => None,
    };
    let last = last.map(|last| last.to_string()).unwrap_or_default();
    let is_missing = |party: &&PartyName| {
        let row = state.rows.get(&answer_row(&name, &version.version, party));
        let at = row.and_then(|row| super::traces::text(&super::traces::read(row), "at"));
        at.is_none_or(|at| at <= last)
    };
    let missing = parties.iter().filter(is_missing).cloned().collect();
    Ok(Subject { name, agent, registration, version, before, changes: found, parties, missing })
}

fn answer_row(agent: &AgentName, version: &Digest, party: &PartyName) -> String {
    format!("{ANSWERS}{agent}/{version}/{party}")
}

impl Subject {
    /// Prompts → policies → tools → side effects, with a digest over all of it.
    fn page(&self, app: &App) -> Value {
        let mut page = self.body(app);
        let digest = digest(&page);
        let names = |parties: &BTreeSet<PartyName>| -> Vec<String> {
            parties.iter().map(ToString::to_string).collect()
        };
        if let Some(members) = page.as_object_mut() {
            members.insert("page".into(), digest.to_string().into());
            members.insert("answered_missing".into(), names(&self.missing).into());
            members.insert("state".into(), self.registration.state.as_str().into());
        }
        page
    }

    /// What is signed.
    fn body(&self, app: &App) -> Value {
        let compiled = &app.gate.world().compiled;
        let of = |classes: &[Class]| -> Vec<Value> {
            let found = self.changes.iter().filter(|change| classes.contains(&change.class));
            found.map(row).collect()
        };
        let reached: Vec<Value> =
            self.version.reach.keys().map(|id| self.action(app, id)).collect();
        let tests = compiled.run_tests(app.clock.now());
        let tests: Vec<_> = tests.iter().filter(|case| case.question.agent == self.name).collect();
        let failed = tests.iter().filter(|case| !case.passed).count();
        let parties: Vec<String> = self.parties.iter().map(ToString::to_string).collect();
        json!({
            "agent": self.name.as_str(),
            "purpose": self.agent.purpose,
            "owner": self.agent.owner.to_string(),
            "version": self.version.version.to_string(),
            "before": self.before.as_ref().map(|before| before.version.to_string()),
            "evidence": self.weakest().as_str(),
            "prompts": of(&[Class::Prompt, Class::Model, Class::Integration, Class::Image]),
            "policies": json!({
                "digest": compiled.digest().to_string(),
                "boundary": self.agent.boundary.as_str(),
                "users": self.agent.users.as_ref().map(ToString::to_string),
            }),
            "tools": of(&[Class::Tools, Class::ToolDefinition]),
            "definitions": self.definitions(app),
            "newly_reachable": self.newly().iter().map(|id| self.action(app, id)).collect::<Vec<_>>(),
            "side_effects": reached,
            "tests": tests.len(),
            "tests_failed": failed,
            "reviewers": parties,
        })
    }

    /// What changed tools say of themselves by now: what a model reads before it calls.
    fn definitions(&self, app: &App) -> Vec<Value> {
        let world = app.gate.world();
        let changed = self.changes.iter().filter(|change| change.class == Class::ToolDefinition);
        let said = changed.filter_map(|change| {
            let action = ActionId::parse(&change.what).ok()?;
            let said = world.definitions.get(&action)?.to_bytes();
            let said = String::from_utf8_lossy(&said).into_owned();
            Some(json!({ "action": change.what, "says": said }))
        });
        said.collect()
    }

    /// Actions that the version reaches, or reaches further, that the one before did not.
    fn newly(&self) -> Vec<ActionId> {
        let level = |id: &ActionId| self.before.as_ref().and_then(|before| before.reach.get(id));
        let grown =
            self.version.reach.iter().filter(|(id, reached)| {
                level(id).is_none_or(|before| reached.level > before.level)
            });
        grown.map(|(id, _)| id.clone()).collect()
    }

    fn action(&self, app: &App, id: &ActionId) -> Value {
        let world = app.gate.world();
        let entry = world.compiled.entry(id);
        let level = self.version.reach.get(id).map(|reached| reached.words());
        json!({
            "action": id.to_string(),
            "how": level,
            "effect": entry.map(|entry| entry.action.effect.as_str()),
            "sink": entry.map(|entry| entry.action.sink.as_str()),
            "risk": entry.map(|entry| entry.action.risk.as_str()),
            "data": entry.map(|entry| entry.action.data.iter().cloned().collect::<Vec<_>>()),
        })
    }

    /// How the least known part of the version is known.
    fn weakest(&self) -> Evidence {
        if self.version.manifest.is_some() { Evidence::Declared } else { Evidence::Observed }
    }
}

fn row(change: &Change) -> Value {
    json!({
        "class": change.class.as_str(),
        "what": change.what,
        "from": change.from,
        "to": change.to,
        "evidence": change.evidence.as_str(),
    })
}

/// SHA-256 of a page in canonical form.
fn digest(page: &Value) -> Digest {
    use aws_lc_rs::digest::{SHA256, digest};
    let bytes = canonical::parse(page.to_string().as_bytes(), &canonical::Limits::FRAME)
        .map(|value| value.to_bytes())
        .unwrap_or_default();
    Digest(<[u8; 32]>::try_from(digest(&SHA256, &bytes).as_ref()).unwrap_or_default())
}

/// Takes a reviewer's yes. When nobody's is missing, the version may act.
pub(super) async fn approve(app: &App, agent: &str, approval: Approval) -> anyhow::Result<Value> {
    let subject = subject(app, agent)?;
    let page = digest(&subject.body(app));
    if Digest::from_hex(&approval.page) != Some(page) {
        let message = format!(
            "what was shown of agent `{}` is not what is there by now: nothing was approved, look again",
            subject.name
        );
        return Err(Failed { exit: Exit::Failed, message }.into());
    }
    let (by, proof, answers) = subject.authority(app, &approval, page)?;
    let value = |party: &PartyName| {
        gate::json::object([
            ("at", app.clock.now().to_string().as_str().into()),
            ("by", by.as_str().into()),
            ("page", page.to_string().as_str().into()),
            ("party", party.to_string().as_str().into()),
            ("proof", proof.as_str().into()),
            ("signature", approval.signature.as_deref().unwrap_or_default().into()),
            ("v", canonical::Value::Integer(1)),
        ])
    };
    let mut rows: Vec<StateChange> = answers
        .iter()
        .map(|party| StateChange {
            key: answer_row(&subject.name, &subject.version.version, party),
            value: Some(value(party).to_bytes()),
        })
        .collect();
    let missing: Vec<String> =
        subject.missing.difference(&answers).map(ToString::to_string).collect();
    let short = subject.version.version.short();
    let name = subject.name.clone();
    let state = subject.registration.state.as_str();
    let mut after = state.to_owned();
    if missing.is_empty() {
        let registration = subject.passed(app, &by)?;
        registration.state.as_str().clone_into(&mut after);
        rows.push(registry::written(&name, &registration));
    }
    let reason = format!("version {short} of `{name}` approved by {by} ({proof}), page {page}");
    app.control(Control { what: "review", reason, changes: rows }).await?;
    Ok(json!({
        "agent": name.as_str(),
        "version": short,
        "approved_by": by,
        "proof": proof,
        "missing": missing,
        "state": after,
    }))
}

impl Subject {
    /// Who says yes, by what it is known, and for which of the missing parties.
    fn authority(
        &self,
        app: &App,
        approval: &Approval,
        page: Digest,
    ) -> anyhow::Result<(String, String, BTreeSet<PartyName>)> {
        let state = app.store.state();
        let denied = |message: String| anyhow::Error::from(Failed { exit: Exit::Denied, message });
        let Some(reviewer) = &approval.reviewer else {
            if Ground::of(&state).is_sandbox() {
                // As at the terminal: in a sandbox whoever runs it meets any rule, and the record says so.
                let proof = "control socket (development)".to_owned();
                return Ok((operator(), proof, self.missing.clone()));
            }
            return Err(usage("say who reviews and sign: `--as NAME --key FILE`"));
        };
        let person = Name::new(reviewer).map_err(|error| usage(error.to_string()))?;
        let declared = app.gate.world().compiled.declared().clone();
        let groups = declared.people.get(&UserName::from(person.clone()));
        let groups = groups.ok_or_else(|| usage(format!("no human `{person}` is declared")))?;
        if state.rows.contains_key(&format!("revoked/user/{person}")) {
            return Err(denied(format!("`{person}` is revoked")));
        }
        let answers: BTreeSet<PartyName> = self
            .missing
            .iter()
            .filter(|party| Demand::answers(party, &person, groups))
            .cloned()
            .collect();
        if answers.is_empty() {
            let wanted: Vec<String> = self.missing.iter().map(ToString::to_string).collect();
            return Err(denied(format!("`{person}` is not of {}", wanted.join(", "))));
        }
        let row = state.rows.get(&key_row(&person)).ok_or_else(|| {
            denied(format!("no key of `{person}` is known: `ambit owner key {person} --new FILE`"))
        })?;
        let claims = SignoffClaims {
            reviewer: &person,
            agent: &self.name,
            version: self.version.version,
            page,
            issued: app.clock.now(),
        };
        let signature = approval.signature.as_deref().unwrap_or_default();
        let signed = verify_signoff(signature, &AgentKeys::parse(row)?, &claims)
            .map_err(|error| denied(error.to_string()))?;
        Ok((format!("user:{person}"), format!("key {}", signed.key()), answers))
    }

    /// The registration in which this version may act.
    fn passed(&self, app: &App, by: &str) -> anyhow::Result<Registration> {
        let now = app.clock.now();
        let state = self.registration.state.clone().approve(by.to_owned(), now);
        let state = state.map_err(|error| super::registry::wrong(&self.name, &error))?;
        let passed = Passed {
            snapshot: registry::kept(&app.gate.world().compiled, &self.name)
                .unwrap_or_else(|| self.version.clone()),
            since: now,
            how: "review".to_owned(),
            by: by.to_owned(),
        };
        Ok(Registration { state, version: Some(passed), waiting: None })
    }
}

/// Takes a reviewer's public key.
pub(super) async fn key(app: &App, name: &str, jwk: &str) -> anyhow::Result<Value> {
    let person = Name::new(name).map_err(|error| usage(error.to_string()))?;
    let declared = app.gate.world().compiled.declared().clone();
    if !declared.people.contains_key(&UserName::from(person.clone())) {
        return Err(usage(format!("no human `{person}` is declared")));
    }
    let keys = AgentKeys::parse(jwk.as_bytes()).map_err(|error| usage(error.to_string()))?;
    let thumbprints: Vec<String> = keys.thumbprints().map(str::to_owned).collect();
    let changes = vec![StateChange { key: key_row(&person), value: Some(jwk.as_bytes().to_vec()) }];
    let reason = format!("reviews of `{person}` are signed by {}", thumbprints.join(", "));
    app.control(Control { what: "reviewer-key", reason, changes }).await?;
    Ok(json!({ "name": person.as_str(), "keys": thumbprints }))
}
