//! What reads bytes of strangers, each with a judge that shares no code with it.
#![expect(clippy::expect_used, reason = "a judge objects by panicking")]

use super::Target;
use identity::{Algorithm, Grant, SigningKey, Validity, VerificationKeys, Verified};
use model::{Digest, Duration, Name, Timestamp, TokenId};
use serde_json::Value;
use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    sync::OnceLock,
};

/// All of them.
pub const ALL: [Target; 6] = [TOKEN, MCP_FRAME, HTTP_EDGE, CANONICAL, BATCH, AMBIT_YAML];

/// An access token: whatever is not the very one that was minted is refused.
pub const TOKEN: Target = Target {
    name: "token",
    judge: token,
    seeds: || vec![minted().0.clone().into_bytes()],
    words: &[".", "..", "eyJhbGciOiJub25lIn0", "AAAA", "=", "-", "_"],
};

/// One message at the MCP door.
pub const MCP_FRAME: Target = Target {
    name: "mcp_frame",
    judge: mcp_frame,
    seeds: || {
        [
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"x"}}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            r#"{"jsonrpc":"2.0","id":"a","method":"ping","params":{"_meta":{"progressToken":7}}}"#,
            r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
        ]
        .map(|text| text.as_bytes().to_vec())
        .into()
    },
    words: &[
        "\"id\":",
        "\"method\":",
        "\"params\":",
        "null",
        "[",
        "]",
        "{",
        "}",
        "2.0",
        "1.0",
        "\"ID\":",
        ",",
    ],
};

/// Path and query at the HTTP door, one line each.
pub const HTTP_EDGE: Target = Target {
    name: "http_edge",
    judge: http_edge,
    seeds: || {
        ["users/bob/keys\npage=1&sort=a%20b", "tickets/4711\n", "a/b%2Dc/d.e\nq=%C3%A9", "\nx"]
            .map(|text| text.as_bytes().to_vec())
            .into()
    },
    words: &[
        "%2e", "%2F", "%5c", "%00", "%25", "..", "./", "//", ";", "%20", ".", "+", "&", "=",
        "%c0%ae", "\n",
    ],
};

/// JSON as it is decided on.
pub const CANONICAL: Target = Target {
    name: "canonical",
    judge: canonical_bytes,
    seeds: || {
        [
            r#"{"amount":9007199254740991,"to":"ana","list":[1,2.5,-0.1e3,true,null]}"#,
            r#"{"a":{"b":{"c":"\u00e9\ud83d\ude00"}},"B":1}"#,
            r#"[0,1e21,1e-7,"\n"]"#,
        ]
        .map(|text| text.as_bytes().to_vec())
        .into()
    },
    words: &[
        "\"a\":",
        ",\"TO\":1",
        "\"TO\":1,",
        "\"A\":",
        "\\u0061",
        "\\ud800",
        "9007199254740993",
        "1e400",
        "-0",
        "[",
        "{",
        "}",
        ",",
        "null",
    ],
};

/// A stored batch of the ledger.
pub const BATCH: Target = Target {
    name: "batch",
    judge: batch,
    seeds: batches,
    words: &["\u{0}", "\u{1}\u{0}\u{0}\u{0}", "\u{0}\u{0}\u{0}\u{1}", "\u{7f}"],
};

/// Declared state.
pub const AMBIT_YAML: Target = Target {
    name: "ambit_yaml",
    judge: ambit_yaml,
    seeds: || {
        [include_str!("seed.yaml"), "version: 1\n", "{ \"version\": 1, \"agents\": {} }"]
            .map(|text| text.as_bytes().to_vec())
            .into()
    },
    words: &[
        "\n  ",
        ": ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        "&a ",
        "*a",
        "!!str ",
        "<<: ",
        "|\n",
        "? ",
        "\"",
        "\u{e9}",
        "# ",
        "credential: ",
        "route: ",
    ],
};

/// What must never be shown of a file, in [`AMBIT_YAML`]'s seed.
const LITERAL: &str = "sk-live-0123456789abcdef";

