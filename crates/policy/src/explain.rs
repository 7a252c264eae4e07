//! Why an action was decided as it was: the policy, its place, the condition and its values, or
//! the grant that is missing (E21). Off the hot path.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the syntax tree of Cedar is marked as growing, so each match on it has a rest"
)]

use crate::agent::{AgentEntry, Grant};
use crate::call::Call;
use crate::compiled::{Compiled, Published};
use crate::context;
use crate::decide::{Reason, Ruling, evaluate, request};
use crate::facts::{Facts, Subject};
use crate::guard::Guard;
use crate::limits::VALUE_SHOWN;
use crate::reads::{Reads, clause_expression};
use crate::rule::Rule;
use crate::slice::Slice;
use cedar_policy::pst::{BinaryOp, Clause, Expr};
use cedar_policy::{Effect, Entities, EvalResult, Expression, Request, eval_expression};
use model::{ActionId, AgentName, Code, Decision, Name, RiskTier};
use std::collections::BTreeSet;

/// How one action was decided, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The decision.
    pub decision: Decision,
    /// The code of a denial or an ask.
    pub code: Option<Code>,
    /// The approval rules of an ask.
    pub rules: BTreeSet<Name>,
    /// One sentence: for a missing grant, which and where it would be declared.
    pub sentence: String,
    /// The policies that decided; on a missing grant the permits that came nearest.
    pub findings: Vec<Finding>,
}

/// One policy with what its conditions came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The policy.
    pub reason: Reason,
    /// Its text.
    pub text: String,
    /// The conditions that made it decide, or kept it from applying.
    pub conditions: Vec<Checked>,
}

/// One top-level condition with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// `when` or `unless`.
    pub clause: &'static str,
    /// The condition.
    pub text: String,
    /// `true`, `false`, or why it has no value.
    pub outcome: String,
    /// The attributes in it with their values.
    pub values: Vec<(String, String)>,
}

/// Explains a call. Recorded facts give the explanation of then, if the policies are those of then.
#[must_use]
pub fn why(compiled: &Compiled, subject: &Subject, call: &Call, facts: &Facts) -> Explanation {
    let slice = call.slice();
    let ruling = evaluate(subject, call, facts);
    let published = &compiled.published;
    let intent = slice.published.intents.allow(facts, slice.number, slice.grant, call.object());
    let mut findings = Vec::new();
    if let Some(asked) = asked_of_cedar(subject, call, facts, intent.is_ok()) {
        let deciding = slice
            .set
            .rules
            .iter()
            .filter(|rule| ruling.reasons.iter().any(|reason| reason.id == rule.id));
        findings.extend(deciding.map(|rule| asked.finding(rule)));
        if ruling.code == Some(Code::NotGranted) {
            findings.extend(asked.nearest(slice));
        }
    }
    // What `before:` denies has no policy behind it.
    let told = |reason: &&Reason| findings.iter().all(|finding| finding.reason.id != reason.id);
    let others: Vec<Finding> = ruling
        .reasons
        .iter()
        .filter(told)
        .map(|reason| Finding {
            reason: reason.clone(),
            text: String::new(),
            conditions: Vec::new(),
        })
        .collect();
    findings.extend(others);
    let sentence = match (&ruling.note, ruling.code, &intent) {
        (Some(note), _, _) => note.clone(),
        (None, Some(Code::NotGranted), _) => not_granted(published, &slice.agent, slice),
        (None, Some(Code::OutsideIntent), Err(outside)) => outside.to_string(),
        _ => sentence(&ruling),
    };
    let Ruling { decision, code, rules, .. } = ruling;
    Explanation { decision, code, rules, sentence, findings }
}

fn sentence(ruling: &Ruling) -> String {
    let mut sentences: Vec<&str> = Vec::new();
    for reason in &ruling.reasons {
        if !sentences.contains(&reason.sentence.as_str()) {
            sentences.push(&reason.sentence);
        }
    }
    if !sentences.is_empty() {
        return sentences.join("; ");
    }
    ruling.code.map_or("the action is granted, and nothing forbids it", Code::sentence).to_owned()
}

