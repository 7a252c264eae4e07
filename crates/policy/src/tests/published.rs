//! What is published: versions, digests, sharing, lists.

use super::world::{World, action, attempt, base, entry_of, name};
use crate::subject_digest;
use model::{ActionId, Digest, RiskTier};
use std::sync::Arc;

fn version(world: &World, agent: &str) -> Digest {
    world.compile().agent(&name(agent)).unwrap().version
}

#[test]
fn a_version_is_its_block_and_the_definitions_it_reaches() {
    let world = World::new();
    let before = version(&world, "narrow");
    let same = |world: World| version(&world, "narrow") == before;
    assert!(same(world.clone().with(|d| d.agents.get_mut(&name("narrow")).unwrap().line = 99)));
    assert!(same(world.clone().schema("mail.send", r#"{"type":"object"}"#)), "out of reach");
    assert!(same(world.clone().schema(
        "tickets.update",
        r#"{"properties":{"id":{"type":"string"},"urgent":{"type":"boolean"},"cost":{"type":"number"}}}"#
    )));
    assert!(!same(
        world.clone().schema("tickets.read", r#"{"properties":{"id":{"type":"string"}}}"#)
    ));
    assert!(!same(world.clone().with(|d| {
        d.agents.get_mut(&name("narrow")).unwrap().purpose = "another".into();
    })));
    assert!(!same(world.with(|d| d.agents.get_mut(&name("narrow")).unwrap().only = None)));
}

#[test]
fn the_digest_is_of_the_policies() {
    let digest = |world: World| world.compile().digest();
    let before = digest(World::new());
    assert_eq!(before, digest(World::new().with(|d| entry_of(d, "tickets.read").line = 3)));
    let forbid = r#"@id("x") forbid (principal, action, resource) when { context.hour == 3 };"#;
    assert_ne!(before, digest(World::new().policy(forbid)));
}

#[test]
fn equal_slices_are_one_and_none_outlives_its_state() {
    let compiled = World::new().compile();
    let slice = |agent: &str, id: &str| {
        compiled.slice(&compiled.agent(&name(agent)).unwrap().version, &action(id)).unwrap()
    };
    let (one, two) = (slice("helpdesk", "tickets.read"), slice("clerk", "tickets.read"));
    assert!(Arc::ptr_eq(&one, &slice("helpdesk", "tickets.read")));
    assert!(!Arc::ptr_eq(&one, &two) && Arc::ptr_eq(&one.set.conditions, &two.set.conditions));
    let other = slice("helpdesk", "tickets.close");
    assert!(!Arc::ptr_eq(&one.set.conditions, &other.set.conditions));
    let weak = Arc::downgrade(&one);
    drop((one, two, compiled));
    assert!(weak.upgrade().is_none());
}

#[test]
fn it_is_shared_between_threads() {
    fn check<T: Send + Sync>() {}
    check::<crate::Compiled>();
    check::<crate::Slice>();
    check::<crate::Clearance>();
    check::<crate::Verdict>();
}

#[test]
fn lists_show_what_can_be_done() {
    let compiled = base();
    let visible = |agent: &str, upstream: &str| -> Vec<String> {
        let entries = compiled.visible(&name(agent), &name(upstream), model::Timestamp(0));
        entries.map(|entry| entry.id.to_string()).collect()
    };
    assert_eq!(visible("helpdesk", "tickets"), ["tickets.close", "tickets.read", "tickets.update"]);
    assert_eq!(visible("helpdesk", "hr"), ["hr.names"]);
    assert_eq!(visible("helpdesk", "mail"), [""; 0]);
    assert_eq!(visible("narrow", "tickets"), ["tickets.read", "tickets.update"]);
    assert_eq!(visible("clerk", "payments"), ["payments.quote", "payments.transfer"]);
    assert_eq!(visible("nobody", "tickets"), [""; 0]);
    let helpdesk = compiled.agent(&name("helpdesk")).unwrap();
    assert_eq!(compiled.version(&helpdesk.version), Some(&helpdesk.name));
    assert_eq!(compiled.version(&Digest([0; 32])), None);
}

#[test]
fn a_default_entry_covers_what_is_pinned_and_not_named() {
    let mut world = World::new();
    let schema = world.definitions[&action("tickets.read")].clone();
    world.definitions.insert(action("tickets.Search.v2/x"), schema);
    let one = attempt("helpdesk", "tickets.Search.v2/x");
    assert_eq!(one.outcome(&world.compile()), "none");
    let world = world.with(|d| {
        let tickets = d.upstreams.get_mut(&name("tickets")).unwrap();
        tickets.default_action = Some(super::world::entry(RiskTier::High));
    });
    let compiled = &world.compile();
    assert_eq!(one.outcome(compiled), "deny not_granted: ");
    assert!(compiled.entry(&one.action).unwrap().is_consequential());
    let read = compiled.entry(&action("tickets.read")).unwrap();
    assert!(!read.is_consequential());
    let unknown = ActionId::new(name("tickets"), "unknown").unwrap();
    assert!(compiled.entry(&unknown).is_none());
}

#[test]
fn what_is_not_fully_catalogued_is_consequential() {
    let world = World::new().with(|d| entry_of(d, "tickets.read").complete = false);
    assert!(world.compile().entry(&action("tickets.read")).unwrap().is_consequential());
}

#[test]
fn subjects_never_share_a_digest() {
    assert_eq!(
        subject_digest("agent", "helpdesk").to_string(),
        crate::digest::sha256(b"ambit-subject-v1\0agent\0helpdesk").to_string()
    );
    assert_ne!(subject_digest("agent", "a"), subject_digest("user", "a"));
}

#[test]
fn nothing_declared_is_nothing_allowed() {
    let compiled = crate::compile(&Default::default(), &Default::default()).unwrap();
    assert_eq!(compiled.catalog().count(), 0);
    assert!(compiled.generated().contains("@id(\"grant\")"));
}
