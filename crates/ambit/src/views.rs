//! Answers as people read them. Each is a function of the answer's value, so that every other form says the same.

mod review;

pub(crate) use review::review;

use crate::{
    limits::{LINE_DATA, WHY_ARGUMENTS},
    ops::Verified,
    output::table,
};
use model::Decision;
use policy::{CaseResult, Explanation, Finding};
use serde_json::{Value, json};

/// The glyph and word of a decision.
fn mark(decision: &str) -> &'static str {
    match Decision::parse(decision) {
        None if decision == "would_deny" => "! would deny",
        None if decision == "would_ask" => "! would ask",
        Some(Decision::Allow) => "✓ allow",
        Some(Decision::Ask) => "⧗ ask",
        Some(Decision::Deny) | None => "✕ deny",
    }
}

/// A member as text; nothing if it is not there.
fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// Rows as columns: heading and member.
fn columns(rows: &Value, columns: &[(&str, &str)]) -> String {
    let headings: Vec<&str> = columns.iter().map(|(heading, _)| *heading).collect();
    let cell = |row: &Value, member: &str| match row.get(member) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let rows: Vec<Vec<String>> = rows
        .as_array()
        .map(|rows| {
            rows.iter()
                .map(|row| columns.iter().map(|(_, member)| cell(row, member)).collect())
                .collect()
        })
        .unwrap_or_default();
    if rows.is_empty() { "none\n".to_owned() } else { table(&headings, &rows) }
}

/// `name: value` lines, nested values as JSON.
pub(crate) fn members(value: &Value) -> String {
    let Some(members) = value.as_object() else { return value.to_string() };
    let width = members.keys().map(|name| name.chars().count()).max().unwrap_or(0);
    let line = |(name, value): (&String, &Value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("{name:width$}  {}\n", crate::output::printable(&value))
    };
    members.iter().filter(|(_, value)| !value.is_null()).map(line).collect()
}

/// `ambit secret list`
pub(crate) fn secrets(value: &Value) -> String {
    columns(value, &[("name", "name"), ("age", "age"), ("set", "set"), ("used by", "used_by")])
}

/// `ambit owner list`
pub(crate) fn owners(value: &Value) -> String {
    let list = [("name", "name"), ("state", "state"), ("until", "until"), ("agents", "agents")];
    columns(value, &list)
}

/// `ambit agent instances`
pub(crate) fn instances(value: &Value) -> String {
    columns(value, &[("name", "name"), ("state", "state")])
}

/// `ambit key list`
pub(crate) fn scoped_keys(value: &Value) -> String {
    let shown = ["id", "agent", "state", "scope", "networks", "until", "by"];
    columns(value, &shown.map(|name| (name, name)))
}

/// `ambit agent residual`
pub(crate) fn residual(value: &Value) -> String {
    columns(value, &[("what", "what"), ("which", "which"), ("why", "why")])
}

/// `ambit agent decommission`
pub(crate) fn decommission(value: &Value) -> String {
    let done = value.get("done").and_then(Value::as_bool).unwrap_or(false);
    let agent = text(value, "agent");
    let (heading, rows) = if done { ("ended", "ended") } else { ("would end", "plan") };
    let table = |rows: &str, heading: (&str, &str)| {
        let none = Value::Null;
        columns(value.get(rows).unwrap_or(&none), &[("what", "what"), heading, ("which", "which")])
    };
    let last = if done {
        format!(
            "agent `{agent}` is decommissioned; calls ended: {}\n{}",
            value.get("calls_ended").is_some_and(|ended| ended == true),
            text(value, "checkpoint")
        )
    } else {
        format!("there is no way back: `ambit agent decommission {agent} --yes`\n")
    };
    format!(
        "{heading}\n{}\nwhat Ambit cannot take away\n{}\n{last}",
        table(rows, ("count", "count")),
        table("residual", ("why", "why")),
    )
}

/// `ambit agent list`
pub(crate) fn agents(value: &Value) -> String {
    let list = [
        ("name", "name"),
        ("state", "state"),
        ("answered", "answered"),
        ("owner", "owner"),
        ("boundary", "boundary"),
        ("users", "users"),
        ("proof", "proof"),
        ("frozen", "frozen"),
        ("purpose", "purpose"),
    ];
    let rows = value.as_array().into_iter().flatten().cloned();
    columns(&rows.map(with_mark).collect(), &list)
}

