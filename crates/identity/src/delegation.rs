//! The claims that say on whose account an agent acts: `act`, `chain`, `may_act` (RFC 8693) and
//! `authorization_details` (RFC 9396).
//!
//! `act` is for those who know RFC 8693; what is decided on is `chain`, which names each ancestor's token, and the
//! actions that were computed at the exchange (S20).

use crate::{
    claims::Claims,
    credential::CredentialError,
    limits::{CHAIN_AGENTS, DETAILED_ACTIONS, MAY_ACT},
    proof::is_thumbprint,
    scoped_key::ScopedKey,
};
use canonical::{Value, Writer};
use model::{ActionId, AgentName, Ancestor, Digest, Name, PartyName, TokenId, UserName};
use std::collections::BTreeSet;

/// The type of our authorization details.
pub const DETAIL_TYPE: &str = "ambit_action";
/// `sub_profile` of a `sub` that is an agent while another acts for it.
const AGENT_PROFILE: &str = "ai_agent";

/// What a token says about delegation; nothing, for most.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delegation<'a> {
    /// The agents from whose tokens this one came, the first first.
    pub chain: &'a [Ancestor],
    /// The only actions that the token reaches; `None`: all that its agent does.
    pub actions: Option<&'a BTreeSet<ActionId>>,
    /// The agents that may exchange the token.
    pub may_act: &'a [AgentName],
    /// The id of the scoped key that bought the token, if one did.
    pub key: Option<&'a str>,
}

/// Why authorization details are not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DetailsError {
    /// Not a list of objects.
    #[error("it is not an array of objects")]
    Form,
    /// Another type.
    #[error("a `type` is not `ambit_action`")]
    Type,
    /// A member that is not known: what is not understood must not be granted.
    #[error("an object has members beside `type` and `actions`")]
    Member,
    /// No list of actions, or an empty one.
    #[error("`actions` is not a list of actions by their full names, `upstream.operation`")]
    Actions,
    /// Too many.
    #[error("more than {} actions are named", DETAILED_ACTIONS)]
    Count,
}

/// The actions that authorization details name: all of ours, and nothing else (RFC 9396 §5).
pub fn read_details(details: &Value) -> Result<BTreeSet<ActionId>, DetailsError> {
    let mut all = BTreeSet::new();
    for detail in details.as_array().ok_or(DetailsError::Form)? {
        let detail = detail.as_object().ok_or(DetailsError::Form)?;
        if detail.get("type").and_then(Value::as_str) != Some(DETAIL_TYPE) {
            return Err(DetailsError::Type);
        }
        if detail.len() != 2 {
            return Err(DetailsError::Member);
        }
        let actions = detail.get("actions").and_then(Value::as_array);
        for action in actions.ok_or(DetailsError::Actions)? {
            let action = action.as_str().and_then(|text| ActionId::parse(text).ok());
            all.insert(action.ok_or(DetailsError::Actions)?);
        }
    }
    match all.len() {
        0 => Err(DetailsError::Actions),
        count if count > DETAILED_ACTIONS => Err(DetailsError::Count),
        _ => Ok(all),
    }
}

/// Authorization details that name these actions, as canonical JSON.
#[must_use]
pub fn write_details(actions: &BTreeSet<ActionId>) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let mut writer = Writer::new(&mut out);
    writer.begin_array().begin_object().field_array("actions");
    for action in actions {
        writer.item_str(&action.to_string());
    }
    writer.end().field_str("type", DETAIL_TYPE).end().end();
    // The members are in order, which is all that `finish` can object to.
    drop(writer.finish());
    out
}

