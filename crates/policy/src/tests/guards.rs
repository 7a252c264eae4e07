//! Each guardrail stops something, and with that guardrail off the same thing passes.

use super::world::{Try, World, attempt, base, entry_of, name, outcome};
use crate::decide::evaluate_with;
use crate::slice::{Conditions, RuleSet};
use crate::{Widens, narrows};
use model::{PartyName, RiskTier};
use std::sync::Arc;

/// The outcome, and the one with a rule taken out of the slice.
fn check(world: &World, one: &Try, guard: &str, with: &str, without: &str) {
    let compiled = &world.compile();
    assert_eq!(one.outcome(compiled), with);
    let call = one.call(compiled).unwrap();
    let rules = call.slice().set.rules.iter().filter(|rule| rule.id != guard).cloned();
    let rules: Vec<_> = rules.collect();
    let conditions = Arc::new(Conditions::of(&rules));
    let set = RuleSet { ordinary: Arc::clone(&conditions), conditions, rules: rules.into() };
    let (subject, facts) = (one.subject(compiled), one.facts(compiled));
    let ruling = evaluate_with(&set, &subject, &call, &facts);
    assert_eq!(outcome(&ruling), without, "without {guard}");
}

#[test]
fn each_guard_alone_stops() {
    let world = World::new();
    let extra = attempt("helpdesk", "tickets.read").args(r#"{"id":"1","bcc":"x"}"#);
    let night = attempt("helpdesk", "tickets.update").at_night();
    let cases = [
        (attempt("helpdesk", "tickets.close"), "guard.approval", "ask leads: guard.approval"),
        (attempt("cashier", "payments.transfer"), "guard.high", "ask default: guard.high"),
        (
            attempt("helpdesk", "tickets.read").user(Some("eve")),
            "guard.users",
            "deny user_not_served: guard.users",
        ),
        (
            attempt("helpdesk", "tickets.read").user(None),
            "guard.users",
            "deny user_not_served: guard.users",
        ),
        (
            attempt("cashier", "payments.quote").user(Some("eve")),
            "guard.users",
            "deny user_not_served: guard.users",
        ),
        (
            attempt("narrow", "tickets.read").user(Some("ana")),
            "guard.users",
            "deny user_not_served: guard.users",
        ),
        (
            attempt("helpdesk", "tickets.read").intent("resolve", r#"{"ticket":"9"}"#),
            "guard.intent",
            "deny outside_intent: guard.intent",
        ),
        (extra, "guard.extra", "deny forbidden: guard.extra"),
        (attempt("helpdesk", "hr.salaries"), "guard.data", "deny forbidden: guard.data"),
        (night, "at-night", "ask leads: at-night"),
    ];
    for (one, guard, with) in &cases {
        check(&world, one, guard, with, "allow");
    }
    let granted = attempt("helpdesk", "tickets.read");
    check(&world, &granted, "grant", "allow", "deny not_granted: ");
}

#[test]
fn the_rights_of_the_human_stop_where_any_are_stated() {
    let stated = |group: &'static str| {
        World::new().with(move |d| {
            let all = model::declared::ActionPattern::All(name("tickets"));
            d.rights.insert(name(group), [all].into());
        })
    };
    let one = attempt("helpdesk", "tickets.read");
    check(&stated("leads"), &one, "guard.rights", "deny forbidden: guard.rights", "allow");
    assert_eq!(one.outcome(&stated("staff").compile()), "allow");
}

/// The outcome in the world, and in a twin that differs in one declared word.
#[track_caller]
fn twin(one: &Try, here: &str, change: impl FnOnce(&mut model::declared::Declared), there: &str) {
    assert_eq!(one.outcome(base()), here);
    assert_eq!(one.outcome(&World::new().with(change).compile()), there);
}

#[test]
fn static_guards_follow_the_declaration() {
    twin(
        &attempt("helpdesk", "tickets.wipe"),
        "none",
        |d| entry_of(d, "tickets.wipe").risk = RiskTier::Medium,
        "allow",
    );
    twin(
        &attempt("helpdesk", "mail.send"),
        "none",
        |d| {
            d.boundaries.get_mut(&name("support")).unwrap().upstreams.insert(name("mail"));
        },
        "allow",
    );
    twin(
        &attempt("helpdesk", "hr.salaries"),
        "deny forbidden: guard.data",
        |d| d.boundaries.get_mut(&name("support")).unwrap().deny_data.clear(),
        "allow",
    );
    twin(
        &attempt("helpdesk", "tickets.purge"),
        "deny not_granted: ",
        |d| entry_of(d, "tickets.purge").risk = RiskTier::Medium,
        "allow",
    );
    twin(
        &attempt("narrow", "tickets.close"),
        "deny not_granted: ",
        |d| d.agents.get_mut(&name("narrow")).unwrap().only = None,
        "ask leads: guard.approval",
    );
    twin(
        &attempt("narrow", "tickets.read").user(Some("ana")),
        "deny user_not_served: guard.users",
        |d| {
            let users = Some(PartyName::Group(name("staff")));
            d.agents.get_mut(&name("narrow")).unwrap().users = users;
        },
        "allow",
    );
}

#[test]
fn a_wildcard_never_covers_a_high_action() {
    let only = |text: &str| {
        let text = text.to_owned();
        World::new().with(move |d| {
            let pattern = match text.strip_suffix(".*") {
                Some(upstream) => model::declared::ActionPattern::All(name(upstream)),
                None => model::declared::ActionPattern::Exact(super::world::action(&text)),
            };
            d.agents.get_mut(&name("helpdesk")).unwrap().only = Some(vec![pattern]);
        })
    };
    let one = attempt("helpdesk", "tickets.purge");
    assert_eq!(one.outcome(&only("tickets.*").compile()), "deny not_granted: ");
    assert_eq!(one.outcome(&only("tickets.purge").compile()), "ask default: guard.high");
}

#[test]
fn an_intent_grants_a_high_action_under_its_task_only() {
    let compiled = base();
    let one = attempt("clerk", "payments.transfer");
    let cases = [
        (one.clone(), "deny outside_intent: guard.intent"),
        (one.clone().intent("browse", "{}"), "deny outside_intent: guard.intent"),
        (one.clone().intent("pay", r#"{"payee":"eve"}"#), "deny outside_intent: guard.intent"),
        (one.clone().intent("pay", "{}"), "deny outside_intent: guard.intent"),
        (one.intent("pay", r#"{"payee":"bob"}"#), "ask default: guard.high"),
    ];
    for (one, expected) in cases {
        assert_eq!(one.outcome(compiled), expected);
    }
    // Named in an intent, a wildcard beside it still covers what is not high.
    let quote = attempt("clerk", "payments.quote").intent("pay", r#"{"payee":"eve"}"#);
    assert_eq!(quote.outcome(compiled), "allow");
    let purge = attempt("helpdesk", "tickets.purge").intent("browse", "{}");
    assert_eq!(purge.outcome(compiled), "deny outside_intent: guard.intent");
}

#[test]
fn a_task_of_another_agent_or_time_is_no_task() {
    let compiled = base();
    let one = attempt("helpdesk", "tickets.read").intent("resolve", r#"{"ticket":"4711"}"#);
    assert_eq!(one.outcome(compiled), "allow");
    let (subject, call, facts) =
        (one.subject(compiled), one.call(compiled).unwrap(), one.facts(compiled));
    let mut task = facts.task.as_deref().unwrap().clone();
    let mut check = |change: &dyn Fn(&mut crate::TaskFacts)| {
        let before = task.clone();
        change(&mut task);
        let facts = crate::Facts { task: Some(std::sync::Arc::new(task.clone())), ..facts.clone() };
        let ruling = crate::evaluate(&subject, &call, &facts);
        task = before;
        outcome(&ruling)
    };
    assert_eq!(check(&|_| ()), "allow");
    assert_eq!(check(&|task| task.agent = name("clerk")), "deny outside_intent: ");
    assert_eq!(check(&|task| task.user = None), "deny outside_intent: ");
    assert_eq!(check(&|task| task.expires = super::world::NOW), "deny outside_intent: ");
}

#[test]
fn tasks_around_a_task_bound_what_it_reaches() {
    let compiled = base();
    let inner = attempt("helpdesk", "tickets.read").intent("resolve", r#"{"ticket":"4711"}"#);
    let around = |intent: &str, params: &str, change: &dyn Fn(&mut crate::TaskFacts)| {
        let (subject, call) = (inner.subject(compiled), inner.call(compiled).unwrap());
        let other = inner.clone().intent(intent, params).facts(compiled);
        let mut task = other.task.as_deref().unwrap().clone();
        task.id = model::TaskId(8);
        change(&mut task);
        let within = vec![Arc::new(task)];
        let facts = crate::Facts { within, ..inner.facts(compiled) };
        outcome(&crate::evaluate(&subject, &call, &facts))
    };
    let check = |intent, params, expected: &str| {
        assert_eq!(around(intent, params, &|_| ()), expected, "{intent} {params}");
    };
    check("resolve", r#"{"ticket":"4711"}"#, "allow");
    check("resolve", r#"{"ticket":"9"}"#, "deny outside_intent: guard.intent");
    check("pay", r#"{"payee":"bob"}"#, "deny outside_intent: guard.intent");
    let same =
        |change: &dyn Fn(&mut crate::TaskFacts)| around("resolve", r#"{"ticket":"4711"}"#, change);
    assert_eq!(same(&|task| task.intent = None), "allow");
    assert_eq!(same(&|task| task.agent = name("clerk")), "deny outside_intent: ");
    assert_eq!(same(&|task| task.user = None), "deny outside_intent: ");
    assert_eq!(same(&|task| task.expires = super::world::NOW), "deny outside_intent: ");
}

#[test]
fn a_sub_task_names_no_value_that_its_task_does_not() {
    let compiled = base();
    let one = attempt("helpdesk", "tickets.read").intent("resolve", r#"{"ticket":"4711"}"#);
    let parent = one.facts(compiled).task.as_deref().unwrap().clone();
    let check = |change: &dyn Fn(&mut crate::TaskFacts), expected: Result<(), Widens>| {
        let mut child = parent.clone();
        change(&mut child);
        assert_eq!(narrows(&child, &parent), expected);
    };
    let params = |text: &str| canonical::parse(text.as_bytes(), &canonical::Limits::FRAME).unwrap();
    check(&|_| (), Ok(()));
    check(&|task| task.intent = Some(name("browse")), Ok(()));
    check(&|task| task.params = params("{}"), Ok(()));
    let widens = |param: &str| Err(Widens::Param(param.to_owned()));
    check(&|task| task.params = params(r#"{"ticket":"9"}"#), widens("ticket"));
    check(&|task| task.params = params(r#"{"payee":"eve","ticket":"4711"}"#), widens("payee"));
    check(&|task| task.agent = name("clerk"), Err(Widens::Agent));
    check(&|task| task.user = None, Err(Widens::User));
    check(
        &|task| task.expires = task.expires.after(model::Duration::seconds(1)),
        Err(Widens::Expiry),
    );
    check(&|task| task.trigger.trust = model::InputTrust::Human, Err(Widens::Trigger));
    let bound = crate::TaskFacts { instance: Some("a".into()), ..parent.clone() };
    assert_eq!(narrows(&parent, &bound), Err(Widens::Instance));
    assert_eq!(narrows(&bound, &parent), Ok(()));
}

#[test]
fn who_opened_a_task_and_what_set_it_off_are_facts() {
    let policy = |condition: &str| {
        format!(
            "@id(\"p\") forbid (principal, action, resource) when {{ context has task && {condition} }};"
        )
    };
    let check = |condition: &str, expected: &str| {
        let compiled = &World::new().policy(&policy(condition)).compile();
        let one = attempt("helpdesk", "tickets.read").intent("resolve", r#"{"ticket":"4711"}"#);
        assert_eq!(one.outcome(compiled), expected, "{condition}");
    };
    check(r#"context.task.opened_by == "orchestrator""#, "deny forbidden: p");
    check(r#"context.task.opened_by == "agent""#, "allow");
    check(r#"context.task.input_trust == "untrusted""#, "deny forbidden: p");
    check(r#"context.task.input_trust == "human""#, "allow");
    check(r#"context.task.trigger_kind == "message""#, "deny forbidden: p");
}

#[test]
fn a_permit_by_hand_grants_no_high_action() {
    let permit = r#"@id("all") permit (principal, action, resource);"#;
    let compiled = &World::new().policy(permit).compile();
    let cases = [
        ("narrow", "tickets.update", "allow"),
        ("narrow", "tickets.purge", "deny not_granted: "),
        ("narrow", "directory.reset_password", "deny not_granted: "),
        ("narrow", "mail.send", "none"),
        ("narrow", "tickets.wipe", "none"),
        ("narrow", "hr.salaries", "deny forbidden: guard.data"),
    ];
    for (agent, id, expected) in cases {
        assert_eq!(attempt(agent, id).outcome(compiled), expected, "{id}");
    }
}

#[test]
fn what_nobody_proves_to_hold_never_reaches_high() {
    let mut world = World::new();
    let rules: &[&str] = &["default"];
    let pay = attempt("cashier", "payments.transfer");
    let check = |world: &World, one: &Try, bound: bool, uncapped: bool, expected: &str| {
        let compiled = &world.compile();
        let subject = crate::Subject { bound, ..one.subject(compiled) };
        let facts = crate::Facts { uncapped, ..one.facts(compiled) };
        let ruling = crate::evaluate(&subject, &one.call(compiled).unwrap(), &facts);
        assert_eq!(outcome(&ruling), expected);
        // Observing an agent lets pass what has no note.
        assert_eq!(ruling.note.is_some(), ruling.code == Some(model::Code::BearerCapped));
    };
    let capped = "deny bearer_capped: guard.bearer";
    check(&world, &pay, true, false, "ask default: guard.high");
    check(&world, &pay, false, false, capped);
    check(&world, &pay, false, true, "ask default: guard.high");
    let approved = pay.approved(&["guard.high"], rules);
    check(&world, &approved, true, false, "allow");
    check(&world, &approved, false, false, capped);
    check(&world, &approved, false, true, "allow");
    let medium = attempt("cashier", "payments.quote");
    check(&world, &medium, false, false, "allow");

    // What another guard denies stays its denial, but for an agent that is observed, who would pass.
    let other = attempt("cashier", "payments.transfer").user(Some("eve"));
    check(&world, &other, false, false, "deny user_not_served: guard.users");
    let agent = world.declared.agents.get_mut(&name("cashier")).unwrap();
    agent.observe_until = Some(super::world::NOW.after(model::Duration::seconds(60)));
    check(&world, &other, false, false, capped);
}
