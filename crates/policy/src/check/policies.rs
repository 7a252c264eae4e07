//! What is wrong with hand-written policies: types, impossible conditions, names of nothing.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the syntax tree of Cedar is marked as growing, so each match on it has a rest"
)]

use crate::agent::AgentEntry;
use crate::catalog::Catalog;
use crate::infer::parts;
use crate::problem::{Lines, Place, Problem};
use crate::reads::{argument_of, clause_expression};
use crate::shape::{Member, Shape};
use crate::written::Written;
use cedar_policy::pst::{BinaryOp, Expr, Literal};
use cedar_policy::{
    ActionConstraint, Effect, EntityUid, PolicyId, PolicySet, PrincipalConstraint, Schema,
    ValidationMode, ValidationWarning, Validator,
};
use miette::Diagnostic;
use model::AgentName;
use model::declared::Declared;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// Checks all hand-written policies against the schema and against what there is.
pub(crate) fn policies(
    declared: &Declared,
    schema: &Schema,
    catalog: &Catalog,
    agents: &BTreeMap<AgentName, Arc<AgentEntry>>,
    written: &[Written],
    problems: &mut Vec<Problem>,
) {
    let files = declared.policies.iter();
    let files = files.map(|file| (file.path.as_str(), Lines::of(&file.text))).collect();
    let sources = Sources { files };
    let known = known_entities(catalog, agents);
    let misnamed: HashSet<&str> = written
        .iter()
        .filter_map(|written| {
            let found = names_nothing(written, &known, &sources)?;
            problems.push(found);
            Some(written.rule.id.as_str())
        })
        .collect();
    validate(schema, written, &sources, &misnamed, problems);
    for written in written {
        problems.extend(words(written, catalog, &sources));
        problems.extend(outside(written, catalog, agents, &sources));
    }
}

struct Sources<'a> {
    files: HashMap<&'a str, Lines<'a>>,
}

impl Sources<'_> {
    /// The first occurrence of a text in a policy, else the policy's head.
    fn find(&self, written: &Written, needle: &str) -> Place {
        let lines = self.files.get(written.rule.path.as_str());
        match (written.rule.text.find(needle), lines) {
            (Some(at), Some(lines)) => {
                let offset = written.offset.saturating_add(at);
                lines.place(&written.rule.path, offset, needle.len())
            }
            _ => written.place.clone(),
        }
    }

    /// The place that a diagnostic marks, if it marks one.
    fn labelled(&self, written: &Written, diagnostic: &dyn Diagnostic) -> Place {
        let label = diagnostic.labels().and_then(|mut labels| labels.next());
        match (label, self.files.get(written.rule.path.as_str())) {
            (Some(label), Some(lines)) => {
                lines.place(&written.rule.path, label.offset(), label.len())
            }
            _ => written.place.clone(),
        }
    }
}

/// Strict validation; a warning that a policy can never apply is an error here.
fn validate(
    schema: &Schema,
    written: &[Written],
    sources: &Sources<'_>,
    misnamed: &HashSet<&str>,
    problems: &mut Vec<Problem>,
) {
    let mut set = PolicySet::new();
    for written in written {
        // A duplicate id is a problem of its own.
        if set.add(written.rule.stated.clone()).is_err() {
            continue;
        }
    }
    let by_id: HashMap<&str, &Written> =
        written.iter().map(|written| (written.rule.id.as_str(), written)).collect();
    let find = |id: &PolicyId| by_id.get(AsRef::<str>::as_ref(id)).copied();
    let result = Validator::new(schema.clone()).validate(&set, ValidationMode::Strict);
    // What is wrong with a policy is said once: that it then never applies is no news.
    let mut wrong: HashSet<&str> = misnamed.clone();
    for error in result.validation_errors() {
        if let Some(written) = find(error.policy_id()) {
            wrong.insert(&written.rule.id);
            let help = error.help().map(|help| help.to_string());
            problems.push(Problem {
                place: sources.labelled(written, error),
                message: without_policy(&error.to_string()),
                fix: help.unwrap_or_else(|| {
                    "correct the condition; `ambit policy generated` prints the types".into()
                }),
            });
        }
    }
    for warning in result.validation_warnings() {
        let written = find(warning.policy_id());
        if let Some(written) = written.filter(|found| !wrong.contains(found.rule.id.as_str())) {
            problems.extend(warned(written, warning, sources));
        }
    }
}

fn warned(
    written: &Written,
    warning: &ValidationWarning,
    sources: &Sources<'_>,
) -> Option<Problem> {
    let (message, fix) = match warning {
        ValidationWarning::ImpossiblePolicy(_) | ValidationWarning::InvalidActionApplication(_) => {
            let wrong_type = match &written.principal {
                PrincipalConstraint::Eq(uid) => Some(uid),
                PrincipalConstraint::Any
                | PrincipalConstraint::In(_)
                | PrincipalConstraint::Is(_)
                | PrincipalConstraint::IsIn(..) => None,
            };
            let fix = match wrong_type {
                Some(uid) => {
                    format!("a principal is a version of an agent: write `principal in {uid}`")
                }
                None => "correct scope and conditions, or remove the policy".to_owned(),
            };
            (format!("policy `{}` can never apply", written.rule.id), fix)
        }
        ValidationWarning::BidiCharsInString(_) | ValidationWarning::BidiCharsInIdentifier(_) => (
            "text direction characters hide what the policy says".to_owned(),
            "remove the bidirectional control characters".to_owned(),
        ),
        ValidationWarning::MixedScriptIdentifier(_) => (
            "a name mixes scripts whose letters look alike".to_owned(),
            "write the name in one script".to_owned(),
        ),
        // Text in any language is as good as any.
        _ => return None,
    };
    Some(Problem { place: sources.labelled(written, warning), message, fix })
}

