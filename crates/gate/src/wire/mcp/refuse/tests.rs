//! What a client is told, byte for byte where it matters.

use super::*;
use crate::mediate::Asked;
use model::{AskId, Timestamp, TraceId};

fn refusal(code: Code) -> Refusal {
    Refusal::new(code, TraceId(0xabc))
}

fn text(result: &Value) -> &str {
    result.pointer("/content/0/text").and_then(Value::as_str).expect("a text")
}

#[test]
fn the_text_of_a_refusal_alone_says_everything() {
    for code in Code::ALL.iter().copied() {
        let result = result("transfer", &refusal(code));
        let text = text(&result);
        if telling(code) == Telling::Unknown {
            assert_eq!(text, "Unknown tool: transfer");
            continue;
        }
        let trace = TraceId(0xabc).to_string();
        for part in [code.slug(), code.number(), code.sentence(), code.fix(), &trace] {
            assert!(text.contains(part), "{code}: `{part}` is not in `{text}`");
        }
        let pending = telling(code) == Telling::Pending;
        assert_eq!(result.get("isError"), Some(&Value::Bool(!pending)), "{code}");
        assert_eq!(
            result.pointer("/structuredContent/code").and_then(Value::as_str),
            Some(code.slug())
        );
        assert_eq!(result.pointer("/structuredContent/retry"), Some(&Value::Bool(false)));
    }
}

#[test]
fn hidden_and_absent_tools_are_answered_with_the_same_bytes() {
    let hidden =
        Refusal { entry: Some(model::EntryId(1)), ..refusal(Code::NotInCatalog) }.with("inside");
    let absent = Refusal::new(Code::NotInCatalog, TraceId(0xdef));
    assert_eq!(result("x", &hidden).to_bytes(), result("x", &absent).to_bytes());
    let long = result(&"x".repeat(10_000), &absent);
    assert!(text(&long).len() < 200);
}

#[test]
fn a_pending_ask_says_whom_and_until_when() {
    let asked = Asked {
        handle: AskId(42),
        approvers: "group:it-leads".to_owned(),
        until: Timestamp::from_seconds(1_790_000_000),
    };
    let result =
        result("transfer", &Refusal { asked: Some(Box::new(asked)), ..refusal(Code::Asked) });
    let text = text(&result);
    for part in
        [AskId(42).to_string().as_str(), "group:it-leads", "2026-", "same arguments after approval"]
    {
        assert!(text.contains(part), "`{part}` is not in `{text}`");
    }
    assert_eq!(result.pointer("/structuredContent/decision").and_then(Value::as_str), Some("ask"));
    assert_eq!(
        result.pointer("/structuredContent/handle").and_then(Value::as_str),
        Some(AskId(42).to_string().as_str())
    );
}

#[test]
fn error_codes_lie_outside_the_ranges_that_others_keep() {
    for code in Code::ALL {
        assert!((1_000..10_000).contains(&number(*code)), "{code}");
    }
}
