//! Names that point at other parts of the file: each must lead somewhere, and grants must be possible.

use crate::{
    fields::is_word,
    node::Span,
    problems::{Problems, did_you_mean, shown},
};
use canonical::{Object, Value};
use model::{
    ActionId, Name, RiskTier,
    declared::{ActionPattern, Declared, ParamType},
};
use std::collections::{BTreeMap, BTreeSet};

/// What a plain name points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mention {
    Agent,
    Boundary,
    Upstream,
    Approval,
    Hook,
    Intent,
    Issuer,
}

impl Mention {
    const fn section(self) -> &'static str {
        match self {
            Mention::Agent => "agents",
            Mention::Boundary => "boundaries",
            Mention::Upstream => "upstreams",
            Mention::Approval => "approvals",
            Mention::Hook => "hooks",
            Mention::Intent => "intents",
            Mention::Issuer => "humans.issuers",
        }
    }
}

/// Who names an action.
enum Namer {
    Only(Name),
    Intent,
    Right,
    Test,
}

struct Given {
    span: Span,
    params: Object,
    params_span: Option<Span>,
}

/// Every name that was declared or mentioned, until the whole file is read.
#[derive(Default)]
pub(crate) struct References {
    declared: BTreeMap<&'static str, BTreeSet<Name>>,
    catalogs: BTreeMap<Name, BTreeMap<String, Option<RiskTier>>>,
    mentions: Vec<(Mention, Name, Span)>,
    clients: Vec<(Name, Span)>,
    actions: Vec<(Namer, ActionPattern, Span)>,
    intents: Vec<(Name, Given)>,
}

impl References {
    pub(crate) fn declare(&mut self, section: &'static str, name: &Name) {
        self.declared.entry(section).or_default().insert(name.clone());
    }

    /// Notes a catalog entry; its risk is unknown if the entry has problems.
    pub(crate) fn catalog(&mut self, upstream: &Name, operation: &str, risk: Option<RiskTier>) {
        self.catalogs.entry(upstream.clone()).or_default().insert(operation.into(), risk);
    }

    pub(crate) fn mention(&mut self, kind: Mention, name: &Name, span: Span) {
        self.mentions.push((kind, name.clone(), span));
    }

    pub(crate) fn only(&mut self, agent: &Name, pattern: &ActionPattern, span: Span) {
        self.actions.push((Namer::Only(agent.clone()), pattern.clone(), span));
    }

    pub(crate) fn allowed(&mut self, pattern: &ActionPattern, span: Span) {
        self.actions.push((Namer::Intent, pattern.clone(), span));
    }

    /// An action that humans may do.
    pub(crate) fn may(&mut self, pattern: &ActionPattern, span: Span) {
        self.actions.push((Namer::Right, pattern.clone(), span));
    }

    /// A client: it shares the token endpoint with agents, so that their names must differ.
    pub(crate) fn client(&mut self, client: &Name, span: Span) {
        self.clients.push((client.clone(), span));
    }

    pub(crate) fn tested(&mut self, action: &ActionId, span: Span) {
        self.actions.push((Namer::Test, ActionPattern::Exact(action.clone()), span));
    }

    pub(crate) fn intent(
        &mut self,
        intent: &Name,
        span: Span,
        params: &Object,
        params_span: Option<Span>,
    ) {
        let given = Given { span, params: params.clone(), params_span };
        self.intents.push((intent.clone(), given));
    }

    /// Follows every reference.
    pub(crate) fn check(&self, declared: &Declared, problems: &mut Problems) {
        let agents = self.declared.get("agents");
        for (client, span) in &self.clients {
            if agents.is_some_and(|agents| agents.contains(client)) {
                let message = format!("`{client}` is the name of an agent");
                problems.add(*span, message, "call the client otherwise: it is another principal");
            }
        }
        for (kind, name, span) in &self.mentions {
            self.leads_somewhere(kind.section(), name, *span, problems);
        }
        for (namer, pattern, span) in &self.actions {
            self.action(namer, pattern, *span, declared, problems);
        }
        for (intent, given) in &self.intents {
            if self.leads_somewhere("intents", intent, given.span, problems)
                && let Some(intent) = declared.intents.get(intent)
            {
                params(&intent.params, given, problems);
            }
        }
    }

    fn leads_somewhere(
        &self,
        section: &'static str,
        name: &Name,
        span: Span,
        problems: &mut Problems,
    ) -> bool {
        let known = self.declared.get(section);
        if known.is_some_and(|known| known.contains(name)) {
            return true;
        }
        let names = known.into_iter().flatten().map(Name::as_str);
        let fix = did_you_mean(name.as_str(), names, format!("declare it under `{section}`"));
        problems.add(span, format!("there is no `{name}` under `{section}`"), fix);
        false
    }

