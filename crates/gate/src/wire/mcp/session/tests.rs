//! What a session's handle holds, and whose it claims to be.

use super::*;

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

#[test]
fn a_session_is_of_one_door() {
    let (tickets, mail) = (Door::One(name("tickets")), Door::One(name("mail")));
    let of = |door: &Door| held(door, &name("helpdesk"), Capabilities::FORM, 7);
    let expected = Session { agent: name("helpdesk"), capabilities: Capabilities::FORM, number: 7 };
    assert_eq!(read(&of(&tickets), &tickets), Some(expected.clone()));
    assert_eq!(read(&of(&tickets), &mail), None);
    assert_eq!(read(&of(&tickets), &Door::All), None);
    assert_eq!(read(&of(&Door::All), &Door::All), Some(expected));
    assert_eq!(read(&of(&Door::All), &tickets), None);
}

#[test]
fn the_longest_names_fit_a_handle() {
    let longest = name(&"a".repeat(63));
    let door = Door::One(longest.clone());
    let held = held(&door, &longest, Capabilities::FORM, u128::MAX).to_bytes();
    // Nonce, expiry and tag, in base64.
    let length = (held.len() + 12 + 8 + 16).div_ceil(3) * 4;
    assert!(length <= limits::MCP_HANDLE, "{length}");
}

#[test]
fn the_claimed_agent_is_read_without_belief() {
    let token = |payload: &str| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload));
    let check = |token: &str, expected: Option<&str>| {
        assert_eq!(claimed_agent(token).as_ref().map(Name::as_str), expected, "{token}");
    };
    check(&token(r#"{"agent":"helpdesk"}"#), Some("helpdesk"));
    check(&token(r#"{"agent":"helpdesk","agent":"other"}"#), None);
    check(&token(r#"{"agent":7}"#), None);
    check(&token("{}"), None);
    check("opaque", None);
    check("a.b.c", None);
}
