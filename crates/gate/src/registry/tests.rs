//! Each reason beside its twin that passes.

use super::*;
use model::Duration;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn active() -> Standing {
    Standing {
        state: Lifecycle::active("uid 1".into(), NOW),
        answered_until: Some(NOW.after(Duration::seconds(60))),
        environment: None,
        waits: None,
    }
}

fn registry(environment: Option<&str>, standing: Standing) -> Registry {
    Registry::new(environment.map(name), [(name("a"), standing)].into())
}

#[test]
fn who_may_not_act_is_told_why() {
    let check = |environment, standing: Standing, expected: Option<Code>| {
        let refused = registry(environment, standing.clone()).refused(&name("a"), NOW);
        assert_eq!(refused, expected, "{environment:?} {standing:?}");
    };
    check(None, active(), None);
    check(Some("prod"), active(), None);
    let in_environment = |text| Standing { environment: Some(name(text)), ..active() };
    check(Some("prod"), in_environment("prod"), None);
    check(Some("prod"), in_environment("staging"), Some(Code::EnvironmentMismatch));
    check(None, in_environment("staging"), None);
    let answered = |until| Standing { answered_until: until, ..active() };
    check(None, answered(Some(NOW.after(Duration::seconds(1)))), None);
    check(None, answered(Some(NOW)), Some(Code::OwnerAbsent));
    check(None, answered(None), Some(Code::OwnerAbsent));
    let draft = Lifecycle::draft("uid 1".into(), NOW, Duration::seconds(9));
    let draft = Standing { state: draft, answered_until: None, ..active() };
    check(Some("dev"), draft.clone(), None);
    check(Some("prod"), draft.clone(), Some(Code::VersionUnreviewed));
    assert!(registry(None, draft).is_draft(&name("a")));
    assert!(!registry(None, active()).is_draft(&name("a")));
}

#[test]
fn who_is_not_registered_does_not_act() {
    let kept = registry(None, active());
    assert_eq!(kept.refused(&name("b"), NOW), Some(Code::VersionUnreviewed));
    assert_eq!(Registry::default().refused(&name("b"), NOW), None);
}

#[test]
fn an_upstream_of_another_environment_is_out_of_reach() {
    let at = |gate, agent: Option<&str>, upstream: Option<&str>| {
        let standing = Standing { environment: agent.map(name), ..active() };
        let upstream = upstream.map(name);
        registry(gate, standing).refused_at(&name("a"), upstream.as_ref())
    };
    let mismatch = Some(Code::EnvironmentMismatch);
    assert_eq!(at(Some("prod"), Some("prod"), Some("prod")), None);
    assert_eq!(at(Some("prod"), None, None), None);
    assert_eq!(at(Some("prod"), None, Some("staging")), mismatch);
    assert_eq!(at(None, Some("staging"), Some("prod")), mismatch);
    assert_eq!(at(None, Some("staging"), Some("staging")), None);
}
