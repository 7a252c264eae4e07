//! Which arguments become a call, and what is said of those that do not.

use super::world::{action, attempt, base, json, name};
use crate::shape::{Arguments, decimal};
use expect_test::{Expect, expect};

fn check(arguments: &str, expected: &str) {
    let compiled = base();
    let version = compiled.agent(&name("helpdesk")).unwrap().version;
    let slice = compiled.slice(&version, &action("tickets.update")).unwrap();
    let found = match slice.look_up(json(arguments)) {
        Ok(call) => {
            assert_eq!(call.bytes(), json(arguments).to_bytes());
            assert_eq!(call.digest(), crate::digest::sha256(call.bytes()));
            format!("ok opaque={:?} extra={:?}", call.opaque, call.extra)
        }
        Err(error) => error.to_string(),
    };
    assert_eq!(found, expected, "{arguments}");
}

#[test]
fn arguments_are_checked_and_typed() {
    check(r#"{"id":"1"}"#, "ok opaque=[] extra=[]");
    check(r#"{"filter":{"a":1},"id":"1","zz":1}"#, r#"ok opaque=["filter"] extra=["zz"]"#);
    check(r#"{"id":"1","note":null}"#, "ok opaque=[] extra=[]");
    check("null", "arguments must be an object, and they are null; send `{}` where there are none");
    check("[]", "arguments must be an object, and they are a list; send `{}` where there are none");
    check("{}", r#"argument `` does not fit the input schema: "id" is a required property"#);
    check(
        r#"{"id":null}"#,
        r#"argument `/id` does not fit the input schema: value is not of type "string""#,
    );
    check(
        r#"{"hours":"3","id":"1"}"#,
        r#"argument `/hours` does not fit the input schema: value is not of type "integer""#,
    );
    check(
        r#"{"id":"1","status":"lost"}"#,
        r#"argument `/status` does not fit the input schema: value is not one of "open" or "closed""#,
    );
    check(
        r#"{"id":"1","owner":{"name":7}}"#,
        r#"argument `/owner/name` does not fit the input schema: value is not of type "string""#,
    );
    check(r#"{"cost":0.0001,"id":"1"}"#, "ok opaque=[] extra=[]");
    check(
        r#"{"cost":0.00001,"id":"1"}"#,
        "argument `/cost` must be a number with at most four decimal places, below 922337203685477",
    );
}

#[test]
fn http_arguments_are_the_routes() {
    let compiled = base();
    let (id, params) =
        compiled.route(&name("directory"), "POST", &["users", "bob", "password-reset"]).unwrap();
    assert_eq!(id, action("directory.reset_password"));
    assert_eq!(params, [("user".to_owned(), "bob".to_owned())]);
    for (method, path) in [
        ("GET", &["users", "bob", "password-reset"][..]),
        ("POST", &["users", "", "password-reset"]),
        ("POST", &["users", "bob"]),
        ("POST", &["users", "bob", "password-reset", "x"]),
    ] {
        assert_eq!(compiled.route(&name("directory"), method, path), None);
    }
    let one = attempt("helpdesk", "directory.reset_password");
    let version = compiled.agent(&one.agent).unwrap().version;
    let slice = compiled.slice(&version, &one.action).unwrap();
    let call = slice.look_up(json(r#"{"body":{"reason":"lost"},"user":"bob"}"#)).unwrap();
    assert_eq!((call.opaque.as_slice(), call.extra.len()), (&["body".to_owned()][..], 0));
    let error = slice.look_up(json(r#"{"body":{}}"#)).unwrap_err();
    assert_eq!(error.to_string(), "argument `/user` must be text");
}

#[test]
fn decimals_are_exact_or_refused() {
    let cases = [
        ("0", Some("0.0")),
        ("12.5", Some("12.5")),
        ("-12.3456", Some("-12.3456")),
        ("0.1", Some("0.1")),
        ("12.34567", None),
        ("1e-7", None),
        ("1e22", None),
        ("922337203685477", Some("922337203685477.0")),
        ("922337203685478", None),
    ];
    for (text, expected) in cases {
        assert_eq!(decimal(&json(text)).as_deref(), expected, "{text}");
    }
}

fn types(schema: &str, expected: Expect) {
    let arguments = Arguments::of_schema(&json(schema));
    let mut text = String::new();
    for (name, member) in &arguments.members {
        let shape = member.shape.as_ref().map(crate::shape::cedar_type);
        let shape = shape.map_or("opaque".into(), |shape| shape.to_string());
        text += &format!("{name}{} {shape}\n", if member.required { "" } else { "?" });
    }
    expected.assert_eq(&text);
}

#[test]
fn json_schema_becomes_cedar_types() {
    types(
        r##"{"type":"object","required":["a","b","c","d","e","f","n","r","u"],
        "$defs":{"Money":{"type":"object","required":["units"],"properties":{
            "units":{"type":"integer"},"currency":{"enum":["EUR","USD"]}}},
            "Tree":{"type":"object","properties":{"next":{"$ref":"#/$defs/Tree"}}}},
        "properties":{
            "a":{"type":"string"},"b":{"enum":["x","y"]},"c":{"type":"integer"},
            "d":{"type":"number"},"e":{"type":"boolean"},"f":{"type":"array","items":{"type":"string"}},
            "g":{"type":"string"},"n":{"anyOf":[{"type":"string"},{"type":"null"}]},
            "o":{"type":["integer","null"]},"p":{"$ref":"#/$defs/Money"},
            "q":{"const":"only"},"r":{"type":"object"},"s":{"anyOf":[{"type":"string"},{"type":"integer"}]},
            "t":{"$ref":"https://example.com/x"},"u":{},"v":{"enum":["x",1]},
            "w":{"type":["string","integer"]},"x":{"type":"array"},
            "y":{"type":"array","items":{"type":["string","null"]}},"z":{"$ref":"#/$defs/Tree"}}}"##,
        expect![[r#"
            a {"type":"String"}
            b {"type":"String"}
            c {"type":"Long"}
            d {"type":"Extension","name":"decimal"}
            e {"type":"Boolean"}
            f {"type":"Set","element":{"type":"String"}}
            g? {"type":"String"}
            n? {"type":"String"}
            o? {"type":"Long"}
            p? {"type":"Record","attributes":{"currency":{"type":"String","required":false},"units":{"type":"Long","required":true}}}
            q? {"type":"String"}
            r? opaque
            s? opaque
            t? opaque
            u? opaque
            v? opaque
            w? opaque
            x? opaque
            y? opaque
            z? {"type":"Record","attributes":{"next":{"type":"Record","attributes":{"next":{"type":"Record","attributes":{"next":{"type":"Record","attributes":{"next":{"type":"Record","attributes":{"next":{"type":"Record","attributes":{},"required":false}},"required":false}},"required":false}},"required":false}},"required":false}}}
        "#]],
    );
}
