//! What is left of a result.

use super::*;

fn value(text: &str) -> Value {
    canonical::parse(text.as_bytes(), &Limits::FRAME).unwrap()
}

fn object(text: &str) -> Object {
    let Value::Object(object) = value(text) else { panic!("{text} is no object") };
    object
}

fn text(outcome: &Outcome) -> String {
    String::from_utf8(outcome.value().to_bytes()).unwrap()
}

#[test]
fn projection_keeps_what_is_named_and_nothing_else() {
    let returns: Vec<Pointer> =
        ["/id", "/title"].iter().map(|text| Pointer::parse(text).unwrap()).collect();
    let check = |result: &str, expected: Option<&str>| {
        let projected = Outcome::of_result(object(result)).project(&returns).ok();
        assert_eq!(projected.map(|(outcome, _)| text(&outcome)).as_deref(), expected, "{result}");
    };
    let kept = r#"{"content":[{"text":"{\"id\":4711,\"title\":\"t\"}","type":"text"}],"structuredContent":{"id":4711,"title":"t"}}"#;
    check(
        r#"{"structuredContent":{"id":4711,"title":"t","body":"EVIL"},"content":[{"type":"text","text":"EVIL"}],"_meta":{"x":"EVIL"}}"#,
        Some(kept),
    );
    check(r#"{"structuredContent":{"id":4711,"title":"t"}}"#, Some(kept));
    check(
        r#"{"content":[{"type":"text","text":"{\"id\":1,\"body\":\"EVIL\"}"},{"type":"image","data":"EVIL"}]}"#,
        Some(r#"{"content":[{"text":"{\"id\":1}","type":"text"}]}"#),
    );
    check(r#"{"content":[{"type":"text","text":"EVIL"}]}"#, None);
    check(r#"{"content":[{"type":"text","text":"\"EVIL\""}]}"#, None);
    check(r#"{"content":[{"type":"text","text":"{\"id\":1,\"id\":2}"}]}"#, None);
    check(
        r#"{"content":[{"type":"text","text":"{\"id\":1}"},{"type":"text","text":"EVIL"}]}"#,
        None,
    );
    check(r#"{"content":[]}"#, None);
    check(r#"{"structuredContent":"EVIL","content":[]}"#, None);
}

#[test]
fn the_words_of_an_error_are_withheld_where_fields_are_named() {
    let returns = [Pointer::parse("/id").unwrap()];
    let tool =
        Outcome::of_result(object(r#"{"isError":true,"content":[{"type":"text","text":"EVIL"}]}"#));
    let protocol = Outcome::of_error(object(r#"{"code":-32602,"message":"EVIL","data":"EVIL"}"#));
    for outcome in [tool, protocol] {
        let protocol = outcome.is_protocol_error();
        let (outcome, dropped) = outcome.project(&returns).unwrap();
        assert!(outcome.is_error() && outcome.is_protocol_error() == protocol && dropped == 1);
        assert!(!text(&outcome).contains("EVIL"), "{}", text(&outcome));
    }
}

#[test]
fn results_come_out_in_one_form() {
    let check = |reply: Reply, expected: Result<&str, (Code, bool)>| {
        let outcome = Outcome::of_answer(reply, Method::CallTool);
        let actual = outcome.as_ref().map(text).map_err(|fault| (fault.code(), fault.after_send()));
        assert_eq!(actual.as_deref().map_err(|error| *error), expected);
    };
    let plain = r#"{"content":[]}"#;
    check(Ok(value(plain)), Ok(plain));
    check(Ok(value(r#"{"content":[],"resultType":"complete"}"#)), Ok(plain));
    check(
        Ok(value(r#"{"content":[],"_meta":{"io.modelcontextprotocol/serverInfo":{}}}"#)),
        Ok(plain),
    );
    check(
        Ok(value(r#"{"content":[],"_meta":{"x":1,"io.modelcontextprotocol/y":2}}"#)),
        Ok(r#"{"_meta":{"x":1},"content":[]}"#),
    );
    let asks = r#"{"inputRequests":{},"requestState":"x"}"#;
    check(
        Ok(value(
            r#"{"resultType":"input_required","inputRequests":{},"requestState":"x","content":[]}"#,
        )),
        Ok(asks),
    );
    check(Ok(value(r#"{"resultType":"input_required"}"#)), Err((Code::UpstreamInvalid, true)));
    let asking = Outcome::of_answer(
        Ok(value(r#"{"resultType":"input_required","requestState":"EVIL"}"#)),
        Method::CallTool,
    );
    let returns = [Pointer::parse("/id").unwrap()];
    assert_eq!(
        asking.unwrap().project(&returns),
        Err(NotProjectable),
        "a question names no fields"
    );
    // What cannot ask is not asked back for.
    let listed = Ok(value(r#"{"resultType":"input_required","requestState":"x"}"#));
    assert!(Outcome::of_answer(listed, Method::ListResources).is_err());
    check(Ok(value(r#"{"content":[],"resultType":"task"}"#)), Err((Code::UpstreamInvalid, true)));
    check(Ok(value("{}")), Err((Code::UpstreamInvalid, true)));
    let error = r#"{"code":-32602,"message":"no"}"#;
    check(Err(value(error)), Ok(error));
    check(Err(value(r#"{"code":-32042,"message":"go"}"#)), Err((Code::ResultWithheld, false)));
    check(Err(value(r#"{"code":-32020,"message":"x"}"#)), Err((Code::UpstreamInvalid, false)));
    check(Err(value(r#"{"message":"x"}"#)), Err((Code::UpstreamInvalid, true)));
}
