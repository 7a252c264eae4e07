//! The parts of the supervisor that need no process: lines, what a message is, and who gets it.

use super::{
    desk::Desk,
    lines::{self, Line},
    message::{Received, Sent},
};
use std::sync::Arc;
use tokio::io::BufReader;

async fn read(text: &[u8], limit: usize) -> Vec<Line> {
    let mut from = BufReader::with_capacity(3, text);
    let mut out = Vec::new();
    while let Some(line) = lines::next(&mut from, limit).await.expect("memory can be read") {
        out.push(line);
    }
    out
}

#[tokio::test]
async fn a_line_is_kept_up_to_its_limit() {
    let whole = |text: &str| Line::Whole(text.into());
    let lines = read(b"one\r\n\ntwo\nthree", 5).await;
    assert_eq!(lines, [whole("one"), whole(""), whole("two"), whole("three")]);
    let lines = read(b"123456\nnext\n", 5).await;
    assert_eq!(lines, [Line::Cut(b"12345".to_vec()), whole("next")]);
    assert_eq!(read(b"12345\n", 5).await, [whole("12345")]);
    assert_eq!(read(b"", 5).await, []);
}

#[test]
fn messages_are_told_apart() {
    let sent = |text: &str, expected: Sent| {
        assert_eq!(Sent::read(text.as_bytes()).expect("a message"), expected, "{text}");
    };
    sent(r#"{"id":1,"method":"initialize"}"#, Sent::Initialize(1));
    sent(r#"{"id":1,"method":"server/discover"}"#, Sent::Discover(1));
    sent(r#"{"id":1,"method":"tools/call"}"#, Sent::Request(1));
    sent(r#"{"method":"notifications/initialized"}"#, Sent::Initialized);
    sent(r#"{"method":"notifications/cancelled","params":{"requestId":4}}"#, Sent::Cancelled(4));
    sent(r#"{"id":"theirs","result":{}}"#, Sent::Told);
    assert!(Sent::read(br#"{"id":"text","method":"tools/call"}"#).is_err(), "ids are ours");
    assert!(Sent::read(b"nonsense").is_err());

    let received = |text: &str, expected: Received| {
        assert_eq!(Received::read(text.as_bytes()), expected, "{text}");
    };
    received(r#"{"id":1,"result":{}}"#, Received::Answer(1));
    received(r#"{"id":1,"error":{}}"#, Received::Answer(1));
    received(r#"{"id":null,"error":{}}"#, Received::Stray);
    received(
        r#"{"method":"notifications/progress","params":{"progressToken":7}}"#,
        Received::About(7),
    );
    received(
        r#"{"method":"n","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":7}}}"#,
        Received::About(7),
    );
    received(r#"{"method":"notifications/message","params":{}}"#, Received::News);
    received(r#"{"id":1,"method":"ping"}"#, Received::Question(1.into(), "ping".into()));
    received(r#"{"id":"x","result":{}}"#, Received::Nonsense);
    received("[]", Received::Nonsense);
    received("{", Received::Nonsense);
}

#[tokio::test]
async fn an_answer_finds_its_asker_though_nobody_reads() {
    let desk = Arc::new(Desk::open());
    let (mut first, _seat) = desk.register(1).expect("room");
    let (mut second, other) = desk.register(2).expect("room");
    assert!(desk.register(1).is_none(), "an id is used once");
    for number in 0..1_000 {
        let progress = format!(
            r#"{{"method":"notifications/progress","params":{{"progressToken":1,"progress":{number}}}}}"#
        );
        assert_eq!(desk.sort(progress.as_bytes(), false), None);
    }
    assert_eq!(desk.sort(br#"{"id":1,"result":{}}"#, false), None);
    let mut last = None;
    while let Some(piece) = first.recv().await {
        last = Some(piece.expect("no fault"));
    }
    let last = last.expect("pieces came");
    assert_eq!(last.as_ref(), b"data: {\"id\":1,\"result\":{}}\n\n", "its place was kept free");
    assert!(second.try_recv().is_err(), "nothing of it went to the other");

    drop(other);
    assert_eq!(desk.sort(br#"{"id":2,"result":{}}"#, false), None, "nobody waits: dropped");
    desk.close("it ended");
    assert!(desk.register(3).is_none());
}

#[tokio::test]
async fn a_question_goes_only_where_it_is_clear_whose_it_is() {
    let question = br#"{"id":9,"method":"sampling/createMessage"}"#;
    let desk = Arc::new(Desk::open());
    assert!(desk.sort(question, false).is_some(), "nobody is there: refused");
    let (mut one, _seat) = desk.register(1).expect("room");
    assert!(desk.sort(question, true).is_some(), "one child for everybody: refused");
    assert!(desk.sort(question, false).is_none());
    assert!(one.try_recv().is_ok());
    let (_two, _seat) = desk.register(2).expect("room");
    assert!(desk.sort(question, false).is_some(), "two calls are open: refused");
    let pong = desk.sort(br#"{"id":9,"method":"ping"}"#, true).expect("answered");
    assert_eq!(pong.as_ref(), br#"{"id":9,"jsonrpc":"2.0","result":{}}"#);
}
