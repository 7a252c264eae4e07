//! Makes what decisions read from the store's control state.

use canonical::Value;
use gate::World;
use identity::{PublicKey, Validity, VerificationKeys};
use model::{ActionId, AgentName, Digest, Timestamp, declared::Declared, declared::PolicyFile};
use policy::{Compiled, Definition, Definitions};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};
use store::{State, Store};

/// The row of the declared file.
pub(crate) const DECLARED: &str = "declared/ambit.yaml";
/// The prefix of the rows of policy files.
pub(crate) const POLICIES: &str = "declared/policies/";
/// The prefix of the rows of agents' manifests: `manifest/PATH`.
pub(crate) const MANIFESTS: &str = "manifest/";
/// The prefix of pinned tool definitions: `pin/UPSTREAM.OPERATION`.
pub(crate) const PINS: &str = "pin/";
/// The prefix of definitions that changed at their upstream: `quarantine/UPSTREAM.OPERATION`.
pub(crate) const QUARANTINE: &str = "quarantine/";
/// The prefix of public token keys: `token-key/KID`.
pub(crate) const TOKEN_KEYS: &str = "token-key/";
/// The prefix of agents' public keys: `agent-key/AGENT`, a JWK set.
pub(crate) const AGENT_KEYS: &str = "agent-key/";

/// Versions that go on beside the current one of their agent.
pub(crate) type Kept = BTreeMap<AgentName, Digest>;

/// What was compiled last. Most changes of control state (a stop, a confirmation, a key) leave the declaration as it is:
/// then it is not compiled again, and slices that are in use stay.
pub(crate) struct Made {
    /// The rows that all of this comes from, and nothing else.
    from: State,
    kept: Kept,
    compiled: Arc<Compiled>,
    definitions: BTreeMap<ActionId, Value>,
    returns: BTreeMap<ActionId, Vec<canonical::Pointer>>,
}

impl Made {
    fn new(from: State, kept: Kept) -> anyhow::Result<Made> {
        let definitions = definitions(&from)?;
        let compiled = policy::compile(&declared(&from)?, &definitions);
        let mut compiled = compiled.map_err(|problems| {
            let first = problems.first().map(|problem| problem.message.clone()).unwrap_or_default();
            let count = problems.len();
            anyhow::anyhow!("the applied state does not compile ({count} problems): {first}")
        })?;
        for (agent, version) in &kept {
            compiled.keep(agent, *version);
        }
        Ok(Made {
            definitions: listed(&definitions)?,
            returns: returns(&compiled)?,
            compiled: Arc::new(compiled),
            from,
            kept,
        })
    }
}

/// Builds the world, from what was made last where that still fits; an error names the row that cannot be believed.
pub(crate) fn build(
    store: &Store,
    now: Timestamp,
    last: &mut Option<Made>,
) -> anyhow::Result<World> {
    let state = store.state();
    let from = compiled_from(&state);
    let mut made = match last.take() {
        Some(made) if made.from == from => made,
        _ => Made::new(from, Kept::new())?,
    };
    let (registry, kept) = super::registry::standings(&state, &made.compiled, now)?;
    if made.kept != kept {
        made = Made::new(made.from, kept)?;
    }
    let world = World {
        registry,
        revision: state.revision,
        keys: Arc::new(token_keys(&state, now)?),
        people: made.compiled.declared().people.clone(),
        definitions: made.definitions.clone(),
        quarantined: quarantined(&state),
        returns: made.returns.clone(),
        compiled: Arc::clone(&made.compiled),
    };
    *last = Some(made);
    Ok(world)
}

/// The rows that are compiled.
fn compiled_from(state: &State) -> State {
    let prefixes = ["declared/", MANIFESTS, PINS];
    let rows = prefixes.iter().flat_map(|prefix| {
        let rows = state.rows.range((*prefix).to_owned()..);
        rows.take_while(move |(key, _)| key.starts_with(prefix))
    });
    let rows = rows.map(|(key, row)| (key.clone(), Arc::clone(row))).collect();
    State { revision: 0, rows }
}

/// The declared state that was applied; empty before the first `apply`.
pub(crate) fn declared(state: &State) -> anyhow::Result<Declared> {
    let Some(text) = state.rows.get(DECLARED) else { return Ok(Declared::default()) };
    let text = String::from_utf8(text.to_vec())?;
    let read = declared::read("ambit.yaml", &text, policy_files(state)?);
    let read = read.map(|(declared, _)| declared).map_err(|problems| {
        let first =
            problems.diagnostics.first().map(|problem| problem.message.clone()).unwrap_or_default();
        anyhow::anyhow!("the applied `ambit.yaml` cannot be read any more: {first}")
    });
    let mut declared = read?;
    crate::config::with_parts(&mut declared, &manifests(state)?)?;
    Ok(declared)
}

