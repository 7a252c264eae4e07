//! Hand-written policies: read, checked for what Cedar does not check, and indexed by scope.

use crate::CatalogEntry;
use crate::problem::{Lines, Place, Problem};
use crate::reads::{Reads, clause_expression, is_context};
use crate::rule::{Asking, Rule};
use cedar_policy::pst::{self, Clause};
use cedar_policy::{
    ActionConstraint, Effect, EntityTypeName, EntityUid, Policy, PolicyId, PolicySet,
    PrincipalConstraint, ResourceConstraint,
};
use model::Name;
use model::declared::{Declared, PolicyFile};
use std::collections::{BTreeMap, HashMap};

/// A hand-written policy with its place and scope.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) rule: Rule,
    pub(crate) place: Place,
    /// Byte offset of its text in its file.
    pub(crate) offset: usize,
    pub(crate) principal: PrincipalConstraint,
    pub(crate) action: ActionConstraint,
    pub(crate) resource: ResourceConstraint,
    /// Its clauses, as the public syntax tree has them.
    pub(crate) clauses: Vec<Clause>,
}

/// Reads all files; policies in the order of files and places.
pub(crate) fn read(declared: &Declared, problems: &mut Vec<Problem>) -> Vec<Written> {
    let mut all = Vec::new();
    for file in &declared.policies {
        read_file(file, declared, &mut all, problems);
    }
    let mut seen: HashMap<&str, &Place> = HashMap::new();
    for written in &all {
        if let Some(first) = seen.insert(&written.rule.id, &written.place) {
            let at = match first {
                Place::Policy { path, line, .. } => format!("{path}:{line}"),
                Place::Declared { line } => format!("{}:{line}", crate::DECLARED_PATH),
            };
            problems.push(Problem {
                place: written.place.clone(),
                message: format!("policy id `{}` is used twice, first in {at}", written.rule.id),
                fix: "give each policy an `@id` of its own".into(),
            });
        }
    }
    all
}

fn read_file(
    file: &PolicyFile,
    declared: &Declared,
    all: &mut Vec<Written>,
    problems: &mut Vec<Problem>,
) {
    let lines = Lines::of(&file.text);
    let set: PolicySet = match file.text.parse() {
        Ok(set) => set,
        Err(errors) => return problems.extend(parse_problems(&errors, &lines, file)),
    };
    for template in set.templates() {
        problems.push(Problem {
            place: {
                let at = template.as_ref().loc().map_or(0, |loc| loc.start());
                let end = file.text.get(at..).and_then(|text| text.find('\n'));
                lines.place(&file.path, at, end.unwrap_or(1))
            },
            message: "a policy template has slots that nothing fills".into(),
            fix: "write a policy without `?principal` and `?resource`".into(),
        });
    }
    let mut policies: Vec<_> = set
        .policies()
        .map(|policy| {
            let span = policy.as_ref().loc().map(|loc| (loc.start(), loc.end()));
            (span.unwrap_or((0, 1)), policy)
        })
        .collect();
    policies.sort_by_key(|(span, _)| *span);
    for ((start, end), policy) in policies {
        let text = file.text.get(start..end).unwrap_or_default();
        let at = At { file, lines: &lines, start, text };
        match at.written(policy, declared) {
            Ok(written) => all.push(written),
            Err(found) => problems.extend(found),
        }
    }
}

fn parse_problems(
    errors: &cedar_policy::ParseErrors,
    lines: &Lines<'_>,
    file: &PolicyFile,
) -> Vec<Problem> {
    use miette::Diagnostic;
    let problem = |error: &cedar_policy::ParseError| {
        let label = error.labels().and_then(|mut labels| labels.next());
        let span = label.map_or((0, 1), |label| (label.offset(), label.len()));
        let help = error.help().map(|help| help.to_string());
        Problem {
            place: lines.place(&file.path, span.0, span.1),
            message: error.to_string(),
            fix: help.unwrap_or_else(|| "correct the policy's syntax".into()),
        }
    };
    errors.iter().map(problem).collect()
}

/// One policy in its file.
struct At<'a> {
    file: &'a PolicyFile,
    lines: &'a Lines<'a>,
    start: usize,
    text: &'a str,
}