fn kind(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

const NOW: Timestamp = Timestamp(1_790_000_000_000_000);
const ISSUER: &str = "http://127.0.0.1:8400";

/// A token of a key, and the keys that believe it.
fn minted() -> &'static (String, VerificationKeys) {
    static MINTED: OnceLock<(String, VerificationKeys)> = OnceLock::new();
    MINTED.get_or_init(|| {
        identity::install_crypto();
        let key = SigningKey::from_random(Algorithm::EdDsa, &[9; 32]).expect("a key");
        let mut keys = VerificationKeys::new();
        assert!(keys.insert(key.public().clone(), Validity::ALWAYS), "room for one key");
        let token = key.mint(&Grant {
            issuer: ISSUER,
            audience: "http://127.0.0.1:8400/mcp/tools",
            agent: &Name::new("reader").expect("a name"),
            version: Digest([7; 32]),
            instance: None,
            user: None,
            task: None,
            scope: None,
            token: TokenId::new(NOW, [1; 10]),
            issued: NOW,
            expires: NOW.after(Duration::seconds(300)),
            bound: false,
            delegation: identity::Delegation::default(),
            certificate: None,
        });
        (token.expect("a token"), keys)
    })
}

fn token(input: &[u8]) -> u64 {
    let Ok(text) = std::str::from_utf8(input) else { return 0 };
    let (minted, keys) = minted();
    match Verified::verify(text, keys, ISSUER, NOW) {
        Ok(_) => {
            assert_eq!(text, minted, "another token than the minted one was believed");
            1
        }
        Err(error) => kind(error.to_string()),
    }
}

fn mcp_frame(input: &[u8]) -> u64 {
    let theirs = serde_json::from_slice::<Value>(input);
    match gate::wire::readers::mcp(input) {
        Ok(method) => {
            let theirs = theirs.expect("what is read as a message is JSON");
            let member = |name: &str| theirs.get(name);
            assert!(theirs.is_object(), "one message is one object");
            assert_eq!(member("jsonrpc").and_then(Value::as_str), Some("2.0"));
            assert_eq!(member("method").and_then(Value::as_str), Some(method.as_str()));
            assert!(member("params").is_none_or(Value::is_object));
            let id = member("id")
                .is_none_or(|id| id.is_string() || id.is_i64() || id.is_u64() || id.is_f64());
            assert!(id, "{theirs}");
            assert!(!collides(&theirs), "two names that some reader takes for one: {theirs}");
            kind(theirs.as_object().map(|members| members.len()))
        }
        Err(code) => kind(code.slug()),
    }
}

fn http_edge(input: &[u8]) -> u64 {
    let Ok(text) = std::str::from_utf8(input) else { return 0 };
    let (path, query) = text.split_once('\n').unwrap_or((text, ""));
    let segments = gate::wire::readers::path(path);
    if let Ok(segments) = &segments {
        for segment in segments {
            let bad = |c: char| c.is_control() || matches!(c, '/' | '\\' | ';' | '%');
            assert!(!segment.is_empty() && !segment.chars().any(bad), "{segment:?}");
            assert!(!segment.ends_with(['.', ' ']) && !segment.starts_with(' '), "{segment:?}");
        }
        // Rebuilt, they are the same segments below the same place, however often a URL is read.
        let mut url = url::Url::parse("http://upstream.example/base/").expect("a URL");
        url.path_segments_mut().expect("a path").pop_if_empty().extend(segments);
        let again = url::Url::parse(url.as_str()).expect("a rebuilt URL");
        assert_eq!(again, url);
        let rebuilt = again.path_segments().expect("segments").count();
        let expected = if segments.is_empty() { 1 } else { 1 + segments.len() };
        assert_eq!(rebuilt, expected, "{again}");
        assert!(again.path().starts_with("/base"), "{again}");
    }
    let pairs = gate::wire::readers::query(query);
    if let Ok(pairs) = &pairs {
        for (place, (name, _)) in pairs.iter().enumerate() {
            let twice = pairs
                .iter()
                .skip(place + 1)
                .any(|(other, _)| other.to_lowercase() == name.to_lowercase());
            assert!(!twice && !name.is_empty() && name.trim() == name, "{name:?}");
        }
        let theirs = url::form_urlencoded::parse(query.as_bytes()).into_owned();
        let theirs: Vec<(String, String)> =
            theirs.filter(|(name, value)| !(name.is_empty() && value.is_empty())).collect();
        assert_eq!(&theirs, pairs, "another reader reads it otherwise");
    }
    kind((segments.map(|list| list.len()), pairs.map(|list| list.len())))
}

