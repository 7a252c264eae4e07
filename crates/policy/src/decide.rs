//! The one place where Cedar decides. It denies on any error and on any missing entity.

use crate::call::Call;
use crate::context;
use crate::evidence::{Ask, Clearance, Consultation, Decided, Denial};
use crate::facts::{Facts, Subject};
use crate::rule::Rule;
use crate::slice::{Conditions, RuleSet, Slice};
use canonical::Value;
use cedar_policy::{Authorizer, Context, Entities, PolicySet, Request};
use identity::Actor;
use model::declared::Before;
use model::{Code, Decision, Name, RiskTier};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How an action was decided, without evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// The decision.
    pub decision: Decision,
    /// Why not, for a denial or an ask.
    pub code: Option<Code>,
    /// The policies that decided. For a denial those that no approval lifts.
    pub reasons: Vec<Reason>,
    /// The approval rules that must all be met, for an ask.
    pub rules: BTreeSet<Name>,
    /// Whether an approval was needed and is used up by this.
    pub approved: bool,
    /// What went wrong or is missing, for people; never for the agent.
    pub note: Option<String>,
}

/// One policy that decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Its `@id`.
    pub id: String,
    /// The file it stands in; `(generated)` for guardrails.
    pub path: String,
    /// Its line; 0 for guardrails.
    pub line: u32,
    /// Its `@reason`, or a fixed sentence.
    pub sentence: String,
}

/// What comes of an action. Ask and Denial own the call, so that it can be decided again.
#[must_use]
#[derive(Debug)]
pub enum Verdict {
    /// It may happen.
    Allow(Clearance),
    /// It may happen if the hooks agree that its action names; they can only refuse.
    Consult(Consultation),
    /// A human is asked.
    Ask(Ask),
    /// It may not.
    Deny(Denial),
}

impl Verdict {
    /// The clearance; a second ask refuses.
    pub fn into_clearance(self) -> Result<Clearance, Denial> {
        match self {
            Verdict::Allow(clearance) => Ok(clearance),
            Verdict::Ask(ask) => Err(ask.into_denial()),
            Verdict::Consult(consultation) => Err(consultation.unasked()),
            Verdict::Deny(denial) => Err(denial),
        }
    }
}

/// Decides one action of an authenticated actor. For an agent that is observed, what would be denied
/// or asked is a clearance that says so.
pub fn decide(actor: &Actor, call: Call, facts: &Facts) -> Verdict {
    let subject = Subject::from(actor);
    let beyond = (!actor.reaches(call.action()))
        .then(|| Ruling::undecidable("the token does not reach the action"));
    let ruling = match beyond.or_else(|| unfit(&subject, &call, facts)) {
        Some(ruling) => ruling,
        None => evaluate(&subject, &call, facts),
    };
    // What could not be decided, or is no matter of policy, carries a note and is never let pass.
    let observed = ruling.decision != Decision::Allow
        && ruling.note.is_none()
        && call.slice().agent.observes(facts.now);
    let decision = if observed { Decision::Allow } else { ruling.decision };
    let decided = Decided::new(actor, subject, call, facts, ruling, observed);
    match decision {
        Decision::Allow if !observed && decided.call.entry().consults() => {
            Verdict::Consult(Consultation::new(decided))
        }
        Decision::Allow => Verdict::Allow(Clearance::new(decided)),
        Decision::Ask => Verdict::Ask(Ask::new(decided)),
        Decision::Deny => Verdict::Deny(Denial::new(decided)),
    }
}

/// What no evidence is given for, whatever policies say.
fn unfit(subject: &Subject, call: &Call, facts: &Facts) -> Option<Ruling> {
    if !call.is_checked() {
        return Some(Ruling::deny(Code::DefinitionUnseen, "no definition is pinned"));
    }
    let task = facts.task.as_ref();
    if subject.task != task.map(|task| task.id) {
        return Some(Ruling::undecidable("the task of the token is not the task of the facts"));
    }
    None
}

/// The same evaluation without evidence, for `check`, `tests:` and `why`. The one caller of
/// Cedar's `Authorizer`.
#[must_use]
pub fn evaluate(subject: &Subject, call: &Call, facts: &Facts) -> Ruling {
    evaluate_with(&call.slice().set, subject, call, facts)
}

