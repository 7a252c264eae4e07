//! What a person stops or lets go: one agent, owner, human, upstream, action, effect, tenant, or everything.

use super::{agent_name, usage};
use gate::World;
use model::{ActionId, Effect, Name, PartyName};

/// One kind of thing that can be stopped, and its name, as they stand in the row `frozen/KIND/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selected {
    pub(super) kind: &'static str,
    pub(super) name: String,
}

impl Selected {
    /// The row of control state that stops it.
    pub(super) fn row(&self) -> String {
        format!("frozen/{}/{}", self.kind, self.name)
    }

    /// As a person writes it.
    pub(super) fn text(&self) -> String {
        if self.kind == "all" { "all".to_owned() } else { format!("{}:{}", self.kind, self.name) }
    }
}

/// Reads `KIND:NAME`, `all`, or an agent's bare name. What is not known is a mistake and not a freeze of nothing; only
/// humans and tenants may be known elsewhere. `effects` narrows `all`.
pub(super) fn read(world: &World, text: &str, effects: &[String]) -> anyhow::Result<Vec<Selected>> {
    if text == "all" {
        if effects.is_empty() {
            return Ok(vec![Selected { kind: "all", name: "*".to_owned() }]);
        }
        return effects.iter().map(|effect| effect_named(effect)).collect();
    }
    if !effects.is_empty() {
        return Err(usage("`--effect` narrows `all`: write `freeze all --effect …`"));
    }
    let (kind, name) = text.split_once(':').unwrap_or(("agent", text));
    one(world, kind, name).map(|selected| vec![selected])
}

fn one(world: &World, kind: &str, name: &str) -> anyhow::Result<Selected> {
    let declared = world.compiled.declared();
    let selected = |kind: &'static str, name: &dyn std::fmt::Display| Selected {
        kind,
        name: name.to_string(),
    };
    let named = || Name::new(name).map_err(|error| usage(error.to_string()));
    match kind {
        "agent" => Ok(selected("agent", &agent_name(&world.compiled, name)?)),
        "user" | "human" => {
            let user = model::UserName::new(name).map_err(|error| usage(error.to_string()))?;
            Ok(selected("user", &user))
        }
        "tenant" if !name.is_empty() => Ok(selected("tenant", &name)),
        "effect" => effect_named(name),
        "owner" => {
            let owner = PartyName::parse(name).map_err(|error| usage(error.to_string()))?;
            if declared.agents.values().all(|agent| agent.owner != owner) {
                return Err(usage(format!(
                    "`{owner}` owns no agent; owners are written `group:NAME` or `user:NAME`"
                )));
            }
            Ok(selected("owner", &owner))
        }
        "upstream" => {
            let upstream = named()?;
            if !declared.upstreams.contains_key(&upstream) {
                let known: Vec<&str> = declared.upstreams.keys().map(Name::as_str).collect();
                return Err(usage(format!(
                    "no upstream `{upstream}`; known: {}",
                    known.join(", ")
                )));
            }
            Ok(selected("upstream", &upstream))
        }
        "action" => {
            let action = ActionId::parse(name).map_err(|error| usage(error.to_string()))?;
            if world.compiled.entry(&action).is_none() {
                return Err(usage(format!("no action `{action}` is in the catalog")));
            }
            Ok(selected("action", &action))
        }
        other => Err(usage(format!(
            "`{other}` is nothing that can be stopped: write agent:, owner:, user:, upstream:, action:, effect: or tenant: \
             and a name, or `all`"
        ))),
    }
}

fn effect_named(text: &str) -> anyhow::Result<Selected> {
    let effect = Effect::parse(text).ok_or_else(|| {
        let known: Vec<&str> = Effect::ALL.iter().map(|effect| effect.as_str()).collect();
        usage(format!("no effect `{text}`; there are {}", known.join(", ")))
    })?;
    Ok(Selected { kind: "effect", name: effect.as_str().to_owned() })
}
