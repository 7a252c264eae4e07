//! The helpdesk of the examples, from its files to the verdicts of its own tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the functions that tests share are tests too"
)]

use declared::{Diagnostic, Sources, read, render};
use model::{ActionId, Timestamp, declared::PolicyFile};
use policy::{Definition, Definitions, Place, Problem};

const HELPDESK: &str = include_str!("../../../docs/examples/helpdesk.yaml");
const POLICY: &str = include_str!("../../../docs/examples/policies/helpdesk.cedar");

/// What the upstreams would say of themselves.
fn definitions() -> Definitions {
    let definition = |name: &str, properties: &str| {
        let text = format!(
            r#"{{"inputSchema":{{"properties":{{{properties}}},"type":"object"}},"name":"{name}"}}"#
        );
        let value = canonical::parse(text.as_bytes(), &canonical::Limits::FRAME).unwrap();
        Definition::new(value.to_bytes()).unwrap()
    };
    let action = |text: &str| ActionId::parse(text).unwrap();
    let id = r#""id":{"type":"string"}"#;
    let user = r#""reason":{"type":"string"},"user":{"type":"string"}"#;
    Definitions::from([
        (action("tickets.read"), definition("read", id)),
        (action("tickets.update"), definition("update", id)),
        (action("directory.reset_password"), definition("reset_password", user)),
        (action("hr.get_compensation"), definition("get_compensation", id)),
    ])
}

fn draw(problems: &[Problem], sources: &Sources) -> String {
    let place = |problem: &Problem| -> Diagnostic {
        let (message, fix) = (problem.message.clone(), problem.fix.clone());
        match &problem.place {
            Place::Declared { line } => sources.in_declared(*line, message, fix),
            Place::Policy { path, line, column, length } => {
                sources.in_policy(path, (*line, *column, *length), message, fix)
            }
        }
    };
    render(&problems.iter().map(place).collect::<Vec<_>>(), sources, false)
}

fn compiled(policy: &str) -> Result<policy::Compiled, String> {
    let file = PolicyFile { path: "policies/helpdesk.cedar".into(), text: policy.into() };
    let (declared, sources) =
        read("helpdesk.yaml", HELPDESK, vec![file]).map_err(|rejected| rejected.to_string())?;
    policy::compile(&declared, &definitions()).map_err(|problems| draw(&problems, &sources))
}

#[test]
fn its_tests_pass() {
    let compiled = compiled(POLICY).unwrap_or_else(|problems| panic!("{problems}"));
    let results = compiled.run_tests(Timestamp::from_seconds(1_800_000_000));
    assert_eq!(results.len(), 6);
    for result in &results {
        assert!(result.passed, "line {}: {result:#?}", result.line);
    }
}

/// The twin: with a policy for other names the case of the admin account fails, and only that one.
#[test]
fn its_tests_can_fail() {
    let compiled =
        compiled(&POLICY.replace("adm-", "root-")).unwrap_or_else(|problems| panic!("{problems}"));
    let results = compiled.run_tests(Timestamp::from_seconds(1_800_000_000));
    let failed: Vec<_> = results.iter().filter(|result| !result.passed).collect();
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert_eq!(failed[0].reason.as_deref(), Some("no-admin-resets"));
}

#[test]
fn a_misspelt_argument_in_the_policy_has_a_caret() {
    let policy = POLICY.replace("args.user like", "args.usr like");
    assert_ne!(policy, POLICY);
    let drawn = compiled(&policy).expect_err("the policy names an argument that is not there");
    assert!(drawn.contains("policies/helpdesk.cedar:4"), "{drawn}");
    assert!(drawn.contains('─'), "{drawn}");
}