impl At<'_> {
    fn place(&self) -> Place {
        let head = self.text.lines().next().map_or(1, str::len);
        self.lines.place(&self.file.path, self.start, head)
    }

    /// The place of the first occurrence of a text in this policy, else of the policy.
    fn place_of(&self, needle: &str) -> Place {
        match self.text.find(needle) {
            Some(at) => {
                self.lines.place(&self.file.path, self.start.saturating_add(at), needle.len())
            }
            None => self.place(),
        }
    }

    fn problem(&self, place: Place, message: impl Into<String>, fix: impl Into<String>) -> Problem {
        Problem { place, message: message.into(), fix: fix.into() }
    }

    fn written(&self, policy: &Policy, declared: &Declared) -> Result<Written, Vec<Problem>> {
        let (line, _, _) = self.lines.locate(self.start, 1);
        let id = policy.annotation("id").filter(|id| !id.is_empty());
        let id = id.map_or_else(|| format!("{}:{line}", self.file.path), str::to_owned);
        let tree = policy.to_pst().map_err(|error| {
            vec![self.problem(self.place(), error.to_string(), "simplify the policy")]
        })?;
        let clauses = tree.body().clauses().clone();
        let mut problems = Vec::new();
        if id == "grant" || id.starts_with("guard.") {
            problems.push(self.problem(
                self.place_of("@id"),
                format!("policy id `{id}` belongs to a generated policy"),
                "choose another `@id`",
            ));
        }
        let asking = self.asking(policy, &clauses, declared, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        let resolved = unscoped(&tree).map_err(|error| {
            vec![self.problem(self.place(), error.to_string(), "simplify the policy")]
        })?;
        let policy = policy.new_id(PolicyId::new(&id));
        let sentence = policy.annotation("reason").filter(|reason| !reason.is_empty());
        let sentence = sentence.map_or_else(|| format!("policy `{id}` decides so"), str::to_owned);
        Ok(Written {
            principal: policy.principal_constraint(),
            action: policy.action_constraint(),
            resource: policy.resource_constraint(),
            place: self.place(),
            offset: self.start,
            clauses,
            rule: Rule {
                path: self.file.path.clone(),
                line,
                sentence,
                asking,
                effect: policy.effect(),
                text: self.text.to_owned(),
                reads: Reads::of_policy(&tree),
                stated: policy,
                resolved,
                id,
            },
        })
    }

    /// S4: `approved` only as `unless { context.approved }` of a forbid with `@approval`.
    fn asking(
        &self,
        policy: &Policy,
        clauses: &[Clause],
        declared: &Declared,
        problems: &mut Vec<Problem>,
    ) -> Asking {
        let lifts = |clause: &Clause| matches!(clause, Clause::Unless(expression) if is_context(expression, "approved"));
        let lifting = clauses.iter().any(lifts);
        let elsewhere = |clause: &&Clause| {
            let reads = Reads::of(clause_expression(clause));
            !lifts(clause) && reads.name("approved")
        };
        if let Some(clause) = clauses.iter().find(elsewhere) {
            let whole = Reads::of(clause_expression(clause)).context;
            let what = if whole { "`context` as a whole is read" } else { "`approved` is read" };
            problems.push(self.problem(
                self.place_of(if whole { "context" } else { "approved" }),
                format!("{what} outside a plain `unless {{ context.approved }}`"),
                "an approval may only lift a forbid: write `unless { context.approved }` as its own \
                 clause, and name other attributes one by one",
            ));
        }
        let rule = policy.annotation("approval");
        let forbids = policy.effect() == Effect::Forbid;
        match rule {
            Some(rule) if lifting && forbids => self.rule(rule, declared, problems),
            Some(_) => {
                let fix = "an approval lifts a forbid that says `unless { context.approved }`: add \
                           that clause, or remove `@approval`";
                let message = "`@approval` on a policy that no approval can lift";
                problems.push(self.problem(self.place_of("@approval"), message, fix));
                Asking::Nobody
            }
            None if lifting => {
                let (message, fix) = if forbids {
                    (
                        "`unless { context.approved }` without `@approval`",
                        "name who is asked: add `@approval(\"RULE\")` with a rule of `approvals:`",
                    )
                } else {
                    ("a permit reads `approved`", "an approval may only lift a forbid")
                };
                problems.push(self.problem(self.place_of("context.approved"), message, fix));
                Asking::Nobody
            }
            None => Asking::Nobody,
        }
    }

    fn rule(&self, rule: &str, declared: &Declared, problems: &mut Vec<Problem>) -> Asking {
        let wanted = if rule.is_empty() { "default" } else { rule };
        match Name::new(wanted).ok().filter(|name| declared.approvals.contains_key(name)) {
            Some(name) => Asking::Rule(name),
            None => {
                problems.push(self.problem(
                    self.place_of("@approval"),
                    format!("approval rule `{wanted}` does not exist"),
                    format!("declare it: `approvals: {{ {wanted}: … }}`"),
                ));
                Asking::Nobody
            }
        }
    }
}

