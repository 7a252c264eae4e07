//! Which URLs of a proof mean the URL of the request.

use super::{is_same, normalize};

const REQUEST: &str = "http://127.0.0.1:8400/mcp/tickets";

#[test]
fn urls_that_mean_the_same_are_the_same() {
    let same: &[(&str, &str)] = &[
        (REQUEST, REQUEST),
        ("HTTP://127.0.0.1:8400/mcp/tickets", REQUEST),
        ("http://127.0.0.1:8400/mcp/%74ickets", REQUEST),
        ("https://Gate.Example/x", "https://gate.example:443/x"),
        ("http://gate.example:80", "http://gate.example/"),
        ("http://gate.example/a%2fb", "http://gate.example/a%2Fb"),
        ("http://[::1]:8400/x", "http://[::1]:8400/x"),
        ("http://[::1]:80/x", "http://[::1]/x"),
    ];
    for (left, right) in same {
        assert!(is_same(left, right), "{left} {right}");
        assert!(is_same(right, left), "{right} {left}");
    }
}

#[test]
fn urls_that_differ_are_refused() {
    for other in [
        "https://127.0.0.1:8400/mcp/tickets",
        "http://127.0.0.2:8400/mcp/tickets",
        "http://127.0.0.1:8401/mcp/tickets",
        "http://127.0.0.1/mcp/tickets",
        "http://127.0.0.1:8400/mcp/tickets/",
        "http://127.0.0.1:8400/mcp/Tickets",
        "http://127.0.0.1:8400//mcp/tickets",
        "http://127.0.0.1:8400/mcp%2Ftickets",
        "http://127.0.0.1:8400/mcp",
        "",
    ] {
        assert!(!is_same(other, REQUEST), "{other}");
    }
}

#[test]
fn urls_of_another_form_are_never_the_same_even_as_themselves() {
    for url in [
        "http://127.0.0.1:8400/mcp/tickets?x=1",
        "http://127.0.0.1:8400/mcp/tickets#x",
        "http://127.0.0.1:8400/mcp/../mcp/tickets",
        "http://127.0.0.1:8400/mcp/%2e%2E/tickets",
        "http://127.0.0.1:8400/./x",
        "http://user@127.0.0.1:8400/x",
        "http://127.0.0.1:08400/x",
        "http://127.0.0.1:port/x",
        "http://127.0.0.1:8400/%7",
        "http://127.0.0.1:8400/%zz",
        "http://127.0.0.1:8400/a b",
        "http:///x",
        "//127.0.0.1:8400/x",
        "/mcp/tickets",
        "ftp://127.0.0.1/x",
        "http://127.0.0.1:8400\\x",
        "http://exämple/x",
    ] {
        assert_eq!(normalize(url), None, "{url}");
        assert!(!is_same(url, url), "{url}");
    }
    let long = format!("http://h/{}", "a".repeat(crate::limits::URL_BYTES));
    assert_eq!(normalize(&long), None);
}
