//! Handles that were sealed elsewhere, for others, or long ago.

use super::*;

#[test]
fn a_handle_opens_only_here_now_and_whole() {
    let (key, other_key) = ([7; 32], [8; 32]);
    let name = |text: &str| Name::new(text).expect("a name");
    let (tickets, mail) = (name("tickets"), name("mail"));
    let expires = Timestamp::from_seconds(1_000);
    let handle = seal(&key, [1; NONCE_LEN], &tickets, &name("helpdesk"), expires).expect("sealed");
    let before = Timestamp::from_seconds(999);
    let check =
        |key: &[u8; 32], upstream: &UpstreamName, handle: &str, now: Timestamp, opens: bool| {
            let owner = unseal(key, upstream, handle, now);
            assert_eq!(owner, opens.then(|| name("helpdesk")), "{handle}");
        };
    check(&key, &tickets, &handle, before, true);
    check(&key, &tickets, &handle, expires, false);
    check(&key, &mail, &handle, before, false);
    check(&other_key, &tickets, &handle, before, false);
    check(&key, &tickets, "", before, false);
    check(&key, &tickets, "AAAA", before, false);
    check(&key, &tickets, &"A".repeat(10_000), before, false);
    for place in 0..handle.len() {
        let mut bytes = handle.clone().into_bytes();
        bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(bytes).expect("ASCII");
        if forged != handle {
            check(&key, &tickets, &forged, before, false);
        }
    }
}

#[test]
fn the_longest_name_fits_a_handle() {
    let name = Name::new(&"a".repeat(63)).expect("a name");
    let handle = seal(&[7; 32], [1; NONCE_LEN], &name, &name, Timestamp(1)).expect("sealed");
    assert!(handle.len() <= limits::MCP_HANDLE, "{}", handle.len());
    assert!(handle.bytes().all(|byte| matches!(byte, 0x21..=0x7e)));
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