/// The chain as canonical JSON, for tokens, records and introspection.
#[must_use]
pub fn write_chain(chain: &[Ancestor]) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let mut writer = Writer::new(&mut out);
    writer.begin_array();
    for Ancestor { agent, instance, key, owner, token, version } in chain {
        writer.begin_object().field_str("agent", agent.as_str());
        if let Some(instance) = instance {
            writer.field_str("instance", instance);
        }
        if let Some(key) = key {
            writer.field_str("key", key);
        }
        writer.field_str("owner", &owner.to_string()).field_str("token", &token.to_string());
        writer.field_str("version", &version.to_string()).end();
    }
    writer.end();
    drop(writer.finish());
    out
}

impl Delegation<'_> {
    /// Who acts, the current one first, as `act` nests them; empty if the agent acts for itself.
    fn actors<'a>(&'a self, agent: &'a str, has_user: bool) -> Vec<&'a str> {
        // Without a human the first of the chain is `sub`, and no actor.
        let (subject, between) = match (has_user, self.chain) {
            (true, chain) => (None, chain),
            (false, [first, between @ ..]) => (Some(first), between),
            (false, []) => return Vec::new(),
        };
        debug_assert!(has_user || subject.is_some());
        let earlier = between.iter().rev().map(|ancestor| ancestor.agent.as_str());
        std::iter::once(agent).chain(earlier).collect()
    }

    /// `sub` of a token without a human.
    fn subject<'a>(&'a self, agent: &'a str) -> &'a str {
        self.chain.first().map_or(agent, |first| first.agent.as_str())
    }

    /// `act`, as the first claim.
    pub(crate) fn write_act(&self, writer: &mut Writer<'_>, agent: &str, has_user: bool) {
        nest(writer, &self.actors(agent, has_user));
    }

    /// The scoped key that bought the token.
    pub(crate) fn write_key(&self, writer: &mut Writer<'_>) {
        if let Some(key) = self.key {
            writer.field_str("scoped_key", key);
        }
    }

    /// `sub`, and what it is where that is not plain.
    pub(crate) fn write_subject(
        &self,
        writer: &mut Writer<'_>,
        agent: &str,
        user: Option<&UserName>,
    ) {
        match user {
            Some(user) => drop(writer.field_str("sub", user.as_str())),
            None => {
                writer.field_str("sub", self.subject(agent));
                if !self.chain.is_empty() {
                    writer.field_str("sub_profile", AGENT_PROFILE);
                }
            }
        }
    }

    /// `may_act` (RFC 8693 §4.4): one party, or a list of them.
    pub(crate) fn write_may_act(&self, writer: &mut Writer<'_>) {
        match self.may_act {
            [] => {}
            [only] => drop(writer.field_object("may_act").field_str("sub", only.as_str()).end()),
            several => {
                writer.field_array("may_act");
                for party in several {
                    writer.begin_object().field_str("sub", party.as_str()).end();
                }
                writer.end();
            }
        }
    }
}

fn nest(writer: &mut Writer<'_>, actors: &[&str]) {
    if let [current, earlier @ ..] = actors {
        writer.field_object("act");
        nest(writer, earlier);
        writer.field_str("sub", current).end();
    }
}

/// What a token says about delegation, read and consistent.
#[derive(Debug, Default)]
pub(crate) struct Delegated {
    pub(crate) user: Option<UserName>,
    pub(crate) chain: Vec<Ancestor>,
    pub(crate) actions: Option<BTreeSet<ActionId>>,
    pub(crate) may_act: Vec<AgentName>,
    pub(crate) key: Option<String>,
}