/// An agent whose state says as well whether it is refused, and whether a version of it waits.
fn with_mark(mut agent: Value) -> Value {
    let mark = if text(&agent, "refused").is_empty() { "" } else { "✕ " };
    let waits = agent.get("version_waits").is_some_and(|waits| waits == true);
    let state =
        format!("{mark}{}{}", text(&agent, "state"), if waits { ", a version waits" } else { "" });
    if let Some(members) = agent.as_object_mut() {
        members.insert("state".into(), state.into());
        members.remove("version_waits");
    }
    agent
}

/// `ambit agent show`
pub(crate) fn agent(value: &Value) -> String {
    let mut plain = with_mark(value.clone());
    let actions =
        plain.as_object_mut().and_then(|members| members.remove("actions")).unwrap_or_default();
    let parts = plain.as_object_mut().and_then(|members| members.remove("parts"));
    let parts = parts.unwrap_or_default();
    let known = [("part", "part"), ("what", "what"), ("is", "is"), ("known", "evidence")];
    let list = [("action", "name"), ("risk", "risk"), ("effect", "effect"), ("sink", "sink")];
    let (parts, actions) = (columns(&parts, &known), columns(&actions, &list));
    format!("{}\n{parts}\n{actions}", members(&plain))
}

/// A change of a text file, as `patch -p1` and `git apply` take it.
pub(crate) fn patch(path: &std::path::Path, before: &str, after: &str) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let diff = similar::TextDiff::from_lines(before, after);
    let (from, to) = (format!("a/{name}"), format!("b/{name}"));
    diff.unified_diff().context_radius(3).header(&from, &to).to_string()
}

/// Differences in access as rows.
pub(crate) fn differences(differences: &[policy::Difference]) -> Value {
    let row = |found: &policy::Difference| {
        json!({
            "direction": found.direction.as_str(),
            "what": found.what,
            "subject": found.subject,
            "from": found.from,
            "to": found.to,
        })
    };
    differences.iter().map(row).collect()
}

/// Differences in access, one a line; what widens first.
pub(crate) fn difference_lines(rows: &Value) -> String {
    let line = |row: &Value| {
        let mark = match text(row, "direction") {
            "widens" => "+ widens ",
            "narrows" => "- narrows",
            _ => "  neutral",
        };
        let line = format!(
            "  {mark}  {:13} {}: {} → {}",
            text(row, "what"),
            text(row, "subject"),
            text(row, "from"),
            text(row, "to")
        );
        crate::output::printable(&line) + "\n"
    };
    rows.as_array().into_iter().flatten().map(line).collect()
}

/// `ambit diff`
pub(crate) fn difference(value: &Value) -> String {
    let is = |member: &str| value.get(member).and_then(Value::as_bool).unwrap_or(false);
    if !is("differs") {
        return "no difference\n".to_owned();
    }
    let access = difference_lines(value.get("access").unwrap_or(&Value::Null));
    let access = if access.is_empty() { "  no access changes\n".to_owned() } else { access };
    let failed = value.get("failed").and_then(Value::as_array).into_iter().flatten();
    let failed: String = failed.filter_map(Value::as_str).map(|line| format!("{line}\n")).collect();
    format!("{}\n{access}\n{failed}", text(value, "patch").trim_end())
}

/// `ambit apply`, `ambit rollback`
pub(crate) fn applied(value: &Value) -> String {
    let Some(revision) = value.get("revision") else { return "nothing changed\n".to_owned() };
    let access = difference_lines(value.get("access").unwrap_or(&Value::Null));
    let patch = text(value, "patch");
    let patch = if patch.is_empty() { String::new() } else { format!("{}\n", patch.trim_end()) };
    let tests = value.get("tests").and_then(Value::as_u64).unwrap_or(0);
    let failed = value.get("tests_failed").and_then(Value::as_u64).unwrap_or(0);
    let tests = if failed == 0 {
        format!("{tests} tests passed")
    } else {
        format!("{failed} of {tests} tests fail and were skipped, since nobody gains")
    };
    let withheld = value.get("credentials_withheld").and_then(Value::as_array);
    let withheld: String = withheld.into_iter().flatten().filter_map(Value::as_str).map(|name| {
        format!("! the credential of `{name}` is withheld: it was given for another address; if this one is right, `ambit upstream credential {name} --confirm`\n")
    }).collect();
    format!("{patch}{access}✓ in force as revision {revision}; {tests}\n{withheld}")
}

