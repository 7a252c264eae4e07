//! An approval lifts what was signed, and nothing else (S4).

use super::world::{World, attempt, base, entry_of, name};

#[test]
fn needed_are_all_rules_that_pass_one_names() {
    let compiled = base();
    let night = attempt("helpdesk", "tickets.close").at_night();
    assert_eq!(night.outcome(compiled), "ask leads: guard.approval at-night");
    let costly = r#"{"cost":100.0001,"id":"1"}"#;
    let both = attempt("helpdesk", "tickets.update").args(costly).at_night();
    assert_eq!(both.outcome(compiled), "ask default+leads: at-night costly");
}

#[test]
fn a_reason_that_was_not_signed_asks_again() {
    let compiled = base();
    let costly = r#"{"cost":101,"id":"1"}"#;
    let one = attempt("helpdesk", "tickets.update").args(costly);
    assert_eq!(one.outcome(compiled), "ask default: costly");
    let approved = one.clone().approved(&["costly"], &["default"]);
    assert_eq!(approved.outcome(compiled), "allow");
    assert!(approved.ruling(compiled).approved);
    // It became night before use.
    let later = approved.clone().at_night();
    assert_eq!(later.outcome(compiled), "ask default+leads: at-night costly");
    // The other order: signed at night for the night, and then it is costly.
    let night = one.clone().at_night().approved(&["at-night"], &["leads"]);
    assert_eq!(night.outcome(compiled), "ask default+leads: at-night costly");
    let all = one.at_night().approved(&["at-night", "costly"], &["leads", "default"]);
    assert_eq!(all.outcome(compiled), "allow");
}

#[test]
fn a_rule_that_changed_since_asks_again() {
    let one = attempt("cashier", "payments.transfer").approved(&["guard.high"], &["default"]);
    assert_eq!(one.outcome(base()), "allow");
    let stricter = World::new()
        .with(|d| entry_of(d, "payments.transfer").approval = Some(name("leads")))
        .compile();
    assert_eq!(one.outcome(&stricter), "ask leads: guard.high");
}

#[test]
fn an_approval_lifts_no_guard_that_does_not_ask() {
    let compiled = base();
    let signed: &[&str] =
        &["guard.high", "guard.users", "guard.intent", "guard.data", "no-admin-resets"];
    let rules = &["default", "leads"];
    let named = World::new().with(|d| {
        let only = &mut d.agents.get_mut(&name("helpdesk")).unwrap().only;
        *only = Some(vec![model::declared::ActionPattern::Exact(super::world::action(
            "directory.reset_password",
        ))]);
    });
    let admin = attempt("helpdesk", "directory.reset_password").args(r#"{"user":"adm-eve"}"#);
    // The second pass's reasons: nobody is sent to an approver in vain.
    assert_eq!(admin.outcome(&named.compile()), "deny forbidden: no-admin-resets");
    let admin = admin.approved(signed, rules);
    assert_eq!(admin.outcome(&named.compile()), "deny forbidden: no-admin-resets");
    let eve = attempt("cashier", "payments.transfer").user(Some("eve")).approved(signed, rules);
    assert_eq!(eve.outcome(compiled), "deny user_not_served: guard.users");
    let ungranted = attempt("helpdesk", "tickets.purge").approved(signed, rules);
    assert_eq!(ungranted.outcome(compiled), "deny not_granted: ");
}

#[test]
fn an_approval_that_is_not_needed_is_not_used() {
    let compiled = base();
    let one = attempt("helpdesk", "tickets.read").approved(&["guard.high"], &["default"]);
    let ruling = one.ruling(compiled);
    assert_eq!(super::world::outcome(&ruling), "allow");
    assert!(!ruling.approved);
}