/// The evaluation of [`evaluate`] over a given set of rules.
pub(crate) fn evaluate_with(
    set: &RuleSet,
    subject: &Subject,
    call: &Call,
    facts: &Facts,
) -> Ruling {
    let slice = call.slice();
    if subject.version != slice.principal.version || subject.agent != slice.principal.name {
        return Ruling::undecidable("the slice belongs to another agent or version");
    }
    for task in facts.task.iter().chain(&facts.within) {
        if task.agent != *subject.origin() || task.user != subject.user {
            return Ruling::deny(Code::OutsideIntent, "the task is another agent's or user's");
        }
        if task.expires <= facts.now {
            return Ruling::deny(Code::OutsideIntent, "the task has expired");
        }
    }
    match passes(set, subject, call, facts) {
        Ok((first, second)) => {
            let ruling = rule(slice, facts, &first, second.as_ref());
            capped(subject, call, facts, required(call, facts, ruling))
        }
        Err(note) => Ruling::undecidable(note),
    }
}

/// What nobody proves to hold never reaches `high`: it is refused and not asked, whatever was approved, and an agent
/// that is observed does not pass either (S19).
fn capped(subject: &Subject, call: &Call, facts: &Facts, ruling: Ruling) -> Ruling {
    let high = match call.entry().action.risk {
        RiskTier::High | RiskTier::Prohibited => true,
        RiskTier::Low | RiskTier::Medium => false,
    };
    let stays = ruling.decision == Decision::Deny && !call.slice().agent.observes(facts.now);
    if subject.bound || facts.uncapped || !high || stays {
        return ruling;
    }
    let reason = Reason {
        id: "guard.bearer".to_owned(),
        path: crate::GENERATED_PATH.to_owned(),
        line: 0,
        sentence: "a token that is bound to no key reaches no high action".to_owned(),
    };
    let note = "the token is bound to nothing";
    Ruling { reasons: vec![reason], ..Ruling::deny(Code::BearerCapped, note) }
}