/// `ambit doctor`
pub(crate) fn doctor(value: &Value) -> String {
    let line = |probe: &Value| {
        let mark = match text(probe, "state") {
            "ok" => "✓",
            "warn" => "!",
            _ => "✕",
        };
        let fix = text(probe, "fix");
        let fix = if fix.is_empty() { String::new() } else { format!("\n    → {fix}") };
        format!("{mark} {:16} {}{fix}\n", text(probe, "probe"), text(probe, "found"))
    };
    value.as_array().into_iter().flatten().map(line).collect()
}

/// `ambit history`
pub(crate) fn history(value: &Value) -> String {
    let list = [
        ("revision", "revision"),
        ("at", "at"),
        ("what", "what"),
        ("by", "by"),
        ("widens", "widens"),
        ("changes", "access"),
        ("reason", "reason"),
    ];
    columns(value, &list)
}

/// `ambit report would`
pub(crate) fn would(value: &Value) -> String {
    let groups = value.get("groups").unwrap_or(&Value::Null);
    if groups.as_array().is_none_or(Vec::is_empty) {
        return format!("enforcing would have refused nothing since {}\n", text(value, "since"));
    }
    let list = [
        ("action", "action"),
        ("rule", "rule"),
        ("would", "would"),
        ("calls", "calls"),
        ("then", "then"),
        ("last", "last"),
        ("trace", "trace"),
    ];
    let mut out = columns(groups, &list);
    for group in groups.as_array().into_iter().flatten() {
        let advice = text(group, "advice");
        if !advice.is_empty() {
            out.push_str(&format!(
                "{} ({}): {advice}\n",
                text(group, "action"),
                text(group, "rule")
            ));
        }
    }
    let hindrance = text(value, "hindrance");
    if !hindrance.is_empty() {
        out.push_str(&format!("no change is proposed: {hindrance}\n"));
    }
    let diff = text(value, "diff");
    if !diff.is_empty() {
        let done = value.get("written").and_then(Value::as_bool).unwrap_or(false);
        let word = if done { "written; `ambit apply` takes it" } else { "`--write` writes it" };
        out.push_str(&format!("\nThis change makes `then` true ({word}):\n{diff}"));
    }
    out
}

/// `ambit freeze list`
pub(crate) fn frozen(value: &Value) -> String {
    let list = [("selector", "selector"), ("how", "how"), ("since", "since"), ("reason", "reason")];
    columns(value, &list)
}

/// One action in one line: human → agent@version#instance → tool → data.
pub(crate) fn trace_line(row: &Value) -> String {
    let cut =
        |member: &str, length: usize| text(row, member).chars().take(length).collect::<String>();
    let at: String = text(row, "at").chars().skip(11).take(8).collect();
    let human = if text(row, "on_behalf_of").is_empty() { "-" } else { text(row, "on_behalf_of") };
    let instance = cut("instance", 6);
    let instance = if instance.is_empty() { String::new() } else { format!("#{instance}") };
    let data = [text(row, "resource")].into_iter().find(|data| !data.is_empty()).map(str::to_owned);
    let data =
        data.unwrap_or_else(|| short(row.get("arguments").unwrap_or(&Value::Null), LINE_DATA));
    let ending = match (text(row, "decision"), text(row, "outcome"), text(row, "code")) {
        ("allow", outcome, _) => outcome.to_owned(),
        (would, outcome, code) if would.starts_with("would_") => {
            format!("{outcome} ({code} when enforced)")
        }
        (_, _, code) => code.to_owned(),
    };
    let version = cut("version", 6);
    let version = if version.is_empty() { String::new() } else { format!("@{version}") };
    let agent = text(row, "agent");
    let line = format!(
        "{at}  {:7}  {human} → {agent}{version}{instance} → {} → {data}  {ending}",
        mark(text(row, "decision")),
        text(row, "action"),
    );
    crate::output::printable(line.trim_end())
}

