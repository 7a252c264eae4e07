//! URLs that an upstream may and may not have.

use super::*;
use std::collections::BTreeMap;

fn upstream(url: &str) -> declared::Upstream {
    declared::Upstream {
        kind: declared::UpstreamKind::Mcp,
        url: url.to_owned(),
        local: None,
        environment: None,
        credential: None,
        actions: BTreeMap::new(),
        default_action: None,
        line: 1,
    }
}

#[test]
fn only_a_plain_http_url_names_an_upstream() {
    let name = model::Name::new("tickets").unwrap();
    let check = |url: &str, expected: Option<&str>| {
        let error = Target::new(&name, &upstream(url), None).err().map(|error| error.to_string());
        assert_eq!(error.is_some(), expected.is_some(), "{url}: {error:?}");
        if let (Some(error), Some(part)) = (error, expected) {
            assert!(error.contains(part), "{error}");
        }
    };
    check("http://127.0.0.1:9000/mcp", None);
    check("https://tickets.example/api/", None);
    check("tickets.example", Some("is not a URL"));
    check("ftp://tickets.example/", Some("no http or https host"));
    check("file:///etc/passwd", Some("no http or https host"));
    check("https://ana:secret@tickets.example/", Some("has a credential"));
    check("https://tickets.example/?key=1", Some("has a query"));
    check("https://tickets.example/#top", Some("has a fragment"));
}

#[test]
fn an_error_does_not_show_the_password_of_a_url() {
    let name = model::Name::new("tickets").unwrap();
    let error =
        Target::new(&name, &upstream("https://ana:hunter2@tickets.example/"), None).unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
}
