//! What clients declare, read and written again.

use super::*;

#[test]
fn what_a_client_declares_is_what_an_upstream_is_told() {
    let check = |declared: &str, told: &str| {
        let value = canonical::parse(declared.as_bytes(), &canonical::Limits::FRAME).unwrap();
        let all = Capabilities::declared(&value);
        assert_eq!(Capabilities::of_bits(all.bits()), all);
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        writer.begin_object();
        all.write(&mut writer);
        writer.end();
        writer.finish().unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), told, "{declared}");
    };
    check("{}", "{}");
    check(r#"{"elicitation":{}}"#, r#"{"elicitation":{}}"#);
    check(r#"{"elicitation":{"form":{}}}"#, r#"{"elicitation":{}}"#);
    check(r#"{"elicitation":{"url":{}}}"#, r#"{"elicitation":{"url":{}}}"#);
    check(r#"{"elicitation":{"form":{},"url":{}}}"#, r#"{"elicitation":{"form":{},"url":{}}}"#);
    check(
        r#"{"roots":{"listChanged":true},"sampling":{"tools":{}},"experimental":{}}"#,
        r#"{"roots":{},"sampling":{"tools":{}}}"#,
    );
    assert!(Level::parse("info") < Level::parse("error"));
    assert_eq!(Level::parse("loud"), None);
}