/// A value as text of at most so many characters.
fn short(value: &Value, most: usize) -> String {
    let text = if value.is_null() { "-".to_owned() } else { value.to_string() };
    if text.chars().count() <= most {
        return text;
    }
    format!("{}…", text.chars().take(most.saturating_sub(1)).collect::<String>())
}

/// `ambit trace list`
pub(crate) fn traces(value: &Value) -> String {
    let rows = value.as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        return "nothing was done or refused\n".to_owned();
    }
    rows.iter().map(|row| format!("{}  {}\n", trace_line(row), text(row, "trace"))).collect()
}

/// `ambit trace show`
pub(crate) fn trace(value: &Value) -> String {
    let mut out = format!("trace {}\n", text(value, "trace"));
    for row in value.get("actions").and_then(Value::as_array).into_iter().flatten() {
        out.push_str(&format!("{}\n", trace_line(row)));
    }
    for record in value.get("records").and_then(Value::as_array).into_iter().flatten() {
        let (sequence, kind) =
            (record.get("sequence").unwrap_or(&Value::Null), text(record, "kind"));
        out.push_str(&format!("\nentry {sequence}  {kind}  {}\n", text(record, "at")));
        for part in ["envelope", "subject", "arguments", "result"] {
            let value = record.get(part).unwrap_or(&Value::Null);
            if !value.is_null() {
                out.push_str(&format!(
                    "  {part:9}  {}\n",
                    crate::output::printable(&value.to_string())
                ));
            }
        }
    }
    out
}

/// Policies that decided, with their conditions, as rows.
pub(crate) fn findings(explanation: &Explanation) -> Value {
    let condition = |checked: &policy::Checked| {
        let values: serde_json::Map<String, Value> = checked
            .values
            .iter()
            .map(|(path, value)| (path.clone(), value.as_str().into()))
            .collect();
        json!({ "clause": checked.clause, "condition": checked.text, "outcome": checked.outcome, "values": values })
    };
    let row = |finding: &Finding| {
        json!({
            "id": finding.reason.id, "path": finding.reason.path, "line": finding.reason.line,
            "sentence": finding.reason.sentence, "text": finding.text,
            "conditions": finding.conditions.iter().map(condition).collect::<Value>(),
        })
    };
    explanation.findings.iter().map(row).collect()
}

/// What would come of a question, as a value.
pub(crate) fn explanation(explained: &Explanation) -> Value {
    json!({
        "decision": explained.decision.as_str(),
        "code": explained.code.map(model::Code::slug),
        "rules": explained.rules.iter().map(|rule| rule.as_str()).collect::<Vec<_>>(),
        "sentence": explained.sentence,
        "policies": findings(explained),
    })
}

/// `ambit check`
pub(crate) fn check(value: &Value) -> String {
    let rules: Vec<&str> = value
        .get("rules")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let rules = if rules.is_empty() { String::new() } else { format!(" ({})", rules.join(", ")) };
    let code = text(value, "code");
    let code = if code.is_empty() { String::new() } else { format!(" {code}") };
    let mut out =
        format!("{}{code}{rules}: {}\n", mark(text(value, "decision")), text(value, "sentence"));
    out.push_str(&policies(value));
    out
}

fn policies(value: &Value) -> String {
    let mut out = String::new();
    for finding in value.get("policies").and_then(Value::as_array).into_iter().flatten() {
        let line = finding.get("line").and_then(Value::as_u64).unwrap_or(0);
        let place = if line == 0 {
            text(finding, "path").to_owned()
        } else {
            format!("{}:{line}", text(finding, "path"))
        };
        out.push_str(&format!("  policy {}  {place}\n", text(finding, "id")));
        for condition in finding.get("conditions").and_then(Value::as_array).into_iter().flatten() {
            let (clause, condition_text) =
                (text(condition, "clause"), text(condition, "condition"));
            out.push_str(&format!(
                "    {clause} {condition_text}  is {}\n",
                text(condition, "outcome")
            ));
            for (path, value) in
                condition.get("values").and_then(Value::as_object).into_iter().flatten()
            {
                out.push_str(&format!("      {path} = {}\n", value.as_str().unwrap_or_default()));
            }
        }
    }
    crate::output::printable_lines(&out)
}

