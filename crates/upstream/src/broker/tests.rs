//! Where secrets may come from, and that they are never shown.

use super::*;
use model::{Name, declared::Upstream};
use std::{fs, os::unix::fs::symlink};

fn broker(directory: Option<&Path>) -> Broker {
    let environment: Environment = Arc::new(|name: &str| match name {
        "AMBIT_SECRET_PLAIN" => Some("abc-123-def".to_owned()),
        "AMBIT_SECRET_NAMED" => Some("X-Api-Key: abc-123-def\n".to_owned()),
        "AMBIT_SECRET_COLON" => Some("user:pass".to_owned()),
        "AMBIT_SECRET_EMPTY" => Some(" \n".to_owned()),
        "AMBIT_SECRET_HOST" => Some("Host: evil.example".to_owned()),
        "AMBIT_SECRET_LINES" => Some("abc\r\nX-Evil: 1".to_owned()),
        "HOME" => Some("/root".to_owned()),
        _ => None,
    });
    Broker::new(environment, directory.map(Path::to_owned))
}

fn declared(source: CredentialSource) -> BTreeMap<UpstreamName, Upstream> {
    let upstream = Upstream {
        kind: declared::UpstreamKind::Mcp,
        url: "http://127.0.0.1:1/mcp".to_owned(),
        local: None,
        environment: None,
        credential: Some(source),
        actions: BTreeMap::new(),
        default_action: None,
        line: 1,
    };
    BTreeMap::from([(Name::new("tickets").unwrap(), upstream)])
}

/// The header that is sent for a source, or why there is none.
fn header(broker: &Broker, source: CredentialSource) -> Result<String, String> {
    let upstreams = declared(source);
    broker.publish(&upstreams, wanted(&upstreams)).map_err(|errors| errors[0].to_string())?;
    let lent = broker.lend_for_definitions(upstreams.keys().next().unwrap());
    let (name, value) = lent.unwrap().header().unwrap();
    assert!(value.is_sensitive());
    Ok(format!("{name}: {}", value.to_str().unwrap()))
}

#[test]
fn a_variable_is_lent_only_if_it_is_a_secret_of_ambits() {
    let broker = broker(None);
    let check = |name: &str, expected: Result<&str, &str>| {
        let actual = header(&broker, CredentialSource::Env(name.to_owned()));
        match (actual, expected) {
            (Ok(actual), Ok(expected)) => assert_eq!(actual, expected),
            (Err(actual), Err(part)) => assert!(actual.contains(part), "{name}: {actual}"),
            (actual, expected) => panic!("{name}: {actual:?} instead of {expected:?}"),
        }
    };
    check("AMBIT_SECRET_PLAIN", Ok("authorization: Bearer abc-123-def"));
    check("AMBIT_SECRET_NAMED", Ok("x-api-key: abc-123-def"));
    check("AMBIT_SECRET_COLON", Ok("authorization: Bearer user:pass"));
    check("AMBIT_SECRET_EMPTY", Err("is empty"));
    check("AMBIT_SECRET_ABSENT", Err("is not set"));
    check("AMBIT_SECRET_HOST", Err("not a credential"));
    check("AMBIT_SECRET_LINES", Err("characters that a header cannot hold"));
    check("HOME", Err("only `AMBIT_SECRET_*` is read"));
    check("ambit_secret_plain", Err("only `AMBIT_SECRET_*` is read"));
}

#[test]
fn a_file_is_lent_only_from_below_the_secrets_directory() {
    let root = tempfile::tempdir().unwrap();
    let secrets = root.path().join("secrets");
    fs::create_dir_all(secrets.join("team")).unwrap();
    fs::write(secrets.join("team/key"), "abc-123-def\n").unwrap();
    fs::write(secrets.join("empty"), "").unwrap();
    fs::write(secrets.join("long"), "x".repeat(20_000)).unwrap();
    fs::write(root.path().join("kek"), "the key of all keys").unwrap();
    symlink(root.path().join("kek"), secrets.join("leads-out")).unwrap();
    symlink(secrets.join("team/key"), secrets.join("stays-in")).unwrap();
    symlink(root.path(), secrets.join("up")).unwrap();
    let broker = broker(Some(&secrets));
    let check = |path: &str, expected: Option<&str>| {
        let actual = header(&broker, CredentialSource::File(path.to_owned()));
        match expected {
            None => {
                assert_eq!(actual.as_deref(), Ok("authorization: Bearer abc-123-def"), "{path}")
            }
            Some(part) => {
                let error = actual.unwrap_err();
                assert!(error.contains(part), "{path}: {error}");
                assert!(!error.contains("the key of all keys"));
            }
        }
    };
    check("team/key", None);
    check("stays-in", None);
    check("leads-out", Some("leads out of the secrets directory"));
    check("up/kek", Some("leads out of the secrets directory"));
    check("../kek", Some("leads out of the secrets directory"));
    check("team/../../kek", Some("leads out of the secrets directory"));
    check(root.path().join("kek").to_str().unwrap(), Some("leads out of the secrets directory"));
    check("", Some("leads out of the secrets directory"));
    check("absent", Some("cannot be read"));
    check("empty", Some("is empty"));
    check("long", Some("at most 16 KiB"));
    check("team", Some("is not a file"));
}

