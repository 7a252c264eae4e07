//! What people are told of a decision.

use super::world::{NOW, Try, World, action, attempt, base, entry_of, name};
use crate::{Compiled, Question, why};
use expect_test::{Expect, expect, expect_file};
use model::declared::{ActionPattern, Case};
use model::{Decision, RiskTier};

fn told(compiled: &Compiled, one: &Try) -> String {
    let call = one.call(compiled).unwrap();
    let explanation = why(compiled, &one.subject(compiled), &call, &one.facts(compiled));
    let mut text = format!("{}: {}\n", explanation.decision, explanation.sentence);
    for finding in explanation.findings {
        let reason = finding.reason;
        text += &format!("  {} {}:{} {}\n", reason.id, reason.path, reason.line, reason.sentence);
        for condition in finding.conditions {
            text += &format!(
                "    {} {{ {} }} = {}\n",
                condition.clause, condition.text, condition.outcome
            );
            for (path, value) in condition.values {
                text += &format!("      {path} = {value}\n");
            }
        }
    }
    text
}

fn check(one: &Try, expected: Expect) {
    expected.assert_eq(&told(base(), one));
}

#[test]
fn the_policy_its_place_and_the_condition() {
    let named = World::new().with(|d| {
        let only = vec![ActionPattern::Exact(action("directory.reset_password"))];
        d.agents.get_mut(&name("helpdesk")).unwrap().only = Some(only);
    });
    let admin = attempt("helpdesk", "directory.reset_password").args(r#"{"user":"adm-eve"}"#);
    expect![[r#"
        deny: Admin accounts are reset by people, never by agents
          no-admin-resets policies/a.cedar:1 Admin accounts are reset by people, never by agents
            when { context.args.user like "adm-*" } = true
              context.args.user = "adm-eve"
    "#]]
    .assert_eq(&told(&named.compile(), &admin));
    check(
        &attempt("helpdesk", "tickets.read").user(Some("eve")),
        expect![[r#"
        deny: the agent does not serve this user
          guard.users (generated):0 the agent does not serve this user
            when { principal has serves_group } = true
            unless { context.user.groups.contains(principal.serves_group) } = false
              context.user.groups = []
              principal.serves_group = "staff"
    "#]],
    );
    check(
        &attempt("cashier", "payments.quote").user(None),
        expect![[r#"
        deny: the agent does not serve this user
          guard.users (generated):0 the agent does not serve this user
            when { principal has serves_user } = true
            unless { context has user } = false
    "#]],
    );
    check(
        &attempt("helpdesk", "tickets.update").args(r#"{"cost":900,"id":"1"}"#).at_night(),
        expect![[r#"
            ask: policy `at-night` decides so; policy `costly` decides so
              at-night policies/a.cedar:6 policy `at-night` decides so
                when { context.hour < 5 } = true
                  context.hour = 1
                unless { context.approved } = false
                  context.approved = false
              costly policies/a.cedar:12 policy `costly` decides so
                when { context.args has cost } = true
                when { context.args.cost.greaterThan(decimal("100.0")) } = true
                  context.args.cost = decimal("900.0")
                unless { context.approved } = false
                  context.approved = false
        "#]],
    );
    check(
        &attempt("helpdesk", "tickets.read").args(r#"{"bcc":1,"id":"1"}"#),
        expect![[r#"
        deny: an argument is not in the action's schema
          guard.extra (generated):0 an argument is not in the action's schema
            unless { context.extra.isEmpty() } = false
              context.extra = ["bcc"]
    "#]],
    );
    check(
        &attempt("helpdesk", "hr.salaries"),
        expect![[r#"
        deny: the agent's boundary denies a data class that the action touches
          guard.data (generated):0 the agent's boundary denies a data class that the action touches
            when { principal.deny_data.containsAny(resource.data) } = true
              principal.deny_data = ["hr.pay"]
              resource.data = ["hr.pay"]
    "#]],
    );
    check(
        &attempt("helpdesk", "tickets.read"),
        expect![[r#"
        allow: the action is granted, and nothing forbids it
    "#]],
    );
}

#[test]
fn the_missing_grant() {
    check(
        &attempt("narrow", "tickets.update"),
        expect![[r#"
            deny: no grant: `only:` of agent `narrow` (ambit.yaml:12) does not name tickets.update
              narrow-may-update policies/a.cedar:18 policy `narrow-may-update` decides so
                when { context.args has urgent } = false
        "#]],
    );
    check(
        &attempt("narrow", "tickets.close"),
        expect![[r#"
        deny: no grant: `only:` of agent `narrow` (ambit.yaml:12) does not name tickets.close
    "#]],
    );
    check(
        &attempt("helpdesk", "tickets.purge"),
        expect![[r#"
        deny: no grant: `tickets.purge` is high, agent `helpdesk` (ambit.yaml:10) has no `only:`, and no intent names it exactly
    "#]],
    );
    check(
        &attempt("narrow", "tickets.purge"),
        expect![[r#"
        deny: no grant: `tickets.purge` is high, and neither `only:` of agent `narrow` (ambit.yaml:12) nor an intent names it exactly
    "#]],
    );
}

#[test]
fn what_the_intent_wants() {
    check(
        &attempt("helpdesk", "tickets.read").intent("resolve", r#"{"ticket":"9"}"#),
        expect![[r#"
        deny: intent `resolve` wants argument `id` to be "9", and it is "4711"
          guard.intent (generated):0 the task's intent does not allow this action with these arguments
            unless { context.intent_ok } = false
              context.intent_ok = false
    "#]],
    );
    check(
        &attempt("helpdesk", "tickets.close").intent("resolve", r#"{"ticket":"9"}"#),
        expect![[r#"
        deny: intent `resolve` does not allow this action
          guard.intent (generated):0 the task's intent does not allow this action with these arguments
            unless { context.intent_ok } = false
              context.intent_ok = false
    "#]],
    );
    check(
        &attempt("clerk", "payments.transfer"),
        expect![[r#"
        deny: the action is granted only under a task of an intent that names it exactly
          guard.intent (generated):0 the task's intent does not allow this action with these arguments
            unless { context.intent_ok } = false
              context.intent_ok = false
    "#]],
    );
}

fn asked(agent: &str, id: &str) -> String {
    let compiled = base();
    let one = attempt(agent, id);
    let question = Question {
        agent: one.agent,
        user: one.user,
        action: one.action,
        arguments: one.arguments,
        intent: None,
    };
    let explanation = compiled.check(&question, NOW);
    let ids: Vec<_> = explanation.findings.iter().map(|f| f.reason.id.as_str()).collect();
    format!("{} [{}] {}", explanation.decision, ids.join(" "), explanation.sentence)
}

#[test]
fn what_does_not_exist_for_the_agent() {
    let cases = [
        (
            "mail.send",
            "deny [guard.boundary] outside boundary `support` of agent `helpdesk` (ambit.yaml:10)",
        ),
        ("tickets.wipe", "deny [guard.prohibited] `tickets.wipe` is prohibited (ambit.yaml:50)"),
        ("tickets.nothing", "deny [] `tickets.nothing` is not in the catalog"),
        ("tickets.read", "allow [] the action is granted, and nothing forbids it"),
    ];
    for (id, expected) in cases {
        assert_eq!(asked("helpdesk", id), expected);
    }
}

#[test]
fn declared_tests_run() {
    let case = |id: &str, expect: Decision, reason: Option<&str>, line: u32| Case {
        agent: name("helpdesk"),
        user: Some(name("ana").into()),
        action: action(id),
        args: br#"{"id":"4711"}"#.to_vec(),
        intent: None,
        expect,
        reason: reason.map(str::to_owned),
        line,
    };
    let mut constrained = case("tickets.read", Decision::Deny, Some("guard.intent"), 8);
    constrained.intent = Some((name("resolve"), br#"{"ticket":"9"}"#.to_vec()));
    let world = World::new().with(|d| {
        d.tests = vec![
            case("tickets.read", Decision::Allow, None, 1),
            case("tickets.close", Decision::Ask, Some("guard.approval"), 2),
            case("tickets.close", Decision::Ask, Some("guard.high"), 3),
            case("tickets.wipe", Decision::Deny, Some("guard.prohibited"), 4),
            case("mail.send", Decision::Deny, Some("guard.boundary"), 5),
            case("tickets.purge", Decision::Deny, Some("grant"), 6),
            case("tickets.read", Decision::Deny, None, 7),
            constrained,
        ];
    });
    let results = world.compile().run_tests(NOW);
    let failed: Vec<u32> = results.iter().filter(|r| !r.passed).map(|r| r.line).collect();
    assert_eq!((results.len(), failed), (8, vec![3, 7]));
}

#[test]
fn generated_text() {
    let world = World::new().with(|d| entry_of(d, "tickets.purge").risk = RiskTier::High);
    let compiled = &world.compile();
    let text = compiled.generated();
    expect_file!["../../tests/golden/generated.cedar"].assert_eq(&text);
    text.parse::<cedar_policy::PolicySet>().unwrap();
}