/// `ambit why`
pub(crate) fn why(value: &Value) -> String {
    let mut out = format!(
        "{} {}  {} → {}  {}\n",
        mark(text(value, "decision")),
        text(value, "code"),
        text(value, "agent"),
        text(value, "action"),
        value
            .get("arguments")
            .filter(|arguments| !arguments.is_null())
            .map(|arguments| short(arguments, WHY_ARGUMENTS))
            .unwrap_or_default(),
    );
    out.push_str(&format!("  {}\n", text(value, "sentence")));
    out.push_str(&policies(value));
    let reasons = value.get("reasons").and_then(Value::as_array).into_iter().flatten();
    if value.get("policies").is_none_or(Value::is_null) {
        for reason in reasons {
            out.push_str(&format!("  policy {}  {}\n", text(reason, "id"), text(reason, "path")));
        }
    }
    if value.get("trace").is_some_and(|trace| !trace.is_null()) {
        out.push_str(&format!(
            "  trace {}  entry {}\n",
            text(value, "trace"),
            text(value, "entry")
        ));
    }
    crate::output::printable_lines(&out)
}

/// One case of `tests:`.
pub(crate) fn case_line(result: &CaseResult) -> String {
    let question = &result.question;
    let user = question.user.as_ref().map(|user| format!(" for {user}")).unwrap_or_default();
    let arguments = String::from_utf8_lossy(&question.arguments.to_bytes()).into_owned();
    let got = result.explanation.decision;
    let line = if result.passed {
        format!("✓ {}{user}: {} {arguments} → {got}", question.agent, question.action)
    } else {
        let reason =
            result.reason.as_ref().map(|reason| format!(" by `{reason}`")).unwrap_or_default();
        format!(
            "✕ ambit.yaml:{}: {}{user}: {} {arguments} → expected {}{reason}, got {got}: {}",
            result.line,
            question.agent,
            question.action,
            result.expected,
            result.explanation.sentence
        )
    };
    crate::output::printable(&line)
}

/// All cases as rows.
pub(crate) fn cases(results: &[CaseResult]) -> Value {
    let row = |result: &CaseResult| {
        json!({
            "line": result.line,
            "agent": result.question.agent.as_str(),
            "for": result.question.user.as_ref().map(|user| user.as_str()),
            "do": result.question.action.to_string(),
            "expected": result.expected.as_str(),
            "reason": result.reason,
            "got": result.explanation.decision.as_str(),
            "sentence": result.explanation.sentence,
            "passed": result.passed,
        })
    };
    results.iter().map(row).collect()
}

/// The verdict on a ledger in one line.
pub(crate) fn verified_line(verified: &Verified) -> String {
    if verified.holds {
        return format!(
            "✓ {} entries, root {}, no gaps",
            verified.records,
            verified.root.chars().take(12).collect::<String>()
        );
    }
    format!("✕ {}", verified.problem.as_deref().unwrap_or("it does not verify"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn row(decision: &str, code: Value, outcome: Value) -> Value {
        json!({
            "at": "2026-11-21T10:42:07.123456Z", "decision": decision, "code": code, "outcome": outcome,
            "on_behalf_of": "ana", "agent": "helpdesk", "version": "9f2c41d07a3b", "instance": "Yx0_abcdef",
            "action": "mail.send", "arguments": { "to": "x\u{1b}[31m" }, "resource": Value::Null,
        })
    }

    #[test]
    fn an_action_is_one_line_from_the_human_to_the_data() {
        let lines = [
            trace_line(&row("allow", Value::Null, "done".into())),
            trace_line(&row("deny", "outside_intent".into(), Value::Null)),
            trace_line(&row("ask", "asked".into(), Value::Null)),
        ];
        expect![[r#"
            10:42:07  ✓ allow  ana → helpdesk@9f2c41#Yx0_ab → mail.send → {"to":"x\u001b[31m"}  done
            10:42:07  ✕ deny   ana → helpdesk@9f2c41#Yx0_ab → mail.send → {"to":"x\u001b[31m"}  outside_intent
            10:42:07  ⧗ ask    ana → helpdesk@9f2c41#Yx0_ab → mail.send → {"to":"x\u001b[31m"}  asked"#]]
        .assert_eq(&lines.join("\n"));
    }

    #[test]
    fn members_are_aligned_and_nulls_left_out() {
        assert_eq!(members(&json!({"a": 1, "long": "x", "none": null})), "a     1\nlong  x\n");
    }
}
