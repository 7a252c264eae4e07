//! What is published beside the code agrees with it: the JSON Schema, the examples, the codes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the functions that tests share are tests too"
)]

use declared::{read, schema};
use expect_test::expect_file;
use model::Code;
use serde_json::Value;

const FULL: &str = include_str!("../../../docs/examples/full.yaml");
const HELPDESK: &str = include_str!("../../../docs/examples/helpdesk.yaml");
const SERVERS: [&str; 3] = [
    include_str!("../../../docs/examples/servers/everything.yaml"),
    include_str!("../../../docs/examples/servers/filesystem.yaml"),
    include_str!("../../../docs/examples/servers/memory.yaml"),
];

fn validator() -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
}

fn yaml(text: &str) -> Value {
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options).unwrap()
}

fn problems(text: &str) -> Vec<String> {
    let validator = validator();
    let document = yaml(text);
    validator.iter_errors(&document).map(|e| format!("{} at {}", e, e.instance_path())).collect()
}

#[test]
fn the_schema_is_the_committed_one() {
    expect_file!["../../../docs/reference/ambit.schema.json"].assert_eq(&schema());
}

#[test]
fn the_schema_is_a_json_schema() {
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    jsonschema::meta::validate(&schema).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn examples_and_base_satisfy_the_schema() {
    for text in [FULL, HELPDESK, include_str!("base.yaml")].iter().chain(&SERVERS) {
        assert_eq!(problems(text), Vec::<String>::new());
    }
}

#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    for (from, to) in [
        ("purpose: Resolve", "purpsoe: Resolve"),
        ("risk: high", "risk: never"),
        ("ttl: 15m", "ttl: 15"),
        ("env:AMBIT_SECRET_TICKETS", "env:HOME"),
        ("env:AMBIT_SECRET_TICKETS", "secret:Tickets!"),
        ("owner: group:it-support", "owner: it-support"),
        ("required: 1", "required: 0"),
        ("calls: 300/h", "calls: 300"),
        ("version: 1\n", ""),
    ] {
        assert!(HELPDESK.contains(from), "{from}");
        let text = HELPDESK.replacen(from, to, 1);
        assert!(!problems(&text).is_empty(), "schema takes {to}");
        assert!(read("ambit.yaml", &text, Vec::new()).is_err(), "reader takes {to}");
    }
}

#[test]
fn the_catalogs_of_servers_are_accepted() {
    for text in SERVERS {
        read("server.yaml", text, Vec::new()).unwrap_or_else(|rejected| panic!("{rejected}"));
    }
}

#[test]
fn the_helpdesk_is_accepted() {
    let (declared, _) =
        read("helpdesk.yaml", HELPDESK, Vec::new()).unwrap_or_else(|rejected| panic!("{rejected}"));
    assert_eq!(declared.tests.len(), 6);
}

/// `full.yaml` states every key, so the reader names every key that nothing enforces yet.
#[test]
fn the_full_file_is_refused_only_for_what_is_not_enforced() {
    let rejected = read("full.yaml", FULL, Vec::new()).expect_err("it has keys of later versions");
    let others: Vec<_> =
        rejected.diagnostics.iter().filter(|d| !d.message.contains("not enforced yet")).collect();
    assert!(others.is_empty(), "{others:#?}");
    for key in keys(&serde_json::from_str(&schema()).unwrap(), true) {
        // Keys inside a block that is refused as a whole are not looked at.
        let inside = [
            "url",
            "subject",
            "tenant",
            "agent",
            "may_open",
            "tools",
            "integrations",
            "model",
            "prompt",
            "image",
            "every",
            "object",
            "sample",
            "after",
            "to",
            "rotate",
        ];
        let named = rejected.diagnostics.iter().any(|d| d.message.starts_with(&format!("`{key}`")));
        assert!(named || inside.contains(&key.as_str()), "`{key}` is not refused");
    }
}

#[test]
fn the_full_file_uses_every_key_of_the_schema() {
    let document = yaml(FULL);
    let mut used = Vec::new();
    collect(&document, &mut used);
    for key in keys(&serde_json::from_str(&schema()).unwrap(), false) {
        assert!(used.contains(&key), "`{key}` is not in docs/examples/full.yaml");
    }
}

#[test]
fn the_codes_are_the_committed_ones() {
    let mut page = String::from(
        "# Codes of refusals and faults\n\nGenerated from `crates/model/src/code.rs`; numbers are \
         never reused, lines are only added.\n\n| code | word | what the agent is told | what it \
         should do |\n| --- | --- | --- | --- |\n",
    );
    for code in Code::ALL {
        let (number, slug) = (code.number(), code.slug());
        page.push_str(&format!("| {number} | `{slug}` | {} | {} |\n", code.sentence(), code.fix()));
    }
    expect_file!["../../../docs/reference/codes.md"].assert_eq(&page);
}

/// The names of all properties of the schema, or of those that nothing enforces.
fn keys(schema: &Value, later_only: bool) -> Vec<String> {
    let mut out = Vec::new();
    let mut open = vec![schema];
    while let Some(value) = open.pop() {
        let Value::Object(members) = value else { continue };
        if let Some(Value::Object(properties)) = members.get("properties") {
            for (name, property) in properties {
                if !later_only || property.get("x-ambit-status").is_some() {
                    out.push(name.clone());
                }
            }
        }
        open.extend(members.values());
        for list in members.values().filter_map(Value::as_array) {
            open.extend(list);
        }
    }
    out
}

fn collect(document: &Value, used: &mut Vec<String>) {
    match document {
        Value::Object(members) => {
            for (name, value) in members {
                used.push(name.clone());
                collect(value, used);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, used)),
        _ => {}
    }
}
