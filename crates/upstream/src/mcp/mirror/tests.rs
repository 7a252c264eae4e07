//! Parameters that are mirrored into headers.

use super::*;

fn value(text: &str) -> Value {
    canonical::parse(text.as_bytes(), &canonical::Limits::FRAME).unwrap()
}

#[test]
fn values_are_encoded_as_the_specification_shows() {
    let check = |text: &str, expected: &str| {
        assert_eq!(encode(text).unwrap().to_str().unwrap(), expected);
    };
    check("us-west1", "us-west1");
    check("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?=");
    check(" padded ", "=?base64?IHBhZGRlZCA=?=");
    check("line1\nline2", "=?base64?bGluZTEKbGluZTI=?=");
    check("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=");
}

#[test]
fn annotated_parameters_become_headers() {
    let schema = r#"{"type":"object","properties":{
        "region":{"type":"string","x-mcp-header":"Region"},
        "deep":{"type":"object","properties":{"n":{"type":"integer","x-mcp-header":"N"}}},
        "on":{"type":"boolean","x-mcp-header":"On"},
        "plain":{"type":"string"}}}"#;
    let mirrored = annotations(&value(schema)).unwrap();
    let check = |arguments: &str, expected: &[(&str, &str)]| {
        let headers = headers(&mirrored, &value(arguments)).unwrap();
        let mut actual: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        actual.sort_unstable();
        assert_eq!(actual, expected);
    };
    check(
        r#"{"region":"eu","deep":{"n":-7},"on":true,"plain":"x"}"#,
        &[("mcp-param-n", "-7"), ("mcp-param-on", "true"), ("mcp-param-region", "eu")],
    );
    check(r#"{"region":null,"deep":{}}"#, &[]);
    check(r#"{"plain":"x"}"#, &[]);
}

#[test]
fn a_schema_that_breaks_the_rules_is_not_listed() {
    let check =
        |schema: &str, expected: bool| assert_eq!(is_valid(&value(schema)), expected, "{schema}");
    check(r#"{"type":"object"}"#, true);
    check(r#"{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}"#, true);
    check(r#"{"properties":{"a":{"type":"string","x-mcp-header":""}}}"#, false);
    check(r#"{"properties":{"a":{"type":"string","x-mcp-header":"a b"}}}"#, false);
    check(r#"{"properties":{"a":{"type":"string","x-mcp-header":7}}}"#, false);
    check(r#"{"properties":{"a":{"type":"number","x-mcp-header":"A"}}}"#, false);
    check(r#"{"properties":{"a":{"type":"object","x-mcp-header":"A"}}}"#, false);
    check(
        r#"{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}}"#,
        false,
    );
}