#[test]
fn without_a_directory_no_file_is_read() {
    let error = header(&broker(None), CredentialSource::File("/etc/hostname".into())).unwrap_err();
    assert!(error.contains("--secrets-dir"), "{error}");
}

#[test]
fn a_rotated_file_is_read_again() {
    let secrets = tempfile::tempdir().unwrap();
    let path = secrets.path().join("key");
    let broker = broker(Some(secrets.path()));
    let source = || CredentialSource::File("key".to_owned());
    fs::write(&path, "first-secret").unwrap();
    assert_eq!(header(&broker, source()).unwrap(), "authorization: Bearer first-secret");
    fs::write(&path, "the-second-secret").unwrap();
    assert_eq!(header(&broker, source()).unwrap(), "authorization: Bearer the-second-secret");
}

#[test]
fn one_wrong_upstream_keeps_all_from_being_published() {
    let broker = broker(None);
    let good = declared(CredentialSource::Env("AMBIT_SECRET_PLAIN".to_owned()));
    broker.publish(&good, wanted(&good)).unwrap();
    let mut bad = good.clone();
    bad.extend(
        declared(CredentialSource::Env("AMBIT_SECRET_ABSENT".to_owned())).into_values().map(
            |upstream| {
                (Name::new("other").unwrap(), Upstream { url: "nonsense".into(), ..upstream })
            },
        ),
    );
    assert_eq!(broker.publish(&bad, wanted(&bad)).unwrap_err().len(), 2);
    assert!(broker.lend_for_definitions(&Name::new("tickets").unwrap()).is_ok());
    let absent = broker.lend_for_definitions(&Name::new("other").unwrap()).unwrap_err();
    assert_eq!((absent.code(), absent.after_send()), (Code::UpstreamCredential, false));
}

#[test]
fn no_debug_output_shows_a_secret() {
    let broker = broker(None);
    let upstreams = declared(CredentialSource::Env("AMBIT_SECRET_PLAIN".to_owned()));
    broker.publish(&upstreams, wanted(&upstreams)).unwrap();
    let lent = broker.lend_for_definitions(upstreams.keys().next().unwrap()).unwrap();
    let shown = format!("{lent:?} {broker:?} {:?}", lent.header());
    assert!(!shown.contains("abc-123"), "{shown}");
}

#[test]
fn a_secret_goes_only_where_it_was_given_for() {
    let broker = broker(None);
    let name: UpstreamName = Name::new("tickets").unwrap();
    let at = |url: &str| {
        let mut upstreams = declared(CredentialSource::Env("AMBIT_SECRET_PLAIN".to_owned()));
        upstreams.get_mut(&name).unwrap().url = url.to_owned();
        upstreams
    };
    let given = wanted(&at("http://127.0.0.1:1/mcp"));
    let check = |url: &str, lent: bool| {
        broker.publish(&at(url), given.clone()).unwrap();
        let credential = broker.lend_for_definitions(&name);
        assert_eq!(credential.is_ok(), lent, "{url}");
        if let Err(fault) = credential {
            assert_eq!(fault.code(), Code::UpstreamCredential);
            assert!(fault.to_string().contains("ambit upstream credential tickets"), "{fault}");
        }
    };
    check("http://127.0.0.1:1/mcp", true);
    check("http://127.0.0.1:1/other", true);
    check("http://127.0.0.1:2/mcp", false);
    check("https://127.0.0.1:1/mcp", false);
    check("http://localhost:1/mcp", false);
    check("http://127.0.0.2:1/mcp", false);
    check("http://0x7f.1:1/mcp", true);
    // The same secret under another upstream's name is the same secret.
    let other = Name::new("other").unwrap();
    let mut two = at("http://127.0.0.1:1/mcp");
    let theirs = at("http://evil.example/").remove(&name).unwrap();
    two.insert(other.clone(), theirs);
    broker.publish(&two, given).unwrap();
    assert!(broker.lend_for_definitions(&name).is_ok());
    assert!(broker.lend_for_definitions(&other).is_err());
}