/// Reads the claims of a token of this agent.
pub(crate) fn read(claims: &Claims, agent: &str) -> Result<Delegated, CredentialError> {
    let chain = read_chain(claims)?;
    let user = read_user(claims, &chain)?;
    let may_act = read_may_act(claims)?;
    let key = match claims.optional_text("scoped_key")? {
        None => None,
        Some(id) if ScopedKey::is_id(id) => Some(id.to_owned()),
        Some(_) => return Err(claims.wrong("scoped_key", "the id of a scoped key")),
    };
    let stated = Delegation { chain: &chain, may_act: &may_act, ..Delegation::default() };
    let expected = stated.actors(agent, user.is_some());
    if read_act(claims)? != expected {
        return Err(claims.inconsistent("`act` is not the agent after those of `chain`"));
    }
    if user.is_none() && claims.text("sub")? != stated.subject(agent) {
        return Err(claims.inconsistent("`sub` is not the agent that the chain begins with"));
    }
    let details = "a list of one object of type `ambit_action`";
    let actions = match claims.optional("authorization_details") {
        None => None,
        // What is not understood must not widen the token to everything.
        Some(value) => {
            Some(read_details(value).map_err(|_| claims.wrong("authorization_details", details))?)
        }
    };
    Ok(Delegated { user, chain, actions, may_act, key })
}

/// The human: `sub`, where somebody acts for it and it is not said to be an agent.
fn read_user(claims: &Claims, chain: &[Ancestor]) -> Result<Option<UserName>, CredentialError> {
    let profile = claims.optional_text("sub_profile")?;
    if claims.optional("act").is_none() {
        return Ok(None);
    }
    match profile {
        Some(AGENT_PROFILE) if !chain.is_empty() => Ok(None),
        Some(_) => Err(claims.wrong("sub_profile", "`ai_agent` of a token with a chain")),
        None => {
            let user = UserName::new(claims.text("sub")?);
            user.map(Some).map_err(|_| claims.wrong("sub", "the name of a person"))
        }
    }
}

/// The actors that `act` nests, the current one first.
fn read_act(claims: &Claims) -> Result<Vec<&str>, CredentialError> {
    let mut actors = Vec::new();
    let mut next = claims.optional_object("act")?;
    while let Some(act) = next {
        let deep = "at most four actors, each with `sub`";
        let sub = act.get("sub").and_then(Value::as_str).filter(|_| actors.len() < CHAIN_AGENTS);
        actors.push(sub.ok_or(claims.wrong("act", deep))?);
        next = match act.get("act") {
            None => None,
            Some(inner) => Some(inner.as_object().ok_or(claims.wrong("act", "an object"))?),
        };
    }
    Ok(actors)
}

fn read_chain(claims: &Claims) -> Result<Vec<Ancestor>, CredentialError> {
    let Some(chain) = claims.optional("chain") else { return Ok(Vec::new()) };
    chain_of(chain).ok_or(claims.wrong("chain", "a list of at most three ancestors"))
}

/// Reads what [`write_chain`] gives.
#[must_use]
pub fn chain_of(value: &Value) -> Option<Vec<Ancestor>> {
    let chain = value.as_array().filter(|chain| chain.len() < CHAIN_AGENTS)?;
    chain.iter().map(read_ancestor).collect()
}

fn read_ancestor(value: &Value) -> Option<Ancestor> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let instance = match value.get("instance") {
        None => None,
        Some(instance) => Some(is_thumbprint(instance)?.to_owned()),
    };
    let key = match value.get("key") {
        None => None,
        Some(key) => Some(key.as_str().filter(|id| ScopedKey::is_id(id))?.to_owned()),
    };
    Some(Ancestor {
        key,
        agent: Name::new(text("agent")?).ok()?,
        instance,
        owner: PartyName::parse(text("owner")?).ok()?,
        token: TokenId::parse(text("token")?)?,
        version: Digest::from_hex(text("version")?)?,
    })
}

fn read_may_act(claims: &Claims) -> Result<Vec<AgentName>, CredentialError> {
    let wrong = || claims.wrong("may_act", "an agent's `sub`, or a list of them");
    let Some(value) = claims.optional("may_act") else { return Ok(Vec::new()) };
    let parties = value.as_array().unwrap_or(std::slice::from_ref(value));
    if parties.len() > MAY_ACT {
        return Err(wrong());
    }
    let name = |party: &Value| Name::new(party.get("sub")?.as_str()?).ok();
    parties.iter().map(|party| name(party).ok_or_else(wrong)).collect()
}