/// The manifests that were applied, by their paths.
pub(crate) fn manifests(state: &State) -> anyhow::Result<BTreeMap<String, String>> {
    rows(state, MANIFESTS)
        .map(|(path, text)| Ok((path.to_owned(), String::from_utf8(text.to_vec())?)))
        .collect()
}

/// The policies that were applied.
pub(crate) fn policy_files(state: &State) -> anyhow::Result<Vec<PolicyFile>> {
    let file = |(name, text): (&str, &[u8])| {
        Ok(PolicyFile { path: format!("policies/{name}"), text: String::from_utf8(text.to_vec())? })
    };
    rows(state, POLICIES).map(file).collect()
}

/// The pinned definitions.
pub(crate) fn definitions(state: &State) -> anyhow::Result<Definitions> {
    rows(state, PINS)
        .map(|(name, row)| {
            let action = ActionId::parse(name)?;
            let definition = Definition::new(row.to_vec());
            Ok((action, definition.map_err(|error| anyhow::anyhow!("pin `{name}`: {error}"))?))
        })
        .collect()
}

/// The public keys of an agent, as a JWK set.
pub(crate) fn agent_keys(state: &State, agent: &str) -> Option<Vec<u8>> {
    state.rows.get(&format!("{AGENT_KEYS}{agent}")).map(|row| row.to_vec())
}

pub(super) fn rows<'a>(
    state: &'a State,
    prefix: &'a str,
) -> impl Iterator<Item = (&'a str, &'a [u8])> {
    let from = state.rows.range(prefix.to_owned()..);
    from.map_while(move |(key, row)| Some((key.strip_prefix(prefix)?, row.as_ref())))
}

fn listed(definitions: &Definitions) -> anyhow::Result<BTreeMap<ActionId, Value>> {
    let parse = |bytes: &[u8]| canonical::parse(bytes, &canonical::Limits::FRAME);
    definitions
        .iter()
        .map(|(action, definition)| Ok((action.clone(), parse(&definition.canonical)?)))
        .collect()
}

/// The fields that actions let through, parsed once.
fn returns(compiled: &Compiled) -> anyhow::Result<BTreeMap<ActionId, Vec<canonical::Pointer>>> {
    let parse = |text: &String| canonical::Pointer::parse(text);
    let entries = compiled.catalog().filter(|entry| !entry.action.returns.is_empty());
    let parsed = entries.map(|entry| {
        let pointers: Result<Vec<_>, _> = entry.action.returns.iter().map(parse).collect();
        Ok((entry.id.clone(), pointers?))
    });
    parsed.collect()
}

fn quarantined(state: &State) -> BTreeSet<ActionId> {
    rows(state, QUARANTINE).filter_map(|(name, _)| ActionId::parse(name).ok()).collect()
}

/// Who is revoked or frozen.
pub(crate) fn revoked(state: &State) -> HashSet<Digest> {
    let subject = |(name, _): (&str, &[u8])| {
        let (kind, name) = name.split_once('/')?;
        Some(policy::subject_digest(kind, name))
    };
    rows(state, "frozen/")
        .filter_map(subject)
        .chain(rows(state, "revoked/").filter_map(subject))
        .chain(rows(state, super::registry::STOPPED).filter_map(|(rest, row)| {
            let (_, subject_of) = rest.split_once('/')?;
            subject((subject_of, row))
        }))
        .collect()
}

fn token_keys(state: &State, now: Timestamp) -> anyhow::Result<VerificationKeys> {
    let mut keys = VerificationKeys::new();
    for (kid, row) in rows(state, TOKEN_KEYS) {
        let row = canonical::parse(row, &canonical::Limits::ARGUMENTS)?;
        let jwk = row.get("jwk").and_then(Value::as_object);
        let jwk = jwk.ok_or_else(|| anyhow::anyhow!("token key `{kid}` has no `jwk`"))?;
        let time = |name: &str| row.get(name).and_then(Value::as_i64).map(Timestamp::from_seconds);
        let validity = Validity {
            not_before: time("not_before").unwrap_or(Timestamp(0)),
            not_after: time("not_after").unwrap_or(Timestamp(i64::MAX)),
        };
        if validity.not_after > now && !keys.insert(PublicKey::from_jwk(jwk)?, validity) {
            anyhow::bail!("too many token keys are valid at once: withdraw some");
        }
    }
    Ok(keys)
}
