//! The examples of RFC 8785, and what is this crate's own choice where the RFC leaves one.
#![expect(clippy::unwrap_used, reason = "what tests are made of cannot fail")]

use canonical::{Limits, NumberError, Value, parse};

fn check(input: &str, expected: &str) {
    let value = parse(input.as_bytes(), &Limits::ARGUMENTS).unwrap();
    let bytes = value.to_bytes();
    assert_eq!(String::from_utf8(bytes.clone()).unwrap(), expected);
    assert_eq!(parse(&bytes, &Limits::ARGUMENTS).unwrap(), value, "read back");
}

/// Section 3.2.2. Its first number, `333333333.33333329`, is one that doubles do not carry as
/// written and stands in the refusals.
#[test]
fn example_of_section_3_2_2() {
    check(
        r#"{
            "numbers": [333333333.3333333, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
            "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
            "literals": [null, true, false]
        }"#,
        r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#,
    );
}

/// Section 3.2.3: by UTF-16 code units, so that U+1F600 comes before U+FB33.
#[test]
fn example_of_section_3_2_3() {
    check(
        r#"{
            "\u20ac": "Euro Sign",
            "\r": "Carriage Return",
            "\ufb33": "Hebrew Letter Dalet With Dagesh",
            "1": "One",
            "\ud83d\ude00": "Emoji: Grinning Face",
            "\u0080": "Control",
            "\u00f6": "Latin Small Letter O With Diaeresis"
        }"#,
        "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\
         \"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\
         \"😀\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}",
    );
}

/// Appendix B. The whole numbers beyond 2^53 - 1 in it have a form in RFC 8785 and none in I-JSON.
#[test]
fn numbers_of_appendix_b() {
    for (bits, expected) in [
        (0x0000_0000_0000_0000, Ok("0")),
        (0x8000_0000_0000_0000, Ok("0")),
        (0x0000_0000_0000_0001, Ok("5e-324")),
        (0x8000_0000_0000_0001, Ok("-5e-324")),
        (0x7fef_ffff_ffff_ffff, Ok("1.7976931348623157e+308")),
        (0xffef_ffff_ffff_ffff, Ok("-1.7976931348623157e+308")),
        (0x4340_0000_0000_0000, Err(NumberError::TooLarge)),
        (0xc340_0000_0000_0000, Err(NumberError::TooLarge)),
        (0x4430_0000_0000_0000, Err(NumberError::TooLarge)),
        (0x7fff_ffff_ffff_ffff, Err(NumberError::NotFinite)),
        (0x7ff0_0000_0000_0000, Err(NumberError::NotFinite)),
        (0x44b5_2d02_c7e1_4af5, Ok("9.999999999999997e+22")),
        (0x44b5_2d02_c7e1_4af6, Ok("1e+23")),
        (0x44b5_2d02_c7e1_4af7, Ok("1.0000000000000001e+23")),
        (0x444b_1ae4_d6e2_ef4e, Err(NumberError::TooLarge)),
        (0x444b_1ae4_d6e2_ef4f, Err(NumberError::TooLarge)),
        (0x444b_1ae4_d6e2_ef50, Ok("1e+21")),
        (0x3eb0_c6f7_a0b5_ed8c, Ok("9.999999999999997e-7")),
        (0x3eb0_c6f7_a0b5_ed8d, Ok("0.000001")),
        (0x41b3_de43_5555_5553, Ok("333333333.3333332")),
        (0x41b3_de43_5555_5554, Ok("333333333.33333325")),
        (0x41b3_de43_5555_5555, Ok("333333333.3333333")),
        (0x41b3_de43_5555_5556, Ok("333333333.3333334")),
        (0x41b3_de43_5555_5557, Ok("333333333.33333343")),
        (0xbecb_f647_612f_3696, Ok("-0.0000033333333333333333")),
        (0x4314_3ff3_c1cb_0959, Ok("1424953923781206.2")),
    ] {
        let value = Value::number(f64::from_bits(bits));
        let bytes = value.map(|value| String::from_utf8(value.to_bytes()).unwrap());
        assert_eq!(bytes.as_deref(), expected.as_ref().copied(), "{bits:016x}");
        if let Ok(text) = expected {
            check(text, text);
        }
    }
}

#[test]
fn numbers_that_survive() {
    for (input, expected) in [
        ("-0", "0"),
        ("-0.0e-7", "0"),
        ("0e99999999999999999999", "0"),
        ("0.10", "0.1"),
        ("1e2", "100"),
        ("100.00", "100"),
        ("1200E-2", "12"),
        ("0.001e3", "1"),
        ("1e-7", "1e-7"),
        ("123456789012345", "123456789012345"),
        ("9007199254740991", "9007199254740991"),
        ("-9007199254740991", "-9007199254740991"),
        ("9007199254740991.0", "9007199254740991"),
        ("9.007199254740991e15", "9007199254740991"),
        ("6.02214076e23", "6.02214076e+23"),
        ("0.1000000000000000000000000000", "0.1"),
        ("0000000000".trim_end_matches("000000000"), "0"),
    ] {
        check(input, expected);
    }
}

#[test]
fn strings_are_escaped_where_they_must_be_and_nowhere_else() {
    check(
        r#""\u0000\u0008\u0009\u000a\u000b\u000c\u000d\u001f\u0020\u007f\u0080\u2028\/""#,
        "\"\\u0000\\b\\t\\n\\u000b\\f\\r\\u001f \u{7f}\u{80}\u{2028}/\"",
    );
    // Each special byte at each place of the eight bytes that are looked at together.
    for special in ["\\\"", "\\\\", "\\n", "\\u0001", "é", "😀", "\u{7f}"] {
        for before in 0..20 {
            for after in 0..10 {
                let text = format!("\"{}{special}{}\"", "a".repeat(before), "b".repeat(after));
                check(&text, &text);
            }
        }
    }
}

#[test]
fn blanks_are_dropped_and_members_sorted_at_every_level() {
    check(
        " \r\n\t{ \"b\" : [ { \"d\" : 1 , \"c\" : [ ] } , { } ] , \"a\" : { } } \n",
        r#"{"a":{},"b":[{"c":[],"d":1},{}]}"#,
    );
    check("  null ", "null");
    check(r#"{"":1,"a":{"":2}}"#, r#"{"":1,"a":{"":2}}"#);
    check(r#"{"ab":1,"a":2,"aB0":3}"#, r#"{"a":2,"aB0":3,"ab":1}"#);
}
