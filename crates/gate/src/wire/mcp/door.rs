//! Which door a request came through, and how things are named there: at the door of all upstreams each name says whose
//! it is.

use crate::{Gate, World, admit};
use canonical::Value;
use identity::Actor;
use model::{Name, UpstreamName};

/// A door of this edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::wire) enum Door {
    /// `/mcp/{upstream}`.
    One(UpstreamName),
    /// `/mcp`: every upstream that the agent may see.
    All,
}

/// A door, and whether it keeps silent about tokens: some clients drop their own when they hear of an issuer (F24).
pub(in crate::wire) struct Way {
    pub(super) door: Door,
    pub(super) silent: bool,
}

const BEARER: &str = "/bearer";

impl Door {
    /// In handles; no upstream has this name.
    pub(super) fn as_str(&self) -> &str {
        match self {
            Door::One(upstream) => upstream.as_str(),
            Door::All => "*",
        }
    }

    pub(super) fn upstream(&self) -> Option<&UpstreamName> {
        match self {
            Door::One(upstream) => Some(upstream),
            Door::All => None,
        }
    }

    pub(super) fn is_aggregate(&self) -> bool {
        *self == Door::All
    }

    /// Whose a name is, and what it is called there.
    pub(super) fn place(&self, name: &str) -> Option<(UpstreamName, String)> {
        match self {
            Door::One(upstream) => Some((upstream.clone(), name.to_owned())),
            Door::All => {
                let (upstream, name) = name.split_once('.')?;
                Some((Name::new(upstream).ok()?, name.to_owned()))
            }
        }
    }

    /// Whose a resource is, and its address there.
    pub(super) fn place_of_uri(&self, uri: &str) -> Option<(UpstreamName, String)> {
        match self {
            Door::One(upstream) => Some((upstream.clone(), uri.to_owned())),
            Door::All => {
                let (upstream, uri) = uri.split_once('+')?;
                Some((Name::new(upstream).ok()?, uri.to_owned()))
            }
        }
    }

    /// A name of an upstream as it is shown at this door.
    pub(super) fn shown(&self, upstream: &UpstreamName, name: &str) -> String {
        match self {
            Door::One(_) => name.to_owned(),
            Door::All => format!("{upstream}.{name}"),
        }
    }

    /// An address of an upstream as it is shown at this door.
    pub(super) fn shown_uri(&self, upstream: &UpstreamName, uri: &str) -> String {
        match self {
            Door::One(_) => uri.to_owned(),
            Door::All => format!("{upstream}+{uri}"),
        }
    }

    /// Writes a member of each listed object as it is shown at this door.
    pub(super) fn rename(&self, upstream: &UpstreamName, items: &mut Value, member: &str) {
        let (Door::All, Value::Array(items)) = (self, items) else { return };
        for item in items {
            let Value::Object(item) = item else { continue };
            if let Some(place) = item.get_mut(member)
                && let Some(text) = place.as_str()
            {
                let by_name = member == "name";
                let shown = if by_name {
                    self.shown(upstream, text)
                } else {
                    self.shown_uri(upstream, text)
                };
                *place = Value::String(shown);
            }
        }
    }

    /// The upstreams behind this door that the actor sees anything of.
    pub(super) fn upstreams(&self, gate: &Gate, world: &World, actor: &Actor) -> Vec<UpstreamName> {
        let sees = |name: &UpstreamName| admit::visible(gate, world, actor, name).next().is_some();
        match self {
            Door::One(upstream) => {
                Some(upstream.clone()).into_iter().filter(|name| sees(name)).collect()
            }
            Door::All => {
                let declared = world.compiled.declared().upstreams.iter();
                let spoken =
                    declared.filter(|(_, one)| one.kind == model::declared::UpstreamKind::Mcp);
                spoken.map(|(name, _)| name.clone()).filter(|name| sees(name)).collect()
            }
        }
    }

    /// The audience of tokens for this door.
    pub(super) fn audience(&self, gate: &Gate) -> String {
        gate.door(crate::Edge::Mcp, self.upstream())
    }
}

/// The door of a path; `None` if the path is none of this edge, `Some(None)` if it names no door.
pub(in crate::wire) fn of_path(path: &str) -> Option<Option<Way>> {
    let (silent, path) = match path.strip_prefix(BEARER) {
        Some(rest) => (true, rest),
        None => (false, path),
    };
    let rest = path.strip_prefix("/mcp")?;
    if rest.is_empty() {
        return Some(Some(Way { door: Door::All, silent }));
    }
    let name = rest.strip_prefix('/')?;
    Some(Name::new(name).ok().map(|name| Way { door: Door::One(name), silent }))
}

#[cfg(test)]
mod tests;