impl Compiled {
    /// Why an action does not exist for an agent; `None` if it does.
    #[must_use]
    pub fn missing(&self, agent: &AgentName, action: &ActionId) -> Option<Explanation> {
        let published = &self.published;
        let deny = |guard: Option<Guard>, sentence: String| {
            let finding = guard.map(|guard| {
                let rule = guard.rule();
                Finding { reason: Reason::of(&rule), text: rule.text, conditions: Vec::new() }
            });
            Some(Explanation {
                decision: Decision::Deny,
                code: Some(Code::NotInCatalog),
                rules: BTreeSet::new(),
                sentence,
                findings: finding.into_iter().collect(),
            })
        };
        let Some(entry) = published.catalog.get(action) else {
            return deny(None, format!("`{action}` is not in the catalog"));
        };
        let Some(agent) = published.agents.get(agent) else {
            return deny(None, format!("agent `{agent}` does not exist"));
        };
        let boundary = &agent.declared.boundary;
        let inside = published.declared.boundaries.get(boundary);
        if !inside.is_some_and(|inside| inside.upstreams.contains(&action.upstream)) {
            let at = place(agent);
            let sentence =
                format!("outside boundary `{boundary}` of agent `{}` ({at})", agent.name);
            return deny(Some(Guard::Boundary), sentence);
        }
        if entry.action.risk == RiskTier::Prohibited {
            let line = entry.action.line;
            let at = format!("{}:{line}", crate::DECLARED_PATH);
            return deny(Some(Guard::Prohibited), format!("`{action}` is prohibited ({at})"));
        }
        None
    }
}

fn place(agent: &AgentEntry) -> String {
    format!("{}:{}", crate::DECLARED_PATH, agent.declared.line)
}

/// The grant that is missing, and where it would stand.
fn not_granted(published: &Published, agent: &AgentEntry, slice: &Slice) -> String {
    let (name, at, action) = (&agent.name, place(agent), &slice.entry.id);
    let is_high = slice.entry.action.risk == RiskTier::High;
    match (is_high, &agent.declared.only, slice.grant) {
        (true, Some(_), _) => format!(
            "no grant: `{action}` is high, and neither `only:` of agent `{name}` ({at}) nor an \
             intent names it exactly"
        ),
        (true, None, _) => format!(
            "no grant: `{action}` is high, agent `{name}` ({at}) has no `only:`, and no intent \
             names it exactly"
        ),
        (false, Some(_), _) => {
            format!("no grant: `only:` of agent `{name}` ({at}) does not name {action}")
        }
        (false, None, Grant::Yes | Grant::ByIntent | Grant::No | Grant::Outside) => {
            let known = published.agents.contains_key(name);
            let standing = if known { "no permit applies" } else { "the agent does not exist" };
            format!("no grant: {standing} for agent `{name}` ({at}) and {action}")
        }
    }
}

/// A request that conditions can be evaluated on, with the whole context.
struct Asked<'a> {
    request: Request,
    entities: &'a Entities,
}

fn asked_of_cedar<'a>(
    subject: &Subject,
    call: &'a Call,
    facts: &Facts,
    intent_ok: bool,
) -> Option<Asked<'a>> {
    let everything = Reads::everything();
    let pairs = context::build(subject, call, facts, intent_ok, &everything).ok()?;
    let approved = facts.approval.is_some();
    let context = context::with_approved(pairs, approved, &everything).ok()?;
    let request = request(call.slice(), context).ok()?;
    Some(Asked { request, entities: &call.slice().entities })
}