    fn action(
        &self,
        namer: &Namer,
        pattern: &ActionPattern,
        span: Span,
        declared: &Declared,
        problems: &mut Problems,
    ) {
        let upstream = match pattern {
            ActionPattern::Exact(action) => &action.upstream,
            ActionPattern::All(upstream) => upstream,
        };
        if !self.leads_somewhere("upstreams", upstream, span, problems) {
            return;
        }
        if matches!((namer, pattern), (Namer::Right, ActionPattern::All(_))) {
            // What a human may do has no tier: it covers all there is.
            return;
        }
        if let Namer::Only(agent) = namer
            && let Some(agent) = declared.agents.get(agent)
            && let Some(boundary) = declared.boundaries.get(&agent.boundary)
            && !boundary.upstreams.contains(upstream)
        {
            let message = format!("`{upstream}` is outside the boundary `{}`", agent.boundary);
            let fix = format!("add `{upstream}` to the boundary's `upstreams`, or remove this");
            problems.add(span, message, fix);
        }
        let empty = BTreeMap::new();
        let catalog = self.catalogs.get(upstream).unwrap_or(&empty);
        match pattern {
            ActionPattern::Exact(action) => exact(namer, action, catalog, span, problems),
            ActionPattern::All(upstream) => all(upstream, catalog, span, problems),
        }
    }
}

type Catalog = BTreeMap<String, Option<RiskTier>>;

fn exact(namer: &Namer, action: &ActionId, catalog: &Catalog, span: Span, problems: &mut Problems) {
    let whole = action.operation.split_once('.').and_then(|(whole, _)| catalog.get(whole));
    if !catalog.contains_key(&*action.operation) && whole == Some(&None) {
        // The whole action has problems of its own; its parts are not known.
        return;
    }
    let Some(risk) = catalog.get(&*action.operation).or_else(|| catalog.get("*")) else {
        let message = format!("`{}` is not in the catalog", shown(&action.to_string()));
        let otherwise = format!("declare it under `upstreams.{}.actions`", action.upstream);
        let known: Vec<_> =
            catalog.keys().map(|operation| format!("{}.{operation}", action.upstream)).collect();
        let names = known.iter().map(String::as_str);
        let fix = did_you_mean(&action.to_string(), names, otherwise);
        problems.add(span, message, fix);
        return;
    };
    let grants = !matches!(namer, Namer::Test);
    if grants && *risk == Some(RiskTier::Prohibited) {
        let message =
            format!("`{}` is prohibited: nobody can be granted it", shown(&action.to_string()));
        problems.add(span, message, "remove it, or change its risk");
    }
}

/// A wildcard covers low and medium only, so one that finds neither grants nothing.
fn all(upstream: &Name, catalog: &Catalog, span: Span, problems: &mut Problems) {
    let covered =
        |risk: &Option<RiskTier>| !matches!(risk, Some(RiskTier::High | RiskTier::Prohibited));
    if !catalog.values().any(covered) {
        let message = format!("`{upstream}.*` covers low and medium actions, and there is none");
        problems.add(span, message, "name each `high` action exactly: `upstream.operation`");
    }
}

fn params(declared: &BTreeMap<String, ParamType>, given: &Given, problems: &mut Problems) {
    let span = given.params_span.unwrap_or(given.span);
    for (name, kind) in declared {
        let Some(value) = given.params.get(name) else {
            let message = format!("this test gives no value for the parameter `{name}`");
            problems.add(span, message, format!("add `params: {{ {name}: … }}`"));
            continue;
        };
        let (fits, expected) = match kind {
            ParamType::String => (matches!(value, Value::String(_)), "text"),
            ParamType::Integer => (matches!(value, Value::Integer(_)), "a whole number"),
            ParamType::Boolean => (matches!(value, Value::Bool(_)), "true or false"),
        };
        if !fits {
            let message = format!("the parameter `{name}` is {expected}");
            problems.add(span, message, format!("write {expected}"));
        }
    }
    for name in given.params.names().filter(|name| !declared.contains_key(*name)) {
        let message = format!("the intent has no parameter `{}`", shown(name));
        let known = declared.keys().map(String::as_str);
        let otherwise =
            if is_word(name) { "remove it, or add it to `params`" } else { "remove it" };
        problems.add(span, message, did_you_mean(name, known, otherwise));
    }
}
