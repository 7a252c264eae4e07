//! Handles that were sealed elsewhere, for something else, or long ago.

use super::*;

fn payload(text: &str) -> Value {
    crate::json::object([("agent", text.into())])
}

#[test]
fn a_handle_opens_only_here_now_whole_and_for_its_purpose() {
    let (key, other_key) = ([7; 32], [8; 32]);
    let expires = Timestamp::from_seconds(1_000);
    let held = payload("helpdesk");
    let handle = seal(&key, [1; NONCE_LEN], Purpose::Session, &held, expires).expect("sealed");
    assert!(handle.bytes().all(|byte| matches!(byte, 0x21..=0x7e)));
    let before = Timestamp::from_seconds(999);
    let check = |key: &[u8; 32], purpose, handle: &str, now, opens: bool| {
        let opened = unseal(key, purpose, handle, now);
        assert_eq!(opened, opens.then(|| payload("helpdesk")), "{handle}");
    };
    check(&key, Purpose::Session, &handle, before, true);
    check(&key, Purpose::Session, &handle, expires, false);
    for other in [Purpose::Event, Purpose::Question, Purpose::State] {
        check(&key, other, &handle, before, false);
    }
    check(&other_key, Purpose::Session, &handle, before, false);
    for nonsense in ["", "AAAA", &"A".repeat(100_000)] {
        check(&key, Purpose::Session, nonsense, before, false);
    }
    for place in 0..handle.len() {
        let mut bytes = handle.clone().into_bytes();
        bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(bytes).expect("ASCII");
        if forged != handle {
            check(&key, Purpose::Session, &forged, before, false);
        }
    }
}

#[test]
fn what_is_too_long_for_a_handle_is_not_sealed() {
    let long = payload(&"x".repeat(limits::MCP_HANDLE));
    let sealed = |purpose| seal(&[7; 32], [1; NONCE_LEN], purpose, &long, Timestamp(1));
    assert_eq!(sealed(Purpose::Session), None);
    assert!(sealed(Purpose::State).is_some());
}