impl Asked<'_> {
    fn finding(&self, rule: &Rule) -> Finding {
        let clauses = clauses(rule);
        let conditions = clauses.iter().flat_map(|clause| self.clause(rule, clause)).collect();
        Finding { reason: Reason::of(rule), text: rule.text.clone(), conditions }
    }

    /// The conditions of a clause that matter: for a clause that holds all of them, else the first
    /// that fails.
    fn clause(&self, rule: &Rule, clause: &Clause) -> Vec<Checked> {
        let (word, holds) = match clause {
            Clause::When(_) => ("when", rule.effect == Effect::Forbid),
            Clause::Unless(_) => ("unless", false),
        };
        let mut parts = Vec::new();
        conjuncts(clause_expression(clause), &mut parts);
        let mut checked = Vec::new();
        for part in parts {
            let condition = self.check(word, part);
            let is_true = condition.outcome == "true";
            if holds || !is_true {
                checked.push(condition);
            }
            if !is_true {
                break;
            }
        }
        checked
    }

    fn check(&self, clause: &'static str, part: &Expr) -> Checked {
        let mut paths = BTreeSet::new();
        attributes(part, &mut paths);
        let values = paths.into_iter().map(|path| {
            let value = self.value(&path).unwrap_or_else(|_| "(absent)".to_owned());
            (path, value)
        });
        let text = part.to_string();
        let outcome = self.value(&text).unwrap_or_else(|error| error);
        Checked { clause, text, outcome, values: values.collect() }
    }

    fn value(&self, text: &str) -> Result<String, String> {
        let expression: Expression =
            text.parse().map_err(|error: cedar_policy::ParseErrors| error.to_string())?;
        let value = eval_expression(&self.request, self.entities, &expression);
        value.map(|value| shown(&value)).map_err(|error| error.to_string())
    }

    /// Hand-written permits of the slice, those with the fewest unmet conditions first.
    fn nearest(&self, slice: &Slice) -> Vec<Finding> {
        let written = slice
            .set
            .rules
            .iter()
            .filter(|rule| rule.effect == Effect::Permit && rule.id != Guard::Grant.id());
        let mut near: Vec<(usize, Finding)> = written
            .map(|rule| {
                let unmet = clauses(rule).iter().filter(|clause| !self.holds(clause)).count();
                (unmet, self.finding(rule))
            })
            .collect();
        near.sort_by_key(|(unmet, _)| *unmet);
        near.into_iter().map(|(_, finding)| finding).collect()
    }

    fn holds(&self, clause: &Clause) -> bool {
        let value = self.value(&clause_expression(clause).to_string());
        match clause {
            Clause::When(_) => value.is_ok_and(|value| value == "true"),
            Clause::Unless(_) => value.is_ok_and(|value| value == "false"),
        }
    }
}

fn clauses(rule: &Rule) -> Vec<Clause> {
    rule.stated.to_pst().map(|tree| tree.body().clauses().clone()).unwrap_or_default()
}

/// Splits at top-level `&&`.
fn conjuncts<'a>(node: &'a Expr, found: &mut Vec<&'a Expr>) {
    match node {
        Expr::BinaryOp { op: BinaryOp::And, left, right } => {
            conjuncts(left, found);
            conjuncts(right, found);
        }
        other => found.push(other),
    }
}

/// Paths like `context.args.amount`, the longest of each.
fn attributes(node: &Expr, found: &mut BTreeSet<String>) {
    match node {
        Expr::GetAttr { expr, .. } if is_path(expr) => drop(found.insert(node.to_string())),
        // The question is what is there, not what it holds.
        Expr::HasAttr { expr, .. } if is_path(expr) => {}
        other => crate::infer::parts(other).into_iter().for_each(|part| attributes(part, found)),
    }
}

fn is_path(node: &Expr) -> bool {
    match node {
        Expr::Var(_) => true,
        Expr::GetAttr { expr, .. } => is_path(expr),
        _ => false,
    }
}

/// A value, cut where it is longer than a person reads.
fn shown(value: &EvalResult) -> String {
    let text = value.to_string();
    let mut characters = text.chars();
    let head: String = characters.by_ref().take(VALUE_SHOWN).collect();
    if characters.next().is_some() { format!("{head}…") } else { head }
}