/// The policy without its scope: a slice has only policies whose scope fits.
fn unscoped(tree: &pst::Policy) -> Result<Policy, pst::PstConstructionError> {
    let body = tree.body();
    let (principal, action) = (pst::PrincipalConstraint::Any, pst::ActionConstraint::Any);
    let open = pst::Template::new("", body.effect, principal, action, pst::ResourceConstraint::Any);
    let open = open.try_with_clauses(body.clauses().iter().cloned())?;
    Policy::from_pst(pst::StaticPolicy::try_from(open)?.into())
}

/// Policies by what their scope names, so that a slice looks only at its own.
#[derive(Debug, Default)]
pub(crate) struct Index {
    any: Vec<u32>,
    by_principal: HashMap<EntityUid, Vec<u32>>,
}

impl Index {
    pub(crate) fn of(all: &[Written]) -> Index {
        let mut index = Index::default();
        for (written, number) in all.iter().zip(0_u32..) {
            match &written.principal {
                PrincipalConstraint::Any | PrincipalConstraint::Is(_) => index.any.push(number),
                PrincipalConstraint::In(uid)
                | PrincipalConstraint::Eq(uid)
                | PrincipalConstraint::IsIn(_, uid) => {
                    index.by_principal.entry(uid.clone()).or_default().push(number);
                }
            }
        }
        index
    }

    /// The policies whose scope fits, in their order. `lineage` is the principal and all that it
    /// is in.
    pub(crate) fn matching(
        &self,
        all: &[Written],
        lineage: &[EntityUid],
        entry: &CatalogEntry,
    ) -> Vec<u32> {
        let named = lineage.iter().filter_map(|uid| self.by_principal.get(uid)).flatten();
        let mut found: Vec<u32> = self
            .any
            .iter()
            .chain(named)
            .copied()
            .filter(|number| {
                let at = usize::try_from(*number).ok().and_then(|at| all.get(at));
                at.is_some_and(|written| {
                    let CatalogEntry { groups, action_uid, operation_uid, .. } = entry;
                    written.fits(lineage, groups, action_uid, operation_uid)
                })
            })
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

impl Written {
    /// Whether the scope fits. Conditions are never looked at: they are Cedar's.
    fn fits(
        &self,
        lineage: &[EntityUid],
        groups: &[EntityUid],
        action: &EntityUid,
        operation: &EntityUid,
    ) -> bool {
        let own = lineage.first();
        let is_own = |kind: &EntityTypeName| own.is_some_and(|own| own.type_name() == kind);
        let principal = match &self.principal {
            PrincipalConstraint::Any => true,
            PrincipalConstraint::Is(kind) => is_own(kind),
            PrincipalConstraint::Eq(uid) => own == Some(uid),
            PrincipalConstraint::In(uid) => lineage.contains(uid),
            PrincipalConstraint::IsIn(kind, uid) => is_own(kind) && lineage.contains(uid),
        };
        principal && self.covers(groups, action, operation)
    }

    /// Whether the scope covers an operation, for some principal.
    pub(crate) fn covers(
        &self,
        groups: &[EntityUid],
        action: &EntityUid,
        operation: &EntityUid,
    ) -> bool {
        // A policy that says `action == GROUP` names no action that is ever asked for.
        let within = |uid: &EntityUid| uid == action || groups.contains(uid);
        let covers_action = match &self.action {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(uid) => uid == action,
            ActionConstraint::In(uids) => uids.iter().any(within),
        };
        let covers_operation = match &self.resource {
            ResourceConstraint::Any => true,
            ResourceConstraint::Is(kind) => operation.type_name() == kind,
            ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) => operation == uid,
            ResourceConstraint::IsIn(kind, uid) => {
                operation.type_name() == kind && operation == uid
            }
        };
        covers_action && covers_operation
    }
}

/// The type that each argument must have to be used as policies use it, for actions whose
/// definition is not pinned.
pub(crate) fn inferred<'a>(
    all: impl Iterator<Item = &'a Written>,
) -> BTreeMap<String, crate::shape::Member> {
    let mut uses = crate::infer::Uses::default();
    for written in all {
        written.clauses.iter().for_each(|clause| uses.note(clause_expression(clause)));
    }
    uses.members()
}
