//! What Cedar does not promise: that nothing is missing, that an error denies, that less than
//! everything decides the same as everything.

use super::world::{Try, World, attempt, base, outcome};
use crate::decide::{evaluate_with, request};
use crate::reads::Reads;
use crate::slice::{self, Conditions, RuleSet, Slice};
use crate::{Call, Compiled, Facts, Subject, context, evaluate, schema};
use cedar_policy::{Entities, EntityUid, Request, Schema};
use model::{Code, Decision};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Many different things that are tried.
fn tries(compiled: &Compiled) -> Vec<Try> {
    let mut all = Vec::new();
    for agent in compiled.declared().agents.keys() {
        for entry in compiled.catalog() {
            let id = entry.id.to_string();
            let one = attempt(agent.as_str(), &id);
            for user in [None, Some("ana"), Some("eve")] {
                let one = one.clone().user(user);
                all.push(one.clone().at_night());
                all.push(one.clone().intent("resolve", r#"{"ticket":"4711"}"#));
                all.push(one.clone().intent("pay", r#"{"payee":"bob"}"#));
                all.push(one.approved(&["guard.high", "guard.approval"], &["default", "leads"]));
            }
        }
    }
    let full = r#"{"cost":120.5,"extra":1,"filter":{},"hours":3,"id":"4711","note":"n",
        "owner":{"name":"o"},"status":"open","tags":["b","a"],"urgent":true}"#;
    all.push(attempt("helpdesk", "tickets.update").args(full));
    all.push(attempt("narrow", "tickets.update").args(full));
    all
}

fn each(compiled: &Compiled, mut check: impl FnMut(&Subject, &Call, &Facts, &Try)) {
    let mut checked = 0;
    for one in tries(compiled) {
        if let Some(call) = one.call(compiled) {
            check(&one.subject(compiled), &call, &one.facts(compiled), &one);
            checked += 1;
        }
    }
    assert!(checked > 200, "only {checked} were tried");
}

#[test]
fn a_slice_decides_as_all_policies_do() {
    let permit = r#"
        @id("operators") permit (principal in Group::"owner:group:owners",
            action in [Action::"risk:low", Action::"upstream:hr"], resource)
        when { context.edge == "mcp" };
        @id("mcp") forbid (principal is AgentVersion in Group::"boundary:finance",
            action in Action::"effect:write", resource == Operation::"tickets.close")
        unless { context has task && context.task.trigger != "" };"#;
    let compiled = &World::new().policy(permit).compile();
    let scan = compiled.scan();
    each(compiled, |subject, call, facts, one| {
        let (slice, all) = (evaluate(subject, call, facts), scan.evaluate(subject, call, facts));
        let ids = |ruling: &crate::Ruling| -> BTreeSet<String> {
            ruling.reasons.iter().map(|reason| reason.id.clone()).collect()
        };
        assert_eq!(slice.decision, all.decision, "{} {}", one.agent, one.action);
        assert_eq!((ids(&slice), slice.rules), (ids(&all), all.rules));
    });
}

#[test]
fn no_more_context_than_is_read_decides_the_same() {
    let compiled = base();
    each(compiled, |subject, call, facts, _| {
        let rules = call.slice().set.rules.clone();
        let conditions = Conditions { reads: Reads::everything(), ..Conditions::of(&rules) };
        let conditions = Arc::new(conditions);
        let set = RuleSet { rules, ordinary: Arc::clone(&conditions), conditions };
        assert_eq!(evaluate(subject, call, facts), evaluate_with(&set, subject, call, facts));
    });
}

#[test]
fn the_context_is_what_the_schema_says() {
    let compiled = base();
    let published = &compiled.published;
    let json = schema::generate(&published.declared, &published.catalog);
    let schema = Schema::from_json_value(json).unwrap();
    each(compiled, |subject, call, facts, _| {
        let everything = Reads::everything();
        let pairs = context::build(subject, call, facts, true, &everything).unwrap();
        let context = context::with_approved(pairs, true, &everything).unwrap();
        let own = request(call.slice(), context.clone()).unwrap();
        let parts = [own.principal(), own.action(), own.resource()].map(|uid| uid.unwrap().clone());
        let [principal, action, resource] = parts;
        Request::new(principal, action, resource, context, Some(&schema)).unwrap();
    });
}

/// The same call over fewer entities.
fn without(call: &Call, one: &Try, removed: &BTreeSet<EntityUid>) -> Call {
    let of = call.slice();
    let entities = Entities::clone(&of.entities).remove_entities(removed.iter().cloned());
    let entities = Arc::new(entities.unwrap());
    let slice = Slice {
        missing: slice::absent(&of.needed, &entities),
        published: Arc::clone(&of.published),
        agent: Arc::clone(&of.agent),
        principal: of.principal.clone(),
        entry: Arc::clone(&of.entry),
        number: of.number,
        grant: of.grant,
        set: of.set.clone(),
        // None are stated in this world.
        rights: None,
        entities,
        needed: of.needed.clone(),
    };
    Arc::new(slice).look_up(one.arguments.clone()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever entities are missing, nothing is allowed (or asked) that all of them would not.
    #[test]
    fn a_missing_entity_never_allows(seed in any::<u64>(), every in 2_u64..40, at in any::<prop::sample::Index>()) {
        thread_local! {
            static WORLD: (Compiled, Vec<Try>) = {
                let compiled = World::new().policy(
                    r#"@id("g") forbid (principal in Group::"boundary:support",
                        action in Action::"upstream:tickets", resource)
                        when { context.args.id == "4711" };"#).compile();
                let tries = tries(&compiled);
                (compiled, tries)
            };
        }
        WORLD.with(|(compiled, tries)| {
            let one = at.get(tries);
            let Some(call) = one.call(compiled) else { return Ok(()) };
            let (subject, facts) = (one.subject(compiled), one.facts(compiled));
            let all = evaluate(&subject, &call, &facts);
            let mut draw = seed | 1;
            let removed: BTreeSet<EntityUid> = call.slice().entities.iter().map(|e| e.uid()).filter(|_| {
                draw ^= draw << 13;
                draw ^= draw >> 7;
                draw ^= draw << 17;
                draw % every == 0
            }).collect();
            let fewer = evaluate(&subject, &without(&call, one, &removed), &facts);
            let touched = call.slice().needed.iter().any(|uid| removed.contains(uid));
            if touched {
                prop_assert_eq!(fewer.code, Some(Code::Undecidable));
            } else {
                prop_assert_eq!(fewer, all);
            }
            Ok(())
        })?;
    }
}

/// An entity that only a condition names.
#[test]
fn a_missing_literal_denies() {
    let text = r#"@id("other") forbid (principal, action == Action::"tickets.read", resource)
        when { Agent::"clerk" in Group::"boundary:finance" && context.hour == 3 };"#;
    let compiled = &World::new().policy(text).compile();
    let one = attempt("helpdesk", "tickets.read");
    let call = one.call(compiled).unwrap();
    let (subject, facts) = (one.subject(compiled), one.facts(compiled));
    assert_eq!(evaluate(&subject, &call, &facts).decision, Decision::Allow);
    for literal in ["clerk", "boundary:finance"] {
        let mut entities = call.slice().entities.iter().map(|entity| entity.uid());
        let uid = entities.find(|uid| uid.id().unescaped() == literal).unwrap();
        let fewer = without(&call, &one, &BTreeSet::from([uid]));
        assert_eq!(evaluate(&subject, &fewer, &facts).code, Some(Code::Undecidable));
    }
}

/// Each needed entity by itself.
#[test]
fn each_missing_entity_denies() {
    let compiled = base();
    let one = attempt("helpdesk", "tickets.read");
    let call = one.call(compiled).unwrap();
    let (subject, facts) = (one.subject(compiled), one.facts(compiled));
    assert_eq!(evaluate(&subject, &call, &facts).decision, Decision::Allow);
    let needed: Vec<String> = call.slice().needed.iter().map(ToString::to_string).collect();
    assert_eq!(needed.len(), 9, "{needed:?}");
    for uid in call.slice().needed.clone() {
        let fewer = without(&call, &one, &BTreeSet::from([uid.clone()]));
        let ruling = evaluate(&subject, &fewer, &facts);
        assert_eq!(ruling.code, Some(Code::Undecidable), "{uid}");
        assert_eq!(ruling.note, Some(format!("entity {uid} is missing")));
    }
}

#[test]
fn an_error_in_any_policy_denies() {
    let overflow = r#"@id("boom") forbid (principal, action == Action::"tickets.read", resource)
        when { context.args has hours && context.args.hours * 9223372036854775807 > 5 };"#;
    let permit = r#"@id("boom") permit (principal, action == Action::"tickets.read", resource)
        when { context.args has hours && context.args.hours * 9223372036854775807 > 5 };"#;
    for policy in [overflow, permit] {
        let compiled = &World::new().policy(policy).compile();
        let one = attempt("helpdesk", "tickets.read").args(r#"{"hours":1,"id":"1"}"#);
        let small = one.clone().args(r#"{"hours":0,"id":"1"}"#);
        let large = one.args(r#"{"hours":2,"id":"1"}"#);
        assert_eq!(small.outcome(compiled), "allow");
        assert_eq!(large.outcome(compiled), "deny undecidable: ");
        assert!(large.ruling(compiled).note.unwrap().contains("overflow"));
    }
    // The error wins over an approval and over another forbid.
    let compiled = &World::new().policy(overflow).compile();
    let one = attempt("helpdesk", "tickets.read").args(r#"{"extra":1,"hours":2,"id":"1"}"#);
    assert_eq!(one.outcome(compiled), "deny undecidable: ");
}

#[test]
fn a_text_too_long_to_be_checked_denies() {
    let like = r#"@id("secrets") forbid (principal, action == Action::"tickets.read", resource)
        when { context.args has note && context.args.note like "*secret*" };"#;
    let text = "x".repeat(64 * 1024 + 1);
    let one = attempt("helpdesk", "tickets.read").args(&format!(r#"{{"id":"1","note":"{text}"}}"#));
    // Only what a policy reads is refused for its length.
    assert_eq!(one.outcome(base()), "allow");
    assert_eq!(one.outcome(&World::new().policy(like).compile()), "deny undecidable: ");
    let short = attempt("helpdesk", "tickets.read").args(r#"{"id":"1","note":"a secret"}"#);
    assert_eq!(short.outcome(&World::new().policy(like).compile()), "deny forbidden: secrets");
}

#[test]
fn a_slice_of_another_version_decides_nothing() {
    let compiled = base();
    let one = attempt("helpdesk", "tickets.read");
    let call = one.call(compiled).unwrap();
    let mut subject = one.subject(compiled);
    subject.version = model::Digest([1; 32]);
    let ruling = evaluate(&subject, &call, &one.facts(compiled));
    assert_eq!(outcome(&ruling), "deny undecidable: ");
}
