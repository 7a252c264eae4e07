//! The entities that policies may look up, built once when state is published.

use crate::agent::AgentEntry;
use crate::catalog::{Catalog, uid};
use cedar_policy::{Entities, Entity, EntityUid, RestrictedExpression, Schema};
use model::declared::Declared;
use model::{AgentName, PartyName};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::error::Error;
use std::sync::Arc;

type Attributes = HashMap<String, RestrictedExpression>;

/// All entities, checked against the schema; with those of the actions, which Cedar never adds by
/// itself.
pub(crate) fn build(
    declared: &Declared,
    catalog: &Catalog,
    agents: &BTreeMap<AgentName, Arc<AgentEntry>>,
    schema: &Schema,
) -> Result<Entities, Box<dyn Error>> {
    let mut all: BTreeMap<String, Entity> = BTreeMap::new();
    for entry in agents.values() {
        let mut parents = entry.lineage.iter().skip(1);
        let agent = parents.next().cloned().unwrap_or_else(|| uid("Agent", entry.name.as_str()));
        for group in parents.clone() {
            all.insert(group.to_string(), Entity::new_no_attrs(group.clone(), HashSet::new()));
        }
        let groups: HashSet<EntityUid> = parents.cloned().collect();
        let version = Entity::new(
            entry.principal(),
            version(declared, catalog, entry),
            HashSet::from([agent.clone()]),
        )?;
        all.insert(agent.to_string(), Entity::new_no_attrs(agent, groups));
        all.insert(entry.principal().to_string(), version);
    }
    for entry in &catalog.entries {
        let operation = Entity::new(entry.operation_uid.clone(), operation(entry), HashSet::new())?;
        all.insert(entry.operation_uid.to_string(), operation);
    }
    let actions: Vec<Entity> = schema.action_entities()?.into_iter().collect();
    Ok(Entities::from_entities(all.into_values().chain(actions), Some(schema))?)
}

fn version(declared: &Declared, catalog: &Catalog, entry: &AgentEntry) -> Attributes {
    let granted = entry.reach.granted().filter_map(|action| catalog.at(action));
    let can =
        granted.map(|entry| RestrictedExpression::new_entity_uid(entry.operation_uid.clone()));
    let boundary = declared.boundaries.get(&entry.declared.boundary);
    let upstreams = boundary.into_iter().flat_map(|boundary| &boundary.upstreams);
    let data = boundary.into_iter().flat_map(|boundary| &boundary.deny_data);
    let mut attributes: Attributes = [
        ("agent", text(entry.name.as_str())),
        ("autonomous", RestrictedExpression::new_bool(entry.declared.users.is_none())),
        ("boundary", text(entry.declared.boundary.as_str())),
        ("can", RestrictedExpression::new_set(can)),
        ("deny_data", RestrictedExpression::new_set(data.map(|class| text(class)))),
        ("upstreams", RestrictedExpression::new_set(upstreams.map(|name| text(name.as_str())))),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    match &entry.declared.users {
        Some(PartyName::User(name)) => {
            attributes.insert("serves_user".into(), text(name.as_str()));
        }
        Some(PartyName::Group(name)) => {
            attributes.insert("serves_group".into(), text(name.as_str()));
        }
        Some(PartyName::Issuer(name)) => {
            attributes.insert("serves_issuer".into(), text(name.as_str()));
        }
        None => {}
    }
    attributes
}

fn operation(entry: &crate::CatalogEntry) -> Attributes {
    let action = &entry.action;
    let asks = entry.asking_guard() == Some(crate::guard::Guard::Approval);
    [
        ("asks", RestrictedExpression::new_bool(asks)),
        ("data", RestrictedExpression::new_set(action.data.iter().map(|class| text(class)))),
        ("effect", text(action.effect.as_str())),
        ("risk", text(action.risk.as_str())),
        ("sink", text(action.sink.as_str())),
        ("upstream", text(entry.id.upstream.as_str())),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

fn text(text: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_owned())
}
