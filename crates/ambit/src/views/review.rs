//! The page of a review: prompts → policies → tools → side effects.

use super::text;
use crate::output::printable;
use serde_json::Value;

/// `ambit agent review`
pub(crate) fn review(value: &Value) -> String {
    let before = value.get("before").and_then(Value::as_str);
    let mut out = format!(
        "{}  {}\nversion  {} (before: {})   state  {}   known  {}\n",
        text(value, "agent"),
        printable(text(value, "purpose")),
        short(text(value, "version")),
        before.map_or("-".to_owned(), short),
        text(value, "state"),
        text(value, "evidence"),
    );
    changes(&mut out, "1 prompts, model, integrations, image", &list(value, "prompts"));
    let policies = value.get("policies").cloned().unwrap_or_default();
    out.push_str(&format!(
        "\n2 policies\n  boundary {}, users {}, digest {}\n",
        text(&policies, "boundary"),
        policies.get("users").and_then(Value::as_str).unwrap_or("-"),
        short(text(&policies, "digest")),
    ));
    changes(&mut out, "3 tools", &list(value, "tools"));
    for said in list(value, "definitions") {
        let line = format!("  {} says by now: {}\n", text(&said, "action"), text(&said, "says"));
        out.push_str(&format!("{}\n", printable(line.trim_end())));
    }
    actions(&mut out, "4 newly reachable", &list(value, "newly_reachable"));
    actions(&mut out, "5 side effects of all that it reaches", &list(value, "side_effects"));
    let number = |member: &str| value.get(member).map(ToString::to_string).unwrap_or_default();
    out.push_str(&format!(
        "\ntests    {} of `tests:` are about it, {} fail\nreviews  {}; missing: {}\npage     {}\n",
        number("tests"),
        number("tests_failed"),
        names(value, "reviewers"),
        names(value, "answered_missing"),
        text(value, "page"),
    ));
    out
}

fn changes(out: &mut String, heading: &str, rows: &[Value]) {
    out.push_str(&format!("\n{heading}\n"));
    for row in rows {
        out.push_str(&format!(
            "  {:15}  {}  {} → {}  ({})\n",
            text(row, "class"),
            printable(text(row, "what")),
            printable(text(row, "from")),
            printable(text(row, "to")),
            text(row, "evidence"),
        ));
    }
    if rows.is_empty() {
        out.push_str("  nothing changed\n");
    }
}

fn actions(out: &mut String, heading: &str, rows: &[Value]) {
    out.push_str(&format!("\n{heading}\n"));
    for row in rows {
        out.push_str(&format!(
            "  {:30}  {:8}  {:12}  {}  {}\n",
            text(row, "action"),
            text(row, "risk"),
            text(row, "effect"),
            text(row, "how"),
            names(row, "data"),
        ));
    }
    if rows.is_empty() {
        out.push_str("  none\n");
    }
}

fn list(value: &Value, member: &str) -> Vec<Value> {
    value.get(member).and_then(Value::as_array).cloned().unwrap_or_default()
}

fn names(value: &Value, member: &str) -> String {
    let names = list(value, member);
    names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

fn short(text: &str) -> String {
    text.chars().take(12).collect()
}
