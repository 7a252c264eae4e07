//! Agents that act on the account of others: what their tokens say, what they reach, and what ends them.

use crate::stage::Stage;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::buyer::{ACCESS_TOKEN, claims};

/// A text in JSON at a place.
fn text<'a>(value: &'a Value, place: &str) -> &'a str {
    value.pointer(place).and_then(Value::as_str).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_hop_is_written_down_and_what_is_left_narrows() -> Result<()> {
    let stage = Stage::set()?;
    let (lead, helper, third) =
        (stage.buyer("lead")?, stage.buyer("helper")?, stage.buyer("third")?);
    let (door, task) = (stage.home.http_door("api"), stage.task("lead")?);
    let first = lead.buy(&door, &[("task", &task)]).await?;
    let first_says = claims(&first)?;
    ensure!(
        first_says.pointer("/may_act") == Some(&json!([{ "sub": "clerk" }, { "sub": "helper" }])),
        "{first_says}"
    );
    let answer = helper.exchange(&first, &door, &[]).await?;
    ensure!(answer.status == 200 && answer.text("issued_token_type") == ACCESS_TOKEN, "{answer:?}");
    let second = answer.text("access_token").to_owned();
    let says = claims(&second)?;
    ensure!(text(&says, "/sub") == "ana" && text(&says, "/task") == task, "{says}");
    ensure!(says.pointer("/act") == Some(&json!({ "sub": "helper", "act": { "sub": "lead" } })));
    // `helper` has no `api.ticket`, so neither has what it got from `lead`, who has.
    let left = json!([{ "type": "ambit_action", "actions": ["api.fast", "api.said"] }]);
    ensure!(says.pointer("/authorization_details") == Some(&left), "{says}");
    ensure!(answer.body.pointer("/authorization_details") == Some(&left), "{answer:?}");
    // `lead`'s tokens live two minutes, `helper`'s own would live fifteen.
    let ends = |says: &Value| says.get("exp").and_then(Value::as_i64).context("no exp");
    ensure!(ends(&says)? <= ends(&first_says)?, "it outlives what it came of");

    let fast = json!([{ "type": "ambit_action", "actions": ["api.fast"] }]).to_string();
    let last = third.act_for(&second, &door, &[("authorization_details", &fast)]).await?;
    let says = claims(&last)?;
    let act = json!({ "sub": "third", "act": { "sub": "helper", "act": { "sub": "lead" } } });
    ensure!(says.pointer("/act") == Some(&act), "{says}");
    let chain = says.pointer("/chain").and_then(Value::as_array).context("no chain")?;
    let agents: Vec<_> = chain.iter().map(|link| text(link, "/agent")).collect();
    ensure!(agents == ["lead", "helper"], "{says}");
    let tokens: Vec<_> = chain.iter().map(|link| text(link, "/token")).collect();
    ensure!(tokens == [text(&first_says, "/jti"), text(&claims(&second)?, "/jti")], "{says}");

    // Only what the last token names exists for it: the rest is as hidden as what is in no catalog.
    let url = |path: &str| format!("{door}{path}");
    ensure!(stage.get("/fast", &third.shown("GET", &url("/fast"), &last)?).await?.status == 200);
    let hidden = stage.get("/tickets/7", &third.shown("GET", &url("/tickets/7"), &last)?).await?;
    let absent = stage.get("/nothing", &third.shown("GET", &url("/nothing"), &last)?).await?;
    ensure!(hidden.status == 404 && hidden.body == absent.body, "{hidden:?} {absent:?}");
    let own = third.buy(&door, &[]).await?;
    let own = stage.get("/tickets/7", &third.shown("GET", &url("/tickets/7"), &own)?).await?;
    ensure!(own.status != 404, "the agent's own token reaches it: {own:?}");
    ensure!(stage.api.oracle.of("request").len() == 1, "one call arrived");

    told_in_full(&stage, &last, (&first, &second), &task)
}

/// The record of the call says who acted for whom, and with which tokens.
fn told_in_full(
    stage: &Stage,
    last: &str,
    (first, second): (&str, &str),
    task: &str,
) -> Result<()> {
    let jti = |token: &str| -> Result<String> { Ok(text(&claims(token)?, "/jti").to_owned()) };
    let rows = stage.home.json(&["trace", "list", "--agent", "third", "--decision", "allow"])?;
    let row = rows.as_array().and_then(|rows| rows.first()).context("no call is listed")?;
    let trace = text(row, "/trace").to_owned();
    let shown = stage.home.json(&["trace", "show", &trace])?;
    let all = shown.to_string();
    for token in [first, second, last] {
        let id = jti(token)?;
        ensure!(all.contains(&id), "the trace does not name {id}: {shown}");
    }
    let record = find(&shown, &|value| value.get("chain").is_some()).context("no chain")?;
    ensure!(text(record, "/chain/0/agent") == "lead" && text(record, "/chain/1/agent") == "helper");
    ensure!(text(record, "/chain/0/token") == jti(first)?, "{record}");
    ensure!(text(record, "/chain/1/owner") == "group:desk", "{record}");
    ensure!(text(record, "/agent") == "third" && text(record, "/token") == jti(last)?, "{record}");
    ensure!(text(record, "/task") == task, "{record}");
    ensure!(all.contains("\"ana\""), "the human is not named: {shown}");
    Ok(())
}

