//! What is wrong with declared state beyond its form: references, grants, tests.

mod policies;

pub(crate) use policies::policies;

use crate::catalog::{Catalog, default_rule};
use crate::problem::Problem;
use crate::written::Written;
use crate::{CatalogEntry, Definitions};
use canonical::Value;
use model::declared::{
    Action, ActionPattern, After, Before, Constraint, Declared, Intent, UpstreamKind,
};
use model::{ActionId, Name, PartyName, RiskTier, UpstreamName};
use std::collections::BTreeMap;

/// Names that are used and not declared, before there is a catalog.
pub(crate) fn references(declared: &Declared, problems: &mut Vec<Problem>) {
    for (name, agent) in &declared.agents {
        if !declared.boundaries.contains_key(&agent.boundary) {
            let message = format!("agent `{name}`: boundary `{}` does not exist", agent.boundary);
            let fix = known("boundaries", declared.boundaries.keys());
            problems.push(Problem::declared(agent.line, message, fix));
        }
        if let Some(PartyName::Issuer(issuer)) = &agent.users
            && !declared.issuers.contains_key(issuer)
        {
            let message = format!("agent `{name}`: issuer `{issuer}` does not exist");
            let fix = known("issuers", declared.issuers.keys());
            problems.push(Problem::declared(agent.line, message, fix));
        }
    }
    for (name, boundary) in &declared.boundaries {
        for upstream in &boundary.upstreams {
            if !declared.upstreams.contains_key(upstream) {
                let message = format!("boundary `{name}`: upstream `{upstream}` does not exist");
                let fix = known("upstreams", declared.upstreams.keys());
                problems.push(Problem::declared(boundary.line, message, fix));
            }
        }
    }
    for (name, upstream) in &declared.upstreams {
        let actions = upstream.actions.iter().map(|(name, action)| (name.as_str(), action));
        let default = upstream.default_action.iter().map(|action| ("*", action));
        for (operation, action) in actions.chain(default) {
            let place = format!("{name}.{operation}");
            approval(&place, action, declared, problems);
            hooks(&place, action, declared, problems);
            let unrouted = upstream.kind == UpstreamKind::Http && action.route.is_none();
            if unrouted && operation != "*" {
                let message = format!("action `{place}` of an HTTP upstream has no route");
                let fix = "add `route: METHOD /path/{param}`";
                problems.push(Problem::declared(action.line, message, fix));
            }
        }
    }
}

fn approval(place: &str, action: &Action, declared: &Declared, problems: &mut Vec<Problem>) {
    let rules = &declared.approvals;
    let rule = match (&action.approval, action.risk) {
        (Some(rule), _) => rule.clone(),
        (None, RiskTier::High) => default_rule(),
        (None, RiskTier::Low | RiskTier::Medium | RiskTier::Prohibited) => return,
    };
    if rules.contains_key(&rule) {
        return;
    }
    let (message, fix) = if action.approval.is_some() {
        let message = format!("action `{place}`: approval rule `{rule}` does not exist");
        (message, known("approvals", rules.keys()))
    } else {
        let message =
            format!("action `{place}` is high and asks, and `approvals.default` is missing");
        (
            message,
            "declare `approvals: { default: … }`, or name a rule: `approval: RULE`".to_owned(),
        )
    };
    problems.push(Problem::declared(action.line, message, fix));
}

/// Hooks that are named and not declared.
fn hooks(place: &str, action: &Action, declared: &Declared, problems: &mut Vec<Problem>) {
    let told = action.after.iter().filter_map(|after| match after {
        After::Notify(name) => Some(name),
        After::Mask(_) | After::Sample(_) => None,
    });
    for name in action.before.iter().filter_map(Before::hook).chain(told) {
        if !declared.hooks.contains_key(name) {
            let message = format!("action `{place}`: hook `{name}` does not exist");
            let fix = known("hooks", declared.hooks.keys());
            problems.push(Problem::declared(action.line, message, fix));
        }
    }
}