/// A call that nothing else denies is denied if something is missing that its action requires.
fn required(call: &Call, facts: &Facts, ruling: Ruling) -> Ruling {
    if ruling.decision == Decision::Deny {
        return ruling;
    }
    let params = facts.task.as_ref().and_then(|task| task.params.as_object());
    let held = |name: &str| {
        let given = params.and_then(|params| params.get(name)).or_else(|| call.object().get(name));
        given.is_some_and(|value| match value {
            Value::Null => false,
            Value::String(text) => !text.trim().is_empty(),
            Value::Bool(_)
            | Value::Integer(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => true,
        })
    };
    let missing = call.entry().action.before.iter().find_map(|before| match before {
        Before::Require(name) if !held(name) => Some((before, name)),
        Before::Require(_) | Before::DryRun(_) | Before::Pdp(_) | Before::Webhook(_) => None,
    });
    let Some((before, name)) = missing else { return ruling };
    let sentence =
        format!("it needs `{name}` among the task's parameters or the arguments, and not empty");
    Ruling { note: None, ..Ruling::hook(call, before, Code::RequirementMissing, sentence) }
}

/// One evaluation without errors.
struct Pass {
    allowed: bool,
    forbids: Vec<Arc<Rule>>,
}

/// Without and, where it can change anything, with approval.
fn passes(
    set: &RuleSet,
    subject: &Subject,
    call: &Call,
    facts: &Facts,
) -> Result<(Pass, Option<Pass>), String> {
    let slice = call.slice();
    let intent = slice.published.intents.allow(facts, slice.number, slice.grant, call.object());
    let served = slice.principal.serves(subject.user.as_ref(), &facts.user_groups);
    let entitled = slice.entitles(subject.user.as_ref(), &facts.user_groups);
    let holds = intent.is_ok() && served && entitled && call.extra.is_empty();
    let conditions = set.conditions(holds);
    complete(conditions, slice)?;
    let reads = &conditions.reads;
    let pairs = context::build(subject, call, facts, intent.is_ok(), reads)
        .map_err(|error| error.to_string())?;
    let lifts = reads.name("approved");
    let again = lifts.then(|| pairs.clone());
    let context = |pairs, approved| {
        context::with_approved(pairs, approved, reads).map_err(|error| error.to_string())
    };
    let pass = |context| pass(set, conditions, slice, context);
    let first = pass(context(pairs, false)?)?;
    let second = match again.filter(|_| !first.allowed) {
        Some(pairs) => Some(pass(context(pairs, true)?)?),
        None => None,
    };
    Ok((first, second))
}

/// Every entity that scopes and conditions can name must be there, and every policy in the set.
fn complete(conditions: &Conditions, slice: &Slice) -> Result<(), String> {
    if conditions.broken {
        return Err("a policy of the slice could not be added".into());
    }
    match &slice.missing {
        Some(missing) => Err(format!("entity {missing} is missing")),
        None => Ok(()),
    }
}

fn pass(
    set: &RuleSet,
    conditions: &Conditions,
    slice: &Slice,
    context: Context,
) -> Result<Pass, String> {
    let request = request(slice, context)?;
    let (allowed, decided) = ask_cedar(&request, &conditions.policies, &slice.entities)?;
    if allowed {
        return Ok(Pass { allowed, forbids: Vec::new() });
    }
    // Cedar names them in no order; here they have the slice's.
    let forbids = set.named(&decided).ok_or("a policy decided that is not of the slice")?;
    Ok(Pass { allowed, forbids })
}

/// The request of a slice; its types are the schema's by construction, which tests check.
pub(crate) fn request(slice: &Slice, context: Context) -> Result<Request, String> {
    let entry = &slice.entry;
    let (action, operation) = (entry.action_uid.clone(), entry.operation_uid.clone());
    Request::new(slice.principal.uid.clone(), action, operation, context, None)
        .map_err(|error| error.to_string())
}

/// Whether Cedar allows, and by which policies. Any evaluation error is an error here: Cedar
/// itself skips the policy, so a forbid that fails would allow.
fn ask_cedar(
    request: &Request,
    policies: &PolicySet,
    entities: &Entities,
) -> Result<(bool, Vec<cedar_policy::PolicyId>), String> {
    let response = Authorizer::new().is_authorized(request, policies, entities);
    if let Some(error) = response.diagnostics().errors().next() {
        return Err(error.to_string());
    }
    let allowed = response.decision() == cedar_policy::Decision::Allow;
    Ok((allowed, response.diagnostics().reason().cloned().collect()))
}

/// The ruling of two passes (S4).
fn rule(slice: &Slice, facts: &Facts, first: &Pass, second: Option<&Pass>) -> Ruling {
    if first.allowed {
        return Ruling::allow();
    }
    match second {
        Some(second) if second.allowed => match &facts.approval {
            Some(approval) if signed(slice, first, approval) => {
                Ruling { approved: true, ..Ruling::allow() }
            }
            Some(_) | None => ask(slice, first),
        },
        Some(pass) => deny(&pass.forbids),
        None => deny(&first.forbids),
    }
}

/// Whether everything that forbids without approval was signed, by policy and by approval rule.
fn signed(slice: &Slice, first: &Pass, approval: &crate::Approval) -> bool {
    first.forbids.iter().all(|rule| {
        let met = slice.asked(rule).is_some_and(|asked| approval.rules.contains(&asked));
        met && approval.reasons.contains(&rule.id)
    })
}

fn ask(slice: &Slice, first: &Pass) -> Ruling {
    let rules: Option<BTreeSet<Name>> =
        first.forbids.iter().map(|rule| slice.asked(rule)).collect();
    let Some(rules) = rules.filter(|rules| !rules.is_empty()) else {
        return Ruling::undecidable("an approval lifts a policy that names no approval rule");
    };
    Ruling {
        decision: Decision::Ask,
        code: Some(Code::Asked),
        reasons: first.forbids.iter().map(|rule| Reason::of(rule)).collect(),
        rules,
        approved: false,
        note: None,
    }
}

fn deny(forbids: &[Arc<Rule>]) -> Ruling {
    let is = |id: &str| forbids.iter().any(|rule| rule.id == id);
    let code = if forbids.is_empty() {
        Code::NotGranted
    } else if is("guard.users") {
        Code::UserNotServed
    } else if is("guard.intent") {
        Code::OutsideIntent
    } else {
        Code::Forbidden
    };
    Ruling {
        decision: Decision::Deny,
        code: Some(code),
        reasons: forbids.iter().map(|rule| Reason::of(rule)).collect(),
        rules: BTreeSet::new(),
        approved: false,
        note: None,
    }
}

impl Reason {
    pub(crate) fn of(rule: &Rule) -> Reason {
        Reason {
            id: rule.id.clone(),
            path: rule.path.clone(),
            line: rule.line,
            sentence: rule.sentence.clone(),
        }
    }
}

impl Ruling {
    fn allow() -> Ruling {
        Ruling {
            decision: Decision::Allow,
            code: None,
            reasons: Vec::new(),
            rules: BTreeSet::new(),
            approved: false,
            note: None,
        }
    }

    pub(crate) fn deny(code: Code, note: impl Into<String>) -> Ruling {
        Ruling {
            decision: Decision::Deny,
            code: Some(code),
            reasons: Vec::new(),
            rules: BTreeSet::new(),
            approved: false,
            note: Some(note.into()),
        }
    }

    /// A denial by what stands in `before:` of the action.
    pub(crate) fn hook(call: &Call, before: &Before, code: Code, sentence: String) -> Ruling {
        let line = call.entry().action.line;
        let path = crate::DECLARED_PATH.to_owned();
        let reason = Reason { id: before.to_string(), path, line, sentence };
        Ruling { reasons: vec![reason], note: None, ..Ruling::deny(code, "") }
    }

    fn undecidable(note: impl Into<String>) -> Ruling {
        Ruling::deny(Code::Undecidable, note)
    }
}
