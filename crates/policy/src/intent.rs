//! What a task's intent allows, decided natively: policies see one fact, `context.intent_ok`.

use crate::agent::Grant;
use crate::catalog::Catalog;
use crate::facts::Facts;
use crate::task::TaskFacts;
use canonical::{Object, Value};
use model::declared::{ActionPattern, Constraint, Declared};
use model::{Name, RiskTier};
use std::collections::{BTreeMap, HashMap};

/// What one argument must equal.
pub(crate) type Constraints = BTreeMap<String, Constraint>;

/// All intents: the constraints of each action that they allow.
#[derive(Debug, Default)]
pub(crate) struct Intents {
    allowed: HashMap<Name, HashMap<u32, Constraints>>,
}

/// Why an intent does not allow an action.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Outside {
    /// The action is `high`, and the task names no intent that names it.
    #[error("the action is granted only under a task of an intent that names it exactly")]
    NoTask,
    /// The intent is not declared.
    #[error("the task's intent `{0}` is not declared")]
    Unknown(Name),
    /// The intent does not name the action.
    #[error("intent `{0}` does not allow this action")]
    Action(Name),
    /// An argument is another.
    #[error("intent `{intent}` wants argument `{argument}` to be {wanted}, and it is {given}")]
    Argument {
        /// The intent.
        intent: Name,
        /// The argument.
        argument: String,
        /// What it must be.
        wanted: String,
        /// What it is.
        given: String,
    },
}

impl Intents {
    /// An exact name wins over the upstream's wildcard; a wildcard never covers a `high` action.
    pub(crate) fn of(declared: &Declared, catalog: &Catalog) -> Intents {
        let mut allowed = HashMap::new();
        for (name, intent) in &declared.intents {
            let mut actions: HashMap<u32, Constraints> = HashMap::new();
            for (entry, number) in catalog.entries.iter().zip(0_u32..) {
                let exact = intent.allow.get(&ActionPattern::Exact(entry.id.clone()));
                let whole = || {
                    let tier = entry.action.risk;
                    let covered = matches!(tier, RiskTier::Low | RiskTier::Medium);
                    let all = ActionPattern::All(entry.id.upstream.clone());
                    intent.allow.get(&all).filter(|_| covered)
                };
                if let Some(constraints) = exact.or_else(whole) {
                    actions.insert(number, constraints.clone());
                }
            }
            allowed.insert(name.clone(), actions);
        }
        Intents { allowed }
    }

    /// Whether the action may be done under the task of these facts and all those around it, or without one.
    pub(crate) fn allow(
        &self,
        facts: &Facts,
        action: u32,
        grant: Grant,
        arguments: &Object,
    ) -> Result<(), Outside> {
        let named = facts.task.as_ref().is_some_and(|task| task.intent.is_some());
        if grant == Grant::ByIntent && !named {
            return Err(Outside::NoTask);
        }
        let all = facts.task.iter().chain(&facts.within);
        all.into_iter().try_for_each(|task| self.allow_under(task, action, arguments))
    }

    fn allow_under(
        &self,
        task: &TaskFacts,
        action: u32,
        arguments: &Object,
    ) -> Result<(), Outside> {
        let Some(intent) = &task.intent else { return Ok(()) };
        let actions = self.allowed.get(intent).ok_or_else(|| Outside::Unknown(intent.clone()))?;
        let constraints = actions.get(&action).ok_or_else(|| Outside::Action(intent.clone()))?;
        for (argument, constraint) in constraints {
            let given = arguments.get(argument);
            let wanted = match constraint {
                Constraint::Param(name) => task.params.get(name).cloned(),
                Constraint::Text(text) => Some(Value::from(text.as_str())),
                Constraint::Integer(number) => Some(Value::Integer(*number)),
                Constraint::Boolean(truth) => Some(Value::Bool(*truth)),
            };
            // A parameter that the task does not have fits nothing, a missing argument least.
            if wanted.is_none() || given != wanted.as_ref() {
                return Err(Outside::Argument {
                    intent: intent.clone(),
                    argument: argument.clone(),
                    wanted: shown(wanted.as_ref()),
                    given: shown(given),
                });
            }
        }
        Ok(())
    }
}

/// A value as an explanation shows it.
pub(crate) fn shown(value: Option<&Value>) -> String {
    let Some(value) = value else { return "absent".to_owned() };
    let text = String::from_utf8(value.to_bytes()).unwrap_or_default();
    let mut characters = text.chars();
    let head: String = characters.by_ref().take(crate::limits::VALUE_SHOWN).collect();
    if characters.next().is_some() { format!("{head}…") } else { head }
}