/// What the catalog's entries and the intents say of arguments and actions.
pub(crate) fn catalogued(
    declared: &Declared,
    definitions: &Definitions,
    catalog: &Catalog,
    problems: &mut Vec<Problem>,
) {
    for entry in &catalog.entries {
        arguments_named(entry, definitions, problems);
    }
    for (name, intent) in &declared.intents {
        for (pattern, constraints) in &intent.allow {
            if let Err(problem) = pattern_exists(pattern, declared, catalog) {
                let message = format!("intent `{name}`: {}", problem.0);
                problems.push(Problem::declared(intent.line, message, problem.1));
            }
            for (argument, constraint) in constraints {
                constrained(name, intent, pattern, (argument, constraint), catalog, problems);
            }
        }
    }
}

/// `resource:` and `show:` name arguments that there are.
fn arguments_named(entry: &CatalogEntry, _: &Definitions, problems: &mut Vec<Problem>) {
    let resource = entry.action.resource.iter();
    let of_resource = resource.flat_map(|resource| resource.id.iter().chain(&resource.tenant));
    let dry_runs = entry.action.before.iter().filter_map(|before| match before {
        Before::DryRun(name) => Some(name),
        Before::Pdp(_) | Before::Webhook(_) | Before::Require(_) => None,
    });
    let named = of_resource
        .map(|name| ("resource", name))
        .chain(entry.action.show.iter().map(|name| ("show", name)))
        .chain(dry_runs.map(|name| ("before: dry_run", name)));
    for (key, name) in named {
        if is_unknown(entry, name) {
            let message = format!(
                "action `{}`: `{key}` names argument `{name}`, which its schema does not have",
                entry.id
            );
            let fix = known("arguments", entry.arguments.members.keys());
            problems.push(Problem::declared(entry.action.line, message, fix));
        }
    }
}

/// Whether a schema says that there is no such argument. A route says nothing of the body.
fn is_unknown(entry: &CatalogEntry, name: &str) -> bool {
    let known = entry.kind == UpstreamKind::Mcp && entry.arguments.known;
    known && !entry.arguments.members.contains_key(name)
}

fn constrained(
    name: &Name,
    intent: &Intent,
    pattern: &ActionPattern,
    (argument, constraint): (&str, &Constraint),
    catalog: &Catalog,
    problems: &mut Vec<Problem>,
) {
    if let Constraint::Param(param) = constraint
        && !intent.params.contains_key(param)
    {
        let message = format!("intent `{name}`: parameter `${param}` is not declared");
        let fix = known("params", intent.params.keys());
        problems.push(Problem::declared(intent.line, message, fix));
    }
    let ActionPattern::Exact(action) = pattern else { return };
    if let Some(entry) = catalog.get(action).filter(|entry| is_unknown(entry, argument)) {
        let message = format!("intent `{name}`: `{action}` has no argument `{argument}`");
        let fix = known("arguments", entry.arguments.members.keys());
        problems.push(Problem::declared(intent.line, message, fix));
    }
}

/// Whether what a pattern names exists; else message and fix.
fn pattern_exists(
    pattern: &ActionPattern,
    declared: &Declared,
    catalog: &Catalog,
) -> Result<(), (String, String)> {
    let upstream = match pattern {
        ActionPattern::Exact(action) => &action.upstream,
        ActionPattern::All(upstream) => upstream,
    };
    let Some(block) = declared.upstreams.get(upstream) else {
        let message = format!("upstream `{upstream}` does not exist");
        return Err((message, known("upstreams", declared.upstreams.keys())));
    };
    match pattern {
        ActionPattern::Exact(action)
            if is_missing(action, block.default_action.is_some(), catalog) =>
        {
            let message = format!("action `{action}` is not in the catalog");
            Err((message, known("actions", block.actions.keys())))
        }
        ActionPattern::Exact(_) | ActionPattern::All(_) => Ok(()),
    }
}

/// Whether an action cannot exist. With a default entry, it may be pinned later.
fn is_missing(action: &ActionId, has_default: bool, catalog: &Catalog) -> bool {
    catalog.get(action).is_none() && !has_default
}

