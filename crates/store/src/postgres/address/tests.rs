//! Addresses: what is refused, what is shown, where passwords are found.

use super::{Database, password_of};

fn parse(text: &str) -> Result<Database, String> {
    Database::parse(text, None).map_err(|error| error.to_string())
}

#[test]
fn what_leaves_the_machine_is_refused() {
    let check = |text: &str, refused: Option<&str>| match (parse(text), refused) {
        (Ok(_), None) => {}
        (Err(why), Some(part)) => assert!(why.contains(part), "{text}: {why}"),
        (parsed, refused) => panic!("{text}: {parsed:?}, expected {refused:?}"),
    };
    check("postgres://ambit@127.0.0.1:5432/ambit", None);
    check("postgresql://ambit@localhost/ambit", None);
    check("postgres://ambit@[::1]/ambit", None);
    check("postgres:///ambit?host=/run/postgresql&user=ambit", None);
    check("postgres://ambit@%2Frun%2Fpostgresql/ambit", None);
    check("postgres:///ambit", None);
    check("postgres://ambit@db.example/ambit", Some("another machine"));
    check("postgres://ambit@192.0.2.7/ambit", Some("another machine"));
    check("postgres://ambit@127.0.0.1.evil.example/ambit", Some("another machine"));
    check("postgres://ambit@127.0.0.1/ambit?hostaddr=192.0.2.7", Some("another machine"));
    check("postgres://ambit@127.0.0.1,192.0.2.7/ambit", Some("several hosts"));
    check("postgres://ambit@127.0.0.1/ambit?sslmode=require", Some("TLS"));
    check("mysql://ambit@127.0.0.1/ambit", Some("only `postgres://`"));
    check("ambit", Some("not a URL"));
    check("postgres://ambit@127.0.0.1/ambit?colour=red", Some("colour"));
}

#[test]
fn a_password_is_never_shown() {
    let texts = [
        "postgres://ambit:hunter2@127.0.0.1/ambit",
        "postgres://ambit@127.0.0.1/ambit?password=hunter2",
        "postgres://ambit:hunter2@127.0.0.1/ambit?options=-cfoo%3Dbar&passfile=/x",
    ];
    for text in texts {
        let database = parse(text).unwrap();
        assert!(database.holds_password(), "{text}");
        let shown = format!("{database} {database:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    for text in
        ["postgres://ambit:hunter2@db.example/ambit", "postgres://ambit:hunter2@127.0.0.1:x/ambit"]
    {
        let why = parse(text).unwrap_err();
        assert!(!why.contains("hunter2"), "{why}");
    }
    let shown = parse("postgres://ambit@127.0.0.1/ambit?passfile=/x").unwrap().to_string();
    assert_eq!(shown, "postgres://ambit@127.0.0.1/ambit?passfile=%2Fx");
    assert_eq!(parse(&shown).unwrap().to_string(), shown);
}

#[test]
fn passwords_are_found_by_the_first_line_that_fits() {
    let file = "# a comment\nother:5432:*:*:no\nhost:*:a\\:b:dana:p\\\\q:r\n*:*:*:*:last\nbroken\n";
    let find = |sought| password_of(file, sought).map(|found| found.to_string());
    assert_eq!(find(["host", "5432", "a:b", "dana"]).as_deref(), Some("p\\q:r"));
    assert_eq!(find(["host", "5432", "a", "dana"]).as_deref(), Some("last"));
    assert_eq!(find(["other", "5432", "a", "dana"]).as_deref(), Some("no"));
    assert_eq!(password_of("h:1:d:u:x", ["h", "2", "d", "u"]).map(|found| found.to_string()), None);
}