/// Whether any object in it has two names that some reader takes for one.
fn collides(value: &Value) -> bool {
    match value {
        Value::Object(members) => {
            let mut names: Vec<String> = members.keys().map(|name| name.to_lowercase()).collect();
            names.sort_unstable();
            names.windows(2).any(|pair| pair.first() == pair.last())
                || members.values().any(collides)
        }
        Value::Array(items) => items.iter().any(collides),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn canonical_bytes(input: &[u8]) -> u64 {
    let limits = canonical::Limits { bytes: 1 << 16, depth: 64, members: 10_000 };
    match canonical::parse(input, &limits) {
        Ok(value) => {
            let bytes = value.to_bytes();
            let again = canonical::parse(&bytes, &limits).expect("canonical bytes are read back");
            assert_eq!(again.to_bytes(), bytes, "the canonical form is its own canonical form");
            let ours: Value = serde_json::from_slice(&bytes).expect("canonical bytes are JSON");
            let theirs: Value = serde_json::from_slice(input).expect("both read it");
            assert!(same(&ours, &theirs), "{ours} is not {theirs}");
            assert!(!collides(&theirs), "two names that some reader takes for one: {theirs}");
            kind(("value", bytes.len() / 4))
        }
        Err(error) => {
            assert!(error.offset() <= input.len());
            kind(error.code())
        }
    }
}

/// Equal, numbers as doubles: that is what JavaScript, Go and Python make of them.
fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

/// Batches as a small ledger would store them.
fn batches() -> Vec<Vec<u8>> {
    let leaf = |sequence: u64, kind: model::record::RecordKind| ledger::Leaf {
        kind,
        node: 1,
        sequence,
        at: NOW,
        commitments: ledger::Commitments::default(),
        sealed: Digest([3; 32]),
        control_root: (kind == model::record::RecordKind::Control).then_some(Digest([4; 32])),
    };
    let mut leaves = Vec::new();
    leaf(0, model::record::RecordKind::Opened).encode(&mut leaves);
    leaf(1, model::record::RecordKind::Control).encode(&mut leaves);
    let full = ledger::Row {
        count: 2,
        at: NOW,
        leaves,
        hashes: vec![5; 64],
        sealed: vec![0, 0, 0, 2, 1, 2, 0, 0, 0, 1, 9],
        effects: vec![0; 8],
        frontier: vec![0; 9],
        ..ledger::Row::default()
    };
    vec![ledger::Row::default().to_bytes(), full.to_bytes()]
}

fn batch(input: &[u8]) -> u64 {
    let Some(row) = ledger::Row::from_bytes(input) else {
        return kind(("none", input.len().min(64)));
    };
    assert_eq!(row.to_bytes(), input, "a row has one form");
    let (mut rest, mut read) = (row.leaves.as_slice(), 0);
    let ended = loop {
        match ledger::Leaf::decode(rest) {
            Ok((leaf, length)) => {
                let mut bytes = Vec::new();
                leaf.encode(&mut bytes);
                assert_eq!(rest.get(..length), Some(bytes.as_slice()), "a leaf has one form");
                rest = rest.get(length..).unwrap_or_default();
                read += 1;
            }
            Err(error) => break error.to_string(),
        }
    };
    let boxes = row.boxes().map(<[u8]>::len).sum::<usize>();
    assert!(boxes <= row.sealed.len(), "boxes lie in their row");
    let effects = ledger::read_effects(&row.effects, row.count).is_ok();
    kind((read, ended, boxes.min(32), effects))
}

fn ambit_yaml(input: &[u8]) -> u64 {
    let Ok(text) = std::str::from_utf8(input) else { return 0 };
    match declared::read("ambit.yaml", text, Vec::new()) {
        Ok((declared, _)) => {
            kind((declared.agents.len(), declared.upstreams.len(), declared.intents.len()))
        }
        Err(rejected) => {
            let lines: Vec<&str> = text.split('\n').collect();
            for problem in &rejected.diagnostics {
                let line = usize::try_from(problem.line).unwrap_or(usize::MAX);
                let width = lines.get(line.wrapping_sub(1)).map(|line| line.chars().count() + 1);
                let column = usize::try_from(problem.column).unwrap_or(usize::MAX);
                assert!(width.is_some_and(|width| (1..=width).contains(&column)), "{problem:?}");
                assert!(problem.length >= 1 && !problem.fix.is_empty(), "{problem:?}");
            }
            let shown = declared::render(&rejected.diagnostics, &rejected.sources, true);
            // Grown together with what stands before it, it is another word.
            let stands = |(at, _): (usize, &str)| {
                let before = shown.get(..at).and_then(|text| text.chars().next_back());
                !before.is_some_and(char::is_alphanumeric)
            };
            assert!(!shown.match_indices(LITERAL).any(stands), "a literal secret is shown");
            // Without what it quotes, a message is a kind.
            let kinds =
                |text: &str| text.split('`').step_by(2).map(str::to_owned).collect::<Vec<_>>();
            kind(rejected.diagnostics.first().map(|problem| kinds(&problem.message)))
        }
    }
}