/// `only:` names what there is, inside the boundary, and not what nobody may do.
pub(crate) fn grants(declared: &Declared, catalog: &Catalog, problems: &mut Vec<Problem>) {
    for (name, agent) in &declared.agents {
        let boundary = declared.boundaries.get(&agent.boundary);
        for pattern in agent.only.iter().flatten() {
            let mut report = |message: String, fix: String| {
                let message = format!("agent `{name}`: {message}");
                problems.push(Problem::declared(agent.line, message, fix));
            };
            if let Err((message, fix)) = pattern_exists(pattern, declared, catalog) {
                report(message, fix);
                continue;
            }
            let (upstream, action): (&UpstreamName, _) = match pattern {
                ActionPattern::Exact(action) => (&action.upstream, catalog.get(action)),
                ActionPattern::All(upstream) => (upstream, None),
            };
            if boundary.is_some_and(|boundary| !boundary.upstreams.contains(upstream)) {
                let text = crate::agent::pattern_text(pattern);
                report(
                    format!("`only:` grants `{text}`, outside boundary `{}`", agent.boundary),
                    format!("add `{upstream}` to the boundary's upstreams, or remove the grant"),
                );
            }
            if let Some(entry) = action.filter(|entry| entry.action.risk == RiskTier::Prohibited) {
                report(
                    format!("`only:` grants `{}`, which is prohibited for everyone", entry.id),
                    "remove the grant".to_owned(),
                );
            }
        }
    }
}

/// `tests:` name what there is; a test of a misspelt action would pass for the wrong reason.
pub(crate) fn tests(
    declared: &Declared,
    catalog: &Catalog,
    written: &[Written],
    problems: &mut Vec<Problem>,
) {
    for case in &declared.tests {
        let mut report = |message: String, fix: String| {
            problems.push(Problem::declared(case.line, format!("test: {message}"), fix));
        };
        if !declared.agents.contains_key(&case.agent) {
            let message = format!("agent `{}` does not exist", case.agent);
            report(message, known("agents", declared.agents.keys()));
        }
        let pattern = ActionPattern::Exact(case.action.clone());
        if let Err((message, fix)) = pattern_exists(&pattern, declared, catalog) {
            report(message, fix);
        }
        if let Some((name, params)) = &case.intent {
            match declared.intents.get(name) {
                Some(intent) => intent_params(intent, params, &mut report),
                None => {
                    let message = format!("intent `{name}` does not exist");
                    report(message, known("intents", declared.intents.keys()));
                }
            }
        }
        if let Some(reason) = &case.reason {
            let generated = crate::guard::Guard::ALL.iter().any(|guard| guard.id() == reason);
            let before = || {
                let entry = catalog.get(&case.action);
                let mut hooks = entry.into_iter().flat_map(|entry| &entry.action.before);
                hooks.any(|hook| hook.to_string() == *reason)
            };
            let by_hand = written.iter().any(|written| written.rule.id == *reason);
            if !generated && !by_hand && !before() {
                let ids = written.iter().map(|written| written.rule.id.as_str());
                report(format!("no policy has the id `{reason}`"), known("policies", ids));
            }
        }
    }
}

fn intent_params(intent: &Intent, params: &[u8], report: &mut dyn FnMut(String, String)) {
    let params = canonical::parse(params, &canonical::Limits::ARGUMENTS).ok();
    let given: BTreeMap<&str, &Value> = params
        .as_ref()
        .and_then(Value::as_object)
        .map(|params| params.iter().collect())
        .unwrap_or_default();
    for name in given.keys().filter(|name| !intent.params.contains_key(**name)) {
        let message = format!("the intent has no parameter `{name}`");
        report(message, known("params", intent.params.keys()));
    }
    for name in intent.params.keys().filter(|name| !given.contains_key(name.as_str())) {
        report(format!("parameter `{name}` of the intent is missing"), "give it a value".into());
    }
}

/// A fix that lists what there is.
fn known<T: std::fmt::Display>(what: &str, names: impl Iterator<Item = T>) -> String {
    let names: Vec<String> =
        names.take(crate::limits::NAMES_LISTED).map(|name| format!("`{name}`")).collect();
    if names.is_empty() {
        format!("declare it; there are no {what} yet")
    } else {
        format!("correct the name, or declare it; {what}: {}", names.join(", "))
    }
}
