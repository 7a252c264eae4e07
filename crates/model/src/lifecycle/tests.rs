//! Every state against every transition, as one table.

use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const LATER: Timestamp = Timestamp::from_seconds(1_800_086_400);

fn states() -> Vec<(&'static str, Lifecycle)> {
    let by = || "uid 1".to_owned();
    let active = || Lifecycle::active(by(), NOW);
    let draft = || Lifecycle::draft(by(), NOW, Duration::seconds(60));
    let person = || Suspender::Person(by());
    let rule = || Suspender::Rule("review.every".to_owned());
    vec![
        ("draft", draft()),
        ("under review", draft().hand_in(by(), NOW).unwrap()),
        ("active", active()),
        ("suspended", active().suspend(person(), String::new(), NOW).unwrap()),
        ("suspended unreviewed", draft().suspend(person(), String::new(), NOW).unwrap()),
        ("suspended by rule", active().suspend(rule(), String::new(), NOW).unwrap()),
        ("decommissioned", active().decommission(by(), String::new(), NOW).unwrap()),
    ]
}

#[test]
fn each_state_has_its_transitions_and_no_others() {
    let by = || "uid 2".to_owned();
    let word = |result: Result<Lifecycle, WrongState>| match result {
        Ok(state) => state.as_str(),
        Err(refused) => {
            assert!(refused.to_string().contains(refused.state.as_str()));
            "-"
        }
    };
    let row = |state: &Lifecycle| {
        let person = Suspender::Person(by());
        [
            word(state.clone().hand_in(by(), LATER)),
            word(state.clone().approve(by(), LATER)),
            word(state.clone().suspend(person, String::new(), LATER)),
            word(state.clone().resume(by(), LATER)),
            word(state.clone().decommission(by(), String::new(), LATER)),
        ]
    };
    let table: Vec<_> = states().iter().map(|(name, state)| (*name, row(state))).collect();
    let end = "decommissioned";
    let expected = [
        ("draft", ["under review", "active", "suspended", "-", end]),
        ("under review", ["-", "active", "suspended", "-", end]),
        ("active", ["-", "active", "suspended", "-", end]),
        ("suspended", ["-", "suspended", "-", "active", end]),
        ("suspended unreviewed", ["-", "active", "-", "under review", end]),
        ("suspended by rule", ["-", "active", "suspended", "-", end]),
        ("decommissioned", ["-", "-", "-", "-", "-"]),
    ];
    assert_eq!(table, expected);
}

#[test]
fn who_may_act_and_who_may_not() {
    let refused: Vec<_> = states()
        .iter()
        .map(|(name, state)| (*name, state.refused(false, NOW), state.refused(true, NOW)))
        .collect();
    let unreviewed = Some(Code::VersionUnreviewed);
    let suspended = Some(Code::AgentSuspended);
    let ended = Some(Code::AgentDecommissioned);
    assert_eq!(
        refused,
        [
            ("draft", None, unreviewed),
            ("under review", unreviewed, unreviewed),
            ("active", None, None),
            ("suspended", suspended, suspended),
            ("suspended unreviewed", suspended, suspended),
            ("suspended by rule", suspended, suspended),
            ("decommissioned", ended, ended),
        ]
    );
}

#[test]
fn a_draft_ends_and_a_review_is_remembered() {
    let draft = Lifecycle::draft("uid 1".into(), NOW, Duration::seconds(60));
    assert_eq!(draft.refused(false, NOW.after(Duration::seconds(59))), None);
    let ended = NOW.after(Duration::seconds(60));
    assert_eq!(draft.refused(false, ended), Some(Code::VersionUnreviewed));
    let active = draft.approve("uid 2".into(), LATER).unwrap();
    let stopped = active.suspend(Suspender::Person("uid 1".into()), "drill".into(), LATER).unwrap();
    let Lifecycle::Active { reviewed, .. } = stopped.resume("uid 1".into(), LATER).unwrap() else {
        panic!("it is not active");
    };
    assert_eq!(reviewed, LATER);
}