/// The first object, depth first, for which this holds.
fn find<'a>(value: &'a Value, wanted: &impl Fn(&Value) -> bool) -> Option<&'a Value> {
    if wanted(value) {
        return Some(value);
    }
    match value {
        Value::Object(members) => members.values().find_map(|inner| find(inner, wanted)),
        Value::Array(items) => items.iter().find_map(|inner| find(inner, wanted)),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_show_what_the_token_reaches() -> Result<()> {
    let stage = Stage::set()?;
    let (robot, clerk) = (stage.buyer("robot")?, stage.buyer("clerk")?);
    let door = stage.home.mcp_door("tools");
    let subject = robot.buy(&door, &[]).await?;
    let echo = json!([{ "type": "ambit_action", "actions": ["tools.echo"] }]).to_string();
    let token = clerk.act_for(&subject, &door, &[("authorization_details", &echo)]).await?;
    // Without a human the one acted for is the first agent, and says so.
    let says = claims(&token)?;
    ensure!(text(&says, "/sub") == "robot" && text(&says, "/sub_profile") == "ai_agent", "{says}");
    ensure!(says.pointer("/act") == Some(&json!({ "sub": "clerk" })), "{says}");
    let listed = stage.ask("tools/list", &clerk.shown("POST", &door, &token)?).await?;
    let names = |listed: &Value| -> Vec<String> {
        let tools = listed.pointer("/result/tools").and_then(Value::as_array);
        tools.into_iter().flatten().map(|tool| text(tool, "/name").to_owned()).collect()
    };
    ensure!(names(&listed.body) == ["echo"], "{listed:?}");
    let own = clerk.buy(&door, &[]).await?;
    let all = stage.ask("tools/list", &clerk.shown("POST", &door, &own)?).await?;
    ensure!(names(&all.body) == ["echo", "transfer"], "{all:?}");
    stage.call("echo", &clerk.shown("POST", &door, &token)?).await?.done()?;
    let hidden = stage.call("transfer", &clerk.shown("POST", &door, &token)?).await?;
    ensure!(hidden.body.to_string().contains("Unknown tool"), "{hidden:?}");
    let done = stage.call("transfer", &clerk.shown("POST", &door, &own)?).await?;
    ensure!(!done.body.to_string().contains("Unknown tool"), "the twin: {done:?}");
    // A token of the door of all narrows to one door behind it; not the other way round.
    let front = format!("{}/mcp", stage.home.front());
    let wide = robot.buy(&front, &[]).await?;
    ensure!(clerk.exchange(&wide, &door, &[]).await?.status == 200);
    let wider = clerk.exchange(&subject, &front, &[]).await?;
    ensure!(wider.text("error") == "invalid_target", "{wider:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_an_ancestor_ends_what_came_of_it() -> Result<()> {
    let stage = Stage::set()?;
    let (lead, helper) = (stage.buyer("lead")?, stage.buyer("helper")?);
    let door = stage.home.http_door("api");
    let url = format!("{door}/fast");
    let refused = async |token: &str, why: &str| -> Result<()> {
        let before = stage.reached();
        let told = stage.get("/fast", &helper.shown("GET", &url, token)?).await?;
        ensure!(matches!(told.status, 401 | 403), "{why}: {told:?}");
        ensure!(stage.reached() == before, "{why}: it reached the upstream");
        Ok(())
    };
    let works = async |token: &str, why: &str| -> Result<()> {
        let told = stage.get("/fast", &helper.shown("GET", &url, token)?).await?;
        ensure!(told.status == 200, "{why}: {told:?}");
        Ok(())
    };
    for subject in ["agent:lead", "owner:group:it", "user:ana", "agent:helper"] {
        let task = stage.task("lead")?;
        let token = helper.act_for(&lead.buy(&door, &[("task", &task)]).await?, &door, &[]).await?;
        works(&token, subject).await?;
        stage.home.done(&["freeze", subject, "--reason", "test"])?;
        refused(&token, subject).await?;
        stage.home.done(&["unfreeze", subject, "--reason", "test"])?;
        works(&token, &format!("{subject} thawed")).await?;
    }
    // The subject's own token, revoked by its agent: what came of it ends, what did not goes on.
    let task = stage.task("lead")?;
    let with_task = [("task", task.as_str())];
    let (first, other) = (lead.buy(&door, &with_task).await?, lead.buy(&door, &with_task).await?);
    let token = helper.act_for(&first, &door, &[]).await?;
    let twin = helper.act_for(&other, &door, &[]).await?;
    works(&token, "before").await?;
    let revoked = lead.post("/oauth/revoke", &[("token", &first)], None).await?;
    ensure!(revoked.status == 200, "{revoked:?}");
    refused(&token, "of the revoked token").await?;
    works(&twin, "of the other token").await?;
    let again = helper.exchange(&first, &door, &[]).await?;
    ensure!(again.text("error") == "invalid_request", "{again:?}");
    ensure!(again.text("error_description").starts_with("revoked"), "{again:?}");
    // The task's end.
    let task = stage.task("lead")?;
    let token = helper.act_for(&lead.buy(&door, &[("task", &task)]).await?, &door, &[]).await?;
    works(&token, "under the task").await?;
    stage.home.done(&["revoke", "task", &task, "--reason", "test"])?;
    refused(&token, "after its task").await?;
    // Another version of the first agent: neither its tokens nor what came of them do anything.
    let task = stage.task("lead")?;
    let token = helper.act_for(&lead.buy(&door, &[("task", &task)]).await?, &door, &[]).await?;
    works(&token, "before the change").await?;
    stage.change("purpose: Lead", "purpose: Lead otherwise")?;
    refused(&token, "after the change").await
}
