//! The Cedar schema, generated from the catalog, in Cedar's JSON form.

use crate::catalog::Catalog;
use model::declared::{Declared, ParamType};
use model::{Effect, RiskTier};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The schema of everything that policies may name.
pub(crate) fn generate(declared: &Declared, catalog: &Catalog) -> Value {
    let mut actions = Map::new();
    let risks = RiskTier::ALL.iter().map(|risk| format!("risk:{risk}"));
    let effects = Effect::ALL.iter().map(|effect| format!("effect:{effect}"));
    let upstreams = declared.upstreams.keys().map(|upstream| format!("upstream:{upstream}"));
    for group in risks.chain(effects).chain(upstreams) {
        actions.insert(group, json!({}));
    }
    for entry in &catalog.entries {
        let groups: Vec<Value> =
            entry.groups.iter().map(|group| json!({"id": group.id().unescaped()})).collect();
        let action = json!({
            "memberOf": groups,
            "appliesTo": {
                "principalTypes": ["AgentVersion"],
                "resourceTypes": ["Operation"],
                "context": context(entry.arguments.cedar()),
            },
        });
        actions.insert(entry.id.to_string(), action);
    }
    json!({"": {
        "commonTypes": {"Human": human(), "Task": task(declared)},
        "entityTypes": {
            "AgentVersion": {"memberOfTypes": ["Agent"], "shape": version()},
            "Agent": {"memberOfTypes": ["Group"]},
            "Group": {},
            "Operation": {"shape": operation()},
        },
        "actions": actions,
    }})
}

fn record(attributes: &[(&str, Value)]) -> Value {
    let attributes: Map<_, _> =
        attributes.iter().map(|(name, kind)| ((*name).to_owned(), kind.clone())).collect();
    json!({"type": "Record", "attributes": attributes})
}

fn text() -> Value {
    json!({"type": "String"})
}

fn texts() -> Value {
    json!({"type": "Set", "element": {"type": "String"}})
}

fn whole() -> Value {
    json!({"type": "Long"})
}

fn truth() -> Value {
    json!({"type": "Boolean"})
}

fn optional(mut kind: Value) -> Value {
    if let Some(members) = kind.as_object_mut() {
        members.insert("required".into(), false.into());
    }
    kind
}

fn context(arguments: Value) -> Value {
    record(&[
        ("approved", truth()),
        ("args", arguments),
        ("args_opaque", texts()),
        ("development", truth()),
        ("edge", text()),
        ("entitled", truth()),
        ("extra", texts()),
        ("hour", whole()),
        ("intent_ok", truth()),
        ("now_ms", whole()),
        ("served", truth()),
        ("task", optional(json!({"type": "EntityOrCommon", "name": "Task"}))),
        ("user", optional(json!({"type": "EntityOrCommon", "name": "Human"}))),
        ("weekday", whole()),
    ])
}

fn human() -> Value {
    record(&[("groups", texts()), ("issuer", optional(text())), ("name", text())])
}

fn task(declared: &Declared) -> Value {
    let params: Vec<(&str, Value)> = params(declared)
        .into_iter()
        .map(|(name, kind)| {
            let kind = match kind {
                ParamType::String => text(),
                ParamType::Integer => whole(),
                ParamType::Boolean => truth(),
            };
            (name, optional(kind))
        })
        .collect();
    record(&[
        ("id", text()),
        ("input_trust", text()),
        ("intent", optional(text())),
        ("opened_by", text()),
        ("params", record(&params)),
        ("trigger", text()),
        ("trigger_kind", text()),
    ])
}

/// The parameters that all intents which have them type alike; others are opaque.
pub(crate) fn params(declared: &Declared) -> BTreeMap<&str, ParamType> {
    let mut types: BTreeMap<&str, Option<ParamType>> = BTreeMap::new();
    for (name, kind) in declared.intents.values().flat_map(|intent| &intent.params) {
        types
            .entry(name)
            .and_modify(|known| *known = known.filter(|known| known == kind))
            .or_insert(Some(*kind));
    }
    types.into_iter().filter_map(|(name, kind)| Some((name, kind?))).collect()
}

fn version() -> Value {
    record(&[
        ("agent", text()),
        ("autonomous", truth()),
        ("boundary", text()),
        ("can", json!({"type": "Set", "element": {"type": "EntityOrCommon", "name": "Operation"}})),
        ("deny_data", texts()),
        ("serves_group", optional(text())),
        ("serves_issuer", optional(text())),
        ("serves_user", optional(text())),
        ("upstreams", texts()),
    ])
}

fn operation() -> Value {
    record(&[
        ("asks", truth()),
        ("data", texts()),
        ("effect", text()),
        ("risk", text()),
        ("sink", text()),
        ("upstream", text()),
    ])
}
