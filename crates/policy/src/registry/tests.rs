//! Versions that differ in one part each: how the change is classed and what the rules make of it.

use super::*;
use model::{
    ActionId, Digest, Duration, Name, PartyName, Suspender,
    manifest::{Class, Evidence, Manifest, Review, Rule},
};
use std::collections::BTreeSet;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn action(text: &str) -> ActionId {
    ActionId::parse(text).unwrap()
}

fn snapshot() -> Snapshot {
    let reached = Reached { level: 3, definition: Some(Digest([1; 32])) };
    Snapshot {
        version: Digest([2; 32]),
        base: Digest([3; 32]),
        manifest: Some(Manifest {
            model: Some("acme/large@2026-01-01".into()),
            prompts: [("system".into(), "sha256:aa".into())].into(),
            tools: [(action("local.bash"), Some("sha256:bb".into()))].into(),
            integrations: [("slack".into(), "1.2".into())].into(),
            image: Some("sha256:cc".into()),
        }),
        reach: [(action("tickets.read"), reached)].into(),
    }
}

fn changed(change: impl FnOnce(&mut Snapshot)) -> (Vec<Change>, bool) {
    let (before, mut after) = (snapshot(), snapshot());
    change(&mut after);
    (changes(&before, &after), grows(&before, &after))
}

fn manifest(change: impl FnOnce(&mut Manifest)) -> (Vec<Change>, bool) {
    changed(|after| change(after.manifest.as_mut().unwrap()))
}

fn owner() -> PartyName {
    PartyName::parse("group:it").unwrap()
}

fn review() -> Review {
    Review {
        tools: Rule::Party(PartyName::parse("group:security").unwrap()),
        integrations: Rule::Party(PartyName::parse("group:network").unwrap()),
        model: Rule::Owner,
        prompt: Rule::Notify,
        image: Rule::Auto,
        every: Some(Duration::seconds(180 * 86_400)),
    }
}

/// Each kind of part: its class, how it is known, whether anything new is reached, what is demanded.
#[test]
fn each_change_is_classed_and_its_rule_acts() {
    let check = |(found, grown): (Vec<Change>, bool), class, evidence, grows, expected: &str| {
        let [one] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((one.class, one.evidence, grown), (class, evidence, grows), "{one:?}");
        let demanded = match demand(Some(&review()), &found, grown, &owner()) {
            Demand::Pass { how } => how.to_owned(),
            Demand::Review(parties) => {
                parties.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
            }
        };
        assert_eq!(demanded, expected, "{one:?}");
        // Without rules each change passes with a record.
        assert_eq!(demand(None, &found, grown, &owner()), Demand::Pass { how: "auto" });
    };
    let (declared, observed) = (Evidence::Declared, Evidence::Observed);
    let model = manifest(|parts| parts.model = Some("acme/larger@2026-02-02".into()));
    check(model, Class::Model, declared, false, "group:it");
    let prompt = manifest(|parts| drop(parts.prompts.insert("system".into(), "sha256:ab".into())));
    check(prompt, Class::Prompt, declared, false, "notify");
    let prompt = manifest(|parts| drop(parts.prompts.insert("style".into(), "sha256:ab".into())));
    check(prompt, Class::Prompt, declared, false, "notify");
    let integration = manifest(|parts| drop(parts.integrations.insert("jira".into(), "9".into())));
    check(integration, Class::Integration, declared, false, "group:network");
    let image = manifest(|parts| parts.image = None);
    check(image, Class::Image, declared, false, "auto");
    let built_in = manifest(|parts| drop(parts.tools.insert(action("local.edit"), None)));
    check(built_in, Class::Tools, declared, false, "group:security");
    let built_in = manifest(|parts| {
        drop(parts.tools.insert(action("local.bash"), Some("sha256:bc".into())));
    });
    check(built_in, Class::ToolDefinition, declared, false, "group:security");
    let more = Reached { level: 0, definition: None };
    let tool = changed(|after| {
        after.reach.insert(action("crm.export"), more);
    });
    check(tool, Class::Tools, observed, true, "group:security");
    let fewer = changed(|after| after.reach.clear());
    check(fewer, Class::Tools, observed, false, "notify");
    let further = changed(|after| {
        let other = Reached { level: 2, definition: Some(Digest([1; 32])) };
        after.reach.insert(action("tickets.read"), other);
    });
    check(further, Class::Tools, observed, false, "notify");
    let definition = changed(|after| {
        let other = Reached { level: 3, definition: Some(Digest([9; 32])) };
        after.reach.insert(action("tickets.read"), other);
    });
    check(definition, Class::ToolDefinition, observed, false, "group:security");
}

#[test]
fn the_strictest_rule_of_several_changes_holds() {
    let (found, grown) = manifest(|parts| {
        parts.model = None;
        parts.prompts.clear();
    });
    assert_eq!(found.len(), 2);
    let expected = Demand::Review(BTreeSet::from([owner()]));
    assert_eq!(demand(Some(&review()), &found, grown, &owner()), expected);
}

#[test]
fn who_answers_for_a_party() {
    let (dana, it) = (Name::new("dana").unwrap(), BTreeSet::from([Name::new("it").unwrap()]));
    let answers = |party: &str| Demand::answers(&PartyName::parse(party).unwrap(), &dana, &it);
    assert!(answers("user:dana") && answers("group:it"));
    assert!(!answers("user:eve") && !answers("group:security") && !answers("issuer:dana"));
}

#[test]
fn a_registration_is_read_as_it_was_written() {
    let by = || "uid 1".to_owned();
    let active = model::Lifecycle::active(by(), NOW);
    let draft = || model::Lifecycle::draft(by(), NOW, Duration::seconds(60));
    let rule = Suspender::Rule("review.every".into());
    let states = [
        draft(),
        draft().hand_in(by(), NOW).unwrap(),
        active.clone(),
        active.clone().suspend(Suspender::Person(by()), "drill".into(), NOW).unwrap(),
        draft().suspend(rule, "late".into(), NOW).unwrap(),
        active.decommission(by(), "done".into(), NOW).unwrap(),
    ];
    for state in states {
        let passed = Passed { snapshot: snapshot(), since: NOW, how: "first".into(), by: by() };
        let bare = Snapshot { manifest: None, ..snapshot() };
        let whole = Registration {
            state: state.clone(),
            version: Some(passed),
            waiting: Some(Waiting { snapshot: bare, since: NOW }),
        };
        assert_eq!(Registration::from_bytes(&whole.to_bytes()), Ok(whole));
        let least = Registration { state, version: None, waiting: None };
        assert_eq!(Registration::from_bytes(&least.to_bytes()), Ok(least));
    }
    let unknown = br#"{"state":{"by":"a","is":"elsewhere","since":1},"v":1}"#;
    assert!(Registration::from_bytes(unknown).is_err());
    assert!(Registration::from_bytes(br#"{"v":2}"#).is_err());
}
