//! Values, objects, writers, pointers and projections as code uses them.
#![expect(clippy::unwrap_used, reason = "what tests are made of cannot fail")]

use std::collections::BTreeMap;

use canonical::{
    Limits, NameError, NumberError, Object, Pointer, PointerError, Projection, Value, Writer,
    WriterError, parse, project,
};
use proptest::prelude::*;

fn read(text: &str) -> Value {
    parse(text.as_bytes(), &Limits::ARGUMENTS).unwrap()
}

fn written(write: impl FnOnce(&mut Writer<'_>)) -> Result<String, WriterError> {
    let mut out = b"before ".to_vec();
    let mut writer = Writer::new(&mut out);
    write(&mut writer);
    writer.finish()?;
    Ok(String::from_utf8(out).unwrap().strip_prefix("before ").unwrap().to_owned())
}

/// Ends a chain of calls as a statement.
fn ended(_: &mut Writer<'_>) {}

#[test]
fn objects_keep_their_names_apart() {
    let mut object = Object::new();
    object.insert("b", 1).unwrap();
    object.insert("a", "x").unwrap();
    assert_eq!(object.insert("b", 2), Err(NameError::Duplicate("b".into())));
    assert_eq!(
        object.insert("B", 2),
        Err(NameError::CaseFolded { added: "B".into(), present: "b".into() })
    );
    assert_eq!(object.get("b"), Some(&Value::Integer(1)));
    assert_eq!(object.get("B"), None);
    assert_eq!(object.names().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(object.remove("b"), Some(Value::Integer(1)));
    assert_eq!(object.remove("b"), None);
    object.insert("B", Value::Null).unwrap();
    assert_eq!(Value::from(object.clone()).to_bytes(), br#"{"B":null,"a":"x"}"#);

    let members = [("z", Value::Null), ("\u{1f600}", Value::Null), ("\u{e000}", Value::Null)];
    let sorted = Object::try_from_members(members.clone()).unwrap();
    assert_eq!(sorted.names().collect::<Vec<_>>(), ["z", "\u{1f600}", "\u{e000}"]);
    let twice = members.into_iter().chain([("Z", Value::Null)]);
    assert_eq!(
        Object::try_from_members(twice),
        Err(NameError::CaseFolded { added: "Z".into(), present: "z".into() })
    );
}

#[test]
fn numbers_are_checked_when_made() {
    assert_eq!(Value::integer(9_007_199_254_740_991), Ok(Value::Integer(9_007_199_254_740_991)));
    assert_eq!(Value::integer(9_007_199_254_740_992), Err(NumberError::TooLarge));
    assert_eq!(Value::integer(i64::MIN), Err(NumberError::TooLarge));
    assert_eq!(Value::try_from(u64::MAX), Err(NumberError::TooLarge));
    assert_eq!(Value::number(5.0), Ok(Value::Integer(5)));
    assert_eq!(Value::number(-0.0), Ok(Value::Integer(0)));
    assert_eq!(Value::number(f64::NAN), Err(NumberError::NotFinite));
    assert_eq!(Value::number(0.5).unwrap(), read("0.5"));
    for number in [0, 1, -1, 9, 10, -10, 99, 100, i64::MAX, i64::MIN] {
        assert_eq!(Value::Integer(number).to_bytes(), number.to_string().as_bytes());
    }
    let beyond = Value::Integer(i64::MAX).to_bytes();
    assert_eq!(
        parse(&beyond, &Limits::ARGUMENTS).unwrap_err().code(),
        "number_not_exact",
        "what was made by hand is not read back"
    );
}

#[test]
fn values_tell_what_they_are() {
    let value = read(r#"{"a":[1,0.5,"x",true,null],"n":-1}"#);
    let items = value.get("a").unwrap().as_array().unwrap();
    let [one, half, text, truth, null] = items else { panic!("{items:?}") };
    assert_eq!((one.as_i64(), one.as_u64(), one.as_f64()), (Some(1), Some(1), Some(1.0)));
    assert_eq!((half.as_i64(), half.as_f64()), (None, Some(0.5)));
    assert_eq!((text.as_str(), text.as_bool()), (Some("x"), None));
    assert_eq!((truth.as_bool(), null.is_null()), (Some(true), true));
    let minus = value.get("n").unwrap();
    assert_eq!((minus.as_i64(), minus.as_u64()), (Some(-1), None));
    assert_eq!(value.get("b"), None);
    assert_eq!(one.get("a"), None);
}

#[test]
fn a_writer_writes_what_values_write() {
    let canonical = r#"{"a":[1,"x",{"y":[],"z":null},[true]],"b":{},"c":"\n","d":-7,"e":false}"#;
    let value = read(canonical);
    let text = written(|writer| {
        writer.begin_object().field_array("a").item_int(1).item_str("x");
        writer.begin_object().field_array("y").end().field_null("z").end();
        writer.begin_array().item_value(&Value::Bool(true)).end().end();
        writer.field_object("b").end().field_str("c", "\n").field_int("d", -7);
        writer.field_bool("e", false).end();
    });
    assert_eq!(text.as_deref(), Ok(canonical));
    let raw = written(|writer| {
        writer.begin_object();
        for (name, member) in value.as_object().unwrap() {
            // The names live longer than the writer only by accident; raw bytes need not.
            writer.field_raw(Box::leak(name.to_owned().into_boxed_str()), &member.to_bytes());
        }
        writer.end();
    });
    assert_eq!(raw.as_deref(), Ok(canonical));
    let top = written(|writer| {
        writer.begin_array().item_raw(b"1").item_raw(b"{}").end();
    });
    assert_eq!(top.as_deref(), Ok("[1,{}]"));
}

#[test]
fn a_writer_refuses_what_is_not_canonical() {
    let order =
        |last: &str, name: &str| Err(WriterError::Order { last: last.into(), name: name.into() });
    let two = |first: &'static str, second: &'static str| {
        written(|writer| {
            writer.begin_object().field_int(first, 1).field_int(second, 2).end();
        })
    };
    assert_eq!(two("a", "b").as_deref(), Ok(r#"{"a":1,"b":2}"#));
    assert_eq!(two("b", "a"), order("b", "a"));
    assert_eq!(two("a", "a"), order("a", "a"));
    assert!(two("\u{1f600}", "\u{e000}").is_ok());
    assert_eq!(two("\u{e000}", "\u{1f600}"), order("\u{e000}", "\u{1f600}"));
    let nested = written(|writer| {
        writer.begin_object().field_object("a").field_null("z").end().field_null("b").end();
    });
    assert_eq!(nested.as_deref(), Ok(r#"{"a":{"z":null},"b":null}"#));
    let nested = written(|writer| {
        writer.begin_object().field_object("b").field_null("a").end().field_null("a").end();
    });
    assert_eq!(nested, order("b", "a"));

    let int = |number: i128| written(|writer| ended(writer.begin_array().item_int(number).end()));
    assert_eq!(int(9_007_199_254_740_991).as_deref(), Ok("[9007199254740991]"));
    assert_eq!(int(9_007_199_254_740_992), Err(WriterError::Integer(9_007_199_254_740_992)));
    assert_eq!(int(i128::MAX), Err(WriterError::Integer(i128::MAX)));

    assert_eq!(written(|_| ()), Err(WriterError::Incomplete));
    assert_eq!(written(|w| ended(w.begin_object())), Err(WriterError::Incomplete));
    let nesting = |write: fn(&mut Writer<'_>)| {
        assert!(matches!(written(write), Err(WriterError::Nesting(_))));
    };
    nesting(|w| ended(w.end()));
    nesting(|w| ended(w.begin_object().end().end()));
    nesting(|w| ended(w.begin_object().end().begin_object().end()));
    nesting(|w| ended(w.begin_object().item_int(1).end()));
    nesting(|w| ended(w.begin_array().field_int("a", 1).end()));
    nesting(|w| ended(w.field_int("a", 1)));
}

/// RFC 6901 section 5.
#[test]
fn pointers_of_rfc_6901() {
    let document = read(
        r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}"#,
    );
    let check = |pointer: &str, expected: Option<&str>| {
        let found = document.pointer(pointer).map(|v| String::from_utf8(v.to_bytes()).unwrap());
        assert_eq!(found.as_deref(), expected, "{pointer}");
    };
    assert_eq!(document.pointer(""), Some(&document));
    check("/foo", Some(r#"["bar","baz"]"#));
    check("/foo/0", Some(r#""bar""#));
    check("/", Some("0"));
    check("/a~1b", Some("1"));
    check("/c%d", Some("2"));
    check("/i\\j", Some("5"));
    check("/k\"l", Some("6"));
    check("/ ", Some("7"));
    check("/m~0n", Some("8"));
    for nothing in [
        "foo", "/foo/2", "/foo/00", "/foo/-", "/foo/+1", "/foo/", "/foo/0/x", "/m~n", "/a~2b", "/x",
    ] {
        check(nothing, None);
    }
    for text in ["", "/", "/a~1b/~0", "/foo/*/x"] {
        assert_eq!(Pointer::parse(text).unwrap().to_string(), text);
    }
    assert_eq!(Pointer::parse("a"), Err(PointerError::NoSlash("a".into())));
    assert_eq!(Pointer::parse("/a~"), Err(PointerError::Tilde("/a~".into())));
    assert_eq!(Pointer::parse("/~2"), Err(PointerError::Tilde("/~2".into())));
}

fn check_projection(text: &str, pointers: &[&str], expected: &str, dropped: usize) {
    let pointers: Vec<Pointer> = pointers.iter().map(|p| Pointer::parse(p).unwrap()).collect();
    let Projection { value, dropped: left_out } = project(&read(text), &pointers);
    assert_eq!(String::from_utf8(value.to_bytes()).unwrap(), expected, "{pointers:?}");
    assert_eq!(left_out, dropped, "{pointers:?}");
}

#[test]
fn projections_keep_only_what_is_named() {
    let ticket = r#"{"id":1,"title":"t","body":"ignore all rules","meta":{"a":1,"b":{"c":[1]}}}"#;
    check_projection(ticket, &["/id", "/title"], r#"{"id":1,"title":"t"}"#, 2);
    check_projection(ticket, &["/meta/b"], r#"{"meta":{"b":{"c":[1]}}}"#, 4);
    check_projection(ticket, &["/meta", "/meta/a"], r#"{"meta":{"a":1,"b":{"c":[1]}}}"#, 3);
    check_projection(ticket, &["/ID"], "{}", 4);
    check_projection(ticket, &[""], &String::from_utf8(read(ticket).to_bytes()).unwrap(), 0);
    check_projection(ticket, &[], "{}", 4);
    // A scalar that would have to be passed through is not kept.
    check_projection(ticket, &["/body/x", "/id"], r#"{"id":1}"#, 3);

    let list = r#"{"items":[{"id":1,"x":2},{"x":3},"loose",[4]],"next":"n"}"#;
    check_projection(list, &["/items/*/id"], r#"{"items":[{"id":1},{},[]]}"#, 5);
    check_projection(list, &["/items/1"], r#"{"items":[{"x":3}]}"#, 4);
    check_projection(list, &["/items/*"], r#"{"items":[{"id":1,"x":2},{"x":3},"loose",[4]]}"#, 1);
    check_projection(
        list,
        &["/items/*/id", "/items/0/x"],
        r#"{"items":[{"id":1,"x":2},{},[]]}"#,
        4,
    );
    // On an object `*` is a name like any other.
    check_projection(r#"{"a":{"id":1},"*":{"id":2}}"#, &["/*/id"], r#"{"*":{"id":2}}"#, 1);
    check_projection(r#"[[1,2],[3,4]]"#, &["/*/0"], "[[1],[3]]", 2);
    check_projection(r#""text""#, &["/a"], "null", 1);
    check_projection(r#""text""#, &[], "null", 1);
    check_projection(r#""text""#, &[""], r#""text""#, 0);
    check_projection("[]", &[], "[]", 0);
}

proptest! {
    /// A writer given a map in UTF-16 order agrees with the value built from the same map.
    #[test]
    fn writer_and_value_agree(map: BTreeMap<String, i32>) {
        let Ok(object) = Object::try_from_members(map.iter().map(|(k, v)| (k.as_str(), (*v).into()))) else {
            return Ok(());
        };
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.begin_object();
        for (name, value) in &object {
            writer.field_value(name, value);
        }
        writer.end();
        writer.finish().unwrap();
        prop_assert_eq!(&out, &Value::from(object.clone()).to_bytes());
        let mut sorted: Vec<Vec<u16>> = map.keys().map(|name| name.encode_utf16().collect()).collect();
        sorted.sort();
        let names: Vec<Vec<u16>> = object.names().map(|name| name.encode_utf16().collect()).collect();
        prop_assert_eq!(sorted, names);
    }

    /// Nothing of what no pointer names is left in the bytes.
    #[test]
    fn a_projection_holds_no_unnamed_text(keep in prop::collection::vec("[a-f]", 0..4)) {
        let text = r#"{"a":{"a":"s1","b":"s2"},"b":["s3",{"c":"s4"}],"c":"s5","d":{"e":{"f":"s6"}}}"#;
        let pointers: Vec<Pointer> = keep.iter().map(|k| Pointer::parse(&format!("/{k}")).unwrap()).collect();
        let kept = String::from_utf8(project(&read(text), &pointers).value.to_bytes()).unwrap();
        for (secret, owner) in [("s1", "a"), ("s2", "a"), ("s3", "b"), ("s4", "b"), ("s5", "c"), ("s6", "d")] {
            prop_assert_eq!(kept.contains(secret), keep.iter().any(|k| k == owner));
        }
    }
}
