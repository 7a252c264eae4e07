//! What is refused, each beside a twin that is accepted and differs in that one thing.
#![expect(clippy::panic, reason = "a twin that is refused must be shown")]

use canonical::{Limits, Reason, parse};

const SMALL: Limits = Limits { bytes: 4096, depth: 8, members: 100 };

/// `refused` with this code at this offset; `twin` accepted.
fn check(refused: impl AsRef<[u8]>, code: &str, offset: usize, twin: impl AsRef<[u8]>) {
    let shown = String::from_utf8_lossy(refused.as_ref()).into_owned();
    let error = parse(refused.as_ref(), &SMALL).err();
    let error = error.unwrap_or_else(|| panic!("{shown} is accepted"));
    assert_eq!((error.code(), error.offset()), (code, offset), "{shown}: {error}");
    parse(twin.as_ref(), &SMALL)
        .unwrap_or_else(|error| panic!("the twin of {shown} is refused: {error}"));
}

#[test]
fn names() {
    check(r#"{"a":1,"a":1}"#, "duplicate_name", 7, r#"{"a":1,"b":1}"#);
    check(r#"{"a":1,"\u0061":1}"#, "duplicate_name", 7, r#"{"a":1,"\u0062":1}"#);
    check(r#"[{"x":{"a":1,"b":2,"a":3}}]"#, "duplicate_name", 19, r#"[{"x":{"a":1,"b":2,"c":3}}]"#);
    let around = r#"{"a":{"p":1,"q":1},"a":1}"#;
    check(around, "duplicate_name", 19, r#"{"a":{"p":1,"q":1},"b":1}"#);
    check(r#"{"user":1,"User":1}"#, "case_folded_name", 10, r#"{"user":1,"Usor":1}"#);
    check(r#"{"x":[{"ä":1,"Ä":1}]}"#, "case_folded_name", 14, r#"{"x":[{"ä":1,"Ö":1}]}"#);
    // The Kelvin sign and the long s, which Go takes for k and s.
    check("{\"k\":1,\"\u{212a}\":1}", "case_folded_name", 7, "{\"k\":1,\"\u{212b}\":1}");
    check("{\"s\":1,\"\u{17f}\":1}", "case_folded_name", 7, "{\"s\":1,\"\u{180}\":1}");
    check("{\"\u{3c3}\":1,\"\u{3c2}\":1}", "case_folded_name", 8, "{\"\u{3c3}\":1,\"\u{3c4}\":1}");
    check("{\"straße\":1,\"STRASSE\":1}", "case_folded_name", 13, "{\"straße\":1,\"STRASE\":1}");
    // The same name in two objects is no duplicate.
    check(r#"{"a":{"a":1,"A":1}}"#, "case_folded_name", 12, r#"{"a":{"a":1},"b":{"a":1}}"#);
}

/// Above the number of members that are compared pairwise, in both positions.
#[test]
fn names_in_large_objects() {
    for count in [2_usize, 15, 16, 17, 18, 40] {
        let members: Vec<String> = (0..count).map(|n| format!("\"key{n}\":{n}")).collect();
        let good = format!("{{{}}}", members.join(","));
        let at = |n: usize| good.find(&format!("\"key{n}\"")).unwrap();
        let last = count - 1;
        let again = good.replace(&format!("\"key{last}\""), "\"key0\"");
        check(&again, "duplicate_name", at(last), &good);
        let folded = good.replace(&format!("\"key{last}\""), "\"KEY0\"");
        check(&folded, "case_folded_name", at(last), &good);
        let unicode = good.replace(&format!("\"key{last}\""), "\"\u{212a}ey0\"");
        check(&unicode, "case_folded_name", at(last), &good);
    }
}

#[test]
fn numbers() {
    check("9007199254740993", "number_not_exact", 0, "9007199254740991");
    check("9007199254740992", "number_not_exact", 0, "9007199254740990");
    check("-9007199254740992", "number_not_exact", 0, "-9007199254740991");
    check("9007199254740992.0", "number_not_exact", 0, "9007199254740991.0");
    check("1e16", "number_not_exact", 0, "1e15");
    check("1e20", "number_not_exact", 0, "1e21");
    check("1000000000000000000000", "number_not_exact", 0, "1e21");
    check("123456789012345678901234567890", "number_not_exact", 0, "123456789012345");
    check("[0.1000000000000000055511]", "number_not_exact", 1, "[0.1]");
    check("333333333.33333329", "number_not_exact", 0, "333333333.3333333");
    check("0.30000000000000001", "number_not_exact", 0, "0.30000000000000004");
    check("4.9e-324", "number_not_exact", 0, "5e-324");
    check("1e-400", "number_not_exact", 0, "1e-300");
    check("1e400", "number_not_exact", 0, "1e300");
    check("-1e400", "number_not_exact", 0, "-1e300");
    check("1e99999999999999999999", "number_not_exact", 0, "0e99999999999999999999");
    check("1e-99999999999999999999", "number_not_exact", 0, "0e-99999999999999999999");
    let long = format!("0.{}1", "0".repeat(400));
    check(&long, "number_not_exact", 0, format!("0.{}1", "0".repeat(300)));
    for (wrong, at, right) in [
        ("01", 0, "10"),
        ("-01", 1, "-10"),
        ("00", 0, "0"),
        ("1.", 2, "1.0"),
        (".5", 0, "0.5"),
        ("+1", 0, "1"),
        ("-", 1, "-1"),
        ("1e", 2, "1e1"),
        ("1e+", 3, "1e+1"),
        ("--1", 1, "-1"),
        ("NaN", 0, "null"),
        ("Infinity", 0, "null"),
    ] {
        check(wrong, "syntax", at, right);
    }
    check("0x1", "trailing_data", 1, "0");
    check("1.5.5", "trailing_data", 3, "1.55");
}

#[test]
fn text() {
    check(b"\"\xff\"", "not_utf8", 1, b"\"\x7f\"");
    check(b"{\"a\":\"\xc3\"}", "not_utf8", 6, "{\"a\":\"ä\"}");
    check(b"\"\xed\xa0\x80\"", "not_utf8", 1, b"\"\xed\x9f\xbf\"");
    check(b"\"\xc0\xaf\"", "not_utf8", 1, "\"/\"");
    check("\u{feff}1", "syntax", 0, "1");
    check(r#""\ud800""#, "lone_surrogate", 1, r#""\ud7ff""#);
    check(r#""\udc00""#, "lone_surrogate", 1, r#""\ud800\udc00""#);
    check(r#""\ud800\ud800""#, "lone_surrogate", 1, r#""\ud800\udfff""#);
    check(r#""\ud800x""#, "lone_surrogate", 1, r#""\ud801\udc00x""#);
    check(r#"{"\ud800":1}"#, "lone_surrogate", 2, r#"{"\ud7ff":1}"#);
    check(r#""\ud800\n""#, "lone_surrogate", 1, r#""\ud800\udc00\n""#);
    check("\"\u{fffe}\"", "noncharacter", 1, "\"\u{fffd}\"");
    check("\"\u{fdd0}\"", "noncharacter", 1, "\"\u{fdcf}\"");
    check("\"\u{10ffff}\"", "noncharacter", 1, "\"\u{10fffd}\"");
    check(r#""\uffff""#, "noncharacter", 1, r#""\ufffd""#);
    check(r#""\ud83f\udffe""#, "noncharacter", 1, r#""\ud83f\udffd""#);
    check("\"a\nb\"", "syntax", 2, "\"a\\nb\"");
    check("\"12345678\u{1f}\"", "syntax", 9, "\"12345678\u{7f}\"");
    check(r#""\x""#, "syntax", 1, r#""\n""#);
    check(r#""\u12g4""#, "syntax", 5, r#""\u1234""#);
    check(r#""\u123""#, "syntax", 6, r#""\u1233""#);
    check(r#""\U0041""#, "syntax", 1, r#""\u0041""#);
    check("\"abc", "syntax", 0, "\"abc\"");
    check("\"abc\\", "syntax", 4, "\"abc\"");
    check("'a'", "syntax", 0, "\"a\"");
}

#[test]
fn structure() {
    check("", "syntax", 0, "0");
    check(" ", "syntax", 1, " 0");
    check("[1,]", "syntax", 3, "[1]");
    check("[,1]", "syntax", 1, "[1]");
    check("[1 2]", "syntax", 3, "[1,2]");
    check("[1", "syntax", 2, "[1]");
    check("[1}", "syntax", 2, "[1]");
    check("]", "syntax", 0, "[]");
    check(r#"{"a":1,}"#, "syntax", 7, r#"{"a":1}"#);
    check(r#"{"a"}"#, "syntax", 4, r#"{"a":1}"#);
    check(r#"{"a":}"#, "syntax", 5, r#"{"a":1}"#);
    check(r#"{a:1}"#, "syntax", 1, r#"{"a":1}"#);
    check(r#"{1:1}"#, "syntax", 1, r#"{"1":1}"#);
    check(r#"{"a":1]"#, "syntax", 6, r#"{"a":1}"#);
    check(r#"{"a" 1}"#, "syntax", 5, r#"{"a" :1}"#);
    check("nul", "syntax", 0, "null");
    check("True", "syntax", 0, "true");
    check("// x\n1", "syntax", 0, "1");
    check("[1\u{a0}]", "syntax", 2, "[1 ]");
    check("[1\u{c}]", "syntax", 2, "[1\t]");
    check("1 2", "trailing_data", 2, "1 ");
    check("{}{}", "trailing_data", 2, "{}");
    check("nulll", "trailing_data", 4, "null");
    check("1\0", "trailing_data", 1, "1\n");
}

#[test]
fn limits() {
    check("[[[[[[[[[]]]]]]]]]", "too_deep", 8, "[[[[[[[[]]]]]]]]");
    check("[[[[[[[[{}]]]]]]]]", "too_deep", 8, "[[[[[[[0]]]]]]]");
    let list = |count: usize| format!("[{}]", vec!["1"; count].join(","));
    check(list(100), "too_large", 199, list(99));
    let text = |length: usize| format!("\"{}\"", "a".repeat(length));
    check(text(4095), "too_large", 4096, text(4094));
}

#[test]
fn depth_costs_no_stack() {
    let limits = Limits { bytes: usize::MAX, depth: usize::MAX, members: usize::MAX };
    let parse_on_a_small_stack = move |text: String| {
        std::thread::Builder::new()
            .stack_size(512 * 1024)
            .spawn(move || {
                parse(text.as_bytes(), &limits).map(|value| {
                    assert_eq!(value.clone().to_bytes(), text.as_bytes());
                    drop(value);
                })
            })
            .unwrap()
            .join()
            .unwrap()
    };
    for depth in [5_000, 1_000_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let unclosed = open.repeat(depth);
            assert_eq!(parse_on_a_small_stack(unclosed).unwrap_err().code(), "too_deep");
            let closed = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let error = parse_on_a_small_stack(closed).unwrap_err();
            assert_eq!(error.offset(), 256 * open.len());
        }
    }
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deepest = format!("{}1{}", open.repeat(256), close.repeat(256));
        parse_on_a_small_stack(deepest).unwrap();
    }
    let deep = "[".repeat(5_000);
    assert_eq!(parse(deep.as_bytes(), &Limits::ARGUMENTS).unwrap_err().offset(), 64);
    assert_eq!(parse(deep.as_bytes(), &Limits::FRAME).unwrap_err().offset(), 128);
}

#[test]
fn size_is_refused_before_it_is_read() {
    let mut big = vec![0xFF; (1 << 20) + 1];
    assert_eq!(parse(&big, &Limits::ARGUMENTS).unwrap_err().code(), "too_large");
    big.pop();
    assert_eq!(parse(&big, &Limits::ARGUMENTS).unwrap_err().code(), "not_utf8");
    let full = format!("\"{}\"", "a".repeat((1 << 20) - 2));
    assert_eq!(parse(full.as_bytes(), &Limits::ARGUMENTS).unwrap().to_bytes(), full.as_bytes());
    let commas = format!("[{}1]", "1,".repeat(500_000));
    assert_eq!(parse(commas.as_bytes(), &Limits::ARGUMENTS).unwrap_err().code(), "too_large");
}

/// Names chosen to be alike cost a sort, not a square: a million comparisons would be 10^12 here.
#[test]
fn many_members_are_no_attack() {
    let limits = Limits { bytes: usize::MAX, depth: 8, members: usize::MAX };
    let members: Vec<String> = (0..50_000).map(|n| format!("\"{:0>20}\":0", n)).collect();
    let text = format!("{{{}}}", members.join(","));
    let value = parse(text.as_bytes(), &limits).unwrap();
    assert_eq!(value.as_object().unwrap().len(), 50_000);
    let twice = text.replace("\"00000000000000049999\"", "\"00000000000000000007\"");
    assert_eq!(parse(twice.as_bytes(), &limits).unwrap_err().code(), "duplicate_name");
}

#[test]
fn an_error_says_where_and_what_to_do() {
    let error = parse("{\"ä\": 1,\n \"ö\": [2,\n  x]}".as_bytes(), &SMALL).unwrap_err();
    assert_eq!(error.to_string(), "line 3, column 3: expected a value");
    assert_eq!((error.line(), error.column(), error.offset()), (3, 3, 23));
    let error = parse("{\"ä\": 1, \"Ä\": 2}".as_bytes(), &SMALL).unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 1, column 10: members `ä` and `Ä` differ only in case; keep one"
    );
    let name = format!("a\\n\\u001b{}", "b".repeat(200));
    let error = parse(format!("{{\"{name}\":1,\"{name}\":2}}").as_bytes(), &SMALL).unwrap_err();
    let shown = format!("a\\n\\u{{1b}}{}", "b".repeat(61));
    assert_eq!(
        error.to_string(),
        format!("line 1, column 216: member `{shown}` occurs twice; keep one")
    );
    let error = parse(b"9007199254740993", &SMALL).unwrap_err();
    assert_eq!(error.reason(), &Reason::IntegerTooLarge);
    assert!(error.to_string().contains("send it as a string"), "{error}");
}