/// Cedar begins its sentences with "for policy `id`, "; the place says that already.
fn without_policy(message: &str) -> String {
    let rest = message.strip_prefix("for policy `").and_then(|rest| rest.split_once("`, "));
    rest.map_or(message, |(_, rest)| rest).to_owned()
}

fn known_entities(
    catalog: &Catalog,
    agents: &BTreeMap<AgentName, Arc<AgentEntry>>,
) -> HashSet<EntityUid> {
    let lineages = agents.values().flat_map(|agent| agent.lineage.iter().cloned());
    lineages.chain(catalog.entries.iter().map(|entry| entry.operation_uid.clone())).collect()
}

/// A literal of an agent, group or operation that does not exist: the policy would silently never
/// match. Actions are Cedar's own check.
fn names_nothing(
    written: &Written,
    known: &HashSet<EntityUid>,
    sources: &Sources<'_>,
) -> Option<Problem> {
    let literals = written.rule.stated.entity_literals();
    let mut missing: Vec<&EntityUid> = literals
        .iter()
        .filter(|uid| {
            let kind = uid.type_name().to_string();
            let ours = ["AgentVersion", "Agent", "Group", "Operation"].contains(&kind.as_str());
            ours && !known.contains(uid)
        })
        .collect();
    missing.sort();
    let missing = missing.first()?;
    Some(Problem {
        place: sources.find(written, &missing.to_string()),
        message: format!("{missing} names nothing that is declared"),
        fix: "correct the name; groups are `boundary:NAME` and `owner:group:NAME`".into(),
    })
}

/// Words that an enumeration does not have.
fn words(written: &Written, catalog: &Catalog, sources: &Sources<'_>) -> Vec<Problem> {
    let mut compared = BTreeSet::new();
    for clause in &written.clauses {
        compare(clause_expression(clause), &mut compared);
    }
    if compared.is_empty() {
        return Vec::new();
    }
    let covers = |entry: &&Arc<crate::CatalogEntry>| {
        written.covers(&entry.groups, &entry.action_uid, &entry.operation_uid)
    };
    let covered: Vec<_> = catalog.entries.iter().filter(covers).collect();
    let problem = |(argument, word): &(String, String)| {
        let mut lists =
            covered.iter().filter_map(|entry| match entry.arguments.members.get(argument) {
                Some(Member { shape: Some(Shape::Text(Some(words))), .. }) => Some(words),
                _ => None,
            });
        let first = lists.next()?;
        let fits = first.contains(word) || lists.any(|words| words.contains(word));
        let listed: Vec<_> = first.iter().map(|word| format!("\"{word}\"")).collect();
        (!fits).then(|| Problem {
            place: sources.find(written, &format!("\"{word}\"")),
            message: format!("argument `{argument}` is never \"{word}\""),
            fix: format!("its schema lists {}", listed.join(", ")),
        })
    };
    compared.iter().filter_map(problem).collect()
}

/// Arguments that are compared with a literal text.
fn compare(node: &Expr, found: &mut BTreeSet<(String, String)>) {
    let mut note = |argument: &Expr, word: &Expr| {
        if let (Some(name), Expr::Literal(Literal::String(word))) = (argument_of(argument), word) {
            found.insert((name.to_owned(), word.to_string()));
        }
    };
    match node {
        Expr::BinaryOp { op: BinaryOp::Eq | BinaryOp::NotEq, left, right } => {
            note(left, right);
            note(right, left);
        }
        Expr::BinaryOp { op: BinaryOp::Contains, left, right } => {
            if let Expr::Set(items) = &**left {
                items.iter().for_each(|item| note(right, item));
            }
        }
        _ => {}
    }
    parts(node).into_iter().for_each(|part| compare(part, found));
}

/// A permit for an agent and an action outside its boundary: nothing would come of it.
fn outside(
    written: &Written,
    catalog: &Catalog,
    agents: &BTreeMap<AgentName, Arc<AgentEntry>>,
    sources: &Sources<'_>,
) -> Option<Problem> {
    if written.rule.effect != Effect::Permit {
        return None;
    }
    let (PrincipalConstraint::In(named)
    | PrincipalConstraint::Eq(named)
    | PrincipalConstraint::IsIn(_, named)) = &written.principal
    else {
        return None;
    };
    let agent = agents.values().find(|agent| agent.lineage.get(1) == Some(named))?;
    let actions = match &written.action {
        ActionConstraint::Any => return None,
        ActionConstraint::Eq(uid) => std::slice::from_ref(uid),
        ActionConstraint::In(uids) => uids.as_slice(),
    };
    let mut entries = catalog.entries.iter().zip(0_u32..);
    let (entry, _) = entries.find(|(entry, number)| {
        actions.contains(&entry.action_uid) && agent.reach.find(*number).is_none()
    })?;
    Some(Problem {
        place: sources.find(written, &entry.action_uid.to_string()),
        message: format!(
            "permits {} to agent `{}`, outside its boundary `{}`",
            entry.id, agent.name, agent.declared.boundary
        ),
        fix: "add the upstream to the boundary, or remove the permit".into(),
    })
}
