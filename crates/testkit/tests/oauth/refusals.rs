//! The table of refusals at the token endpoint and at the doors: each row beside the twin that passes.

use crate::stage::Stage;
use anyhow::{Result, ensure};
use serde_json::json;
use std::sync::Arc;
use testkit::{
    buyer::{ACCESS_TOKEN, Buyer, claims},
    proof::ProofKey,
};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// Agents, a token of `lead` for ana, and its door.
struct Case {
    stage: Stage,
    lead: Buyer,
    helper: Buyer,
    door: String,
    task: String,
    subject: String,
}

impl Case {
    async fn set() -> Result<Case> {
        let stage = Stage::set()?;
        let (lead, helper) = (stage.buyer("lead")?, stage.buyer("helper")?);
        let (door, task) = (stage.home.http_door("api"), stage.task("lead")?);
        let subject = lead.buy(&door, &[("task", &task)]).await?;
        Ok(Case { stage, lead, helper, door, task, subject })
    }

    /// What the actor is told for a form that is the good one with some parameters set, or without them.
    async fn told(&self, actor: &Buyer, set: &[(&str, &str)]) -> Result<(u16, String)> {
        let mut form = vec![
            ("grant_type", EXCHANGE),
            ("subject_token", self.subject.as_str()),
            ("subject_token_type", ACCESS_TOKEN),
            ("resource", self.door.as_str()),
        ];
        form.retain(|(name, _)| set.iter().all(|(other, _)| name != other));
        form.extend(set.iter().filter(|(_, value)| !value.is_empty()));
        let answer = actor.ask(&form).await?;
        Ok((answer.status, answer.text("error").to_owned()))
    }

    async fn is_refused(
        &self,
        what: &str,
        actor: &Buyer,
        set: &[(&str, &str)],
        error: &str,
    ) -> Result<()> {
        let told = self.told(actor, set).await?;
        let status = if error == "invalid_client" { 401 } else { 400 };
        ensure!(told == (status, error.to_owned()), "{what}: {told:?}");
        let twin = self.told(&self.helper, &[]).await?;
        ensure!(twin.0 == 200, "the twin of {what}: {twin:?}");
        Ok(())
    }
}

fn details(actions: &[&str]) -> String {
    json!([{ "type": "ambit_action", "actions": actions }]).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_takes_no_wrong_actor_and_widens_nothing() -> Result<()> {
    let case = Case::set().await?;
    let Case { stage, lead, helper, door, .. } = &case;
    let outsider = stage.buyer("outsider")?;
    let own = helper.buy(door, &[]).await?;
    let of_lead = lead.buy(door, &[]).await?;
    let actor = |token: &'static str| ("actor_token_type", token);
    let kind = actor(ACCESS_TOKEN);
    let request = "invalid_request";
    case.is_refused("an unlisted actor", &outsider, &[], request).await?;
    case.is_refused("the subject itself, unlisted", lead, &[], request).await?;
    case.is_refused("another's actor token", helper, &[("actor_token", &of_lead), kind], request)
        .await?;
    case.is_refused("a type without a token", helper, &[kind], request).await?;
    case.is_refused("an actor token without type", helper, &[("actor_token", &own)], request)
        .await?;
    let twin = case.told(helper, &[("actor_token", &own), kind]).await?;
    ensure!(twin.0 == 200, "its own actor token: {twin:?}");
    let strange = Buyer::with_key(&stage.home, "helper", Arc::new(ProofKey::ed25519()?))?;
    case.is_refused("an actor by another key", &strange, &[], "invalid_client").await?;
    case.is_refused("no subject", helper, &[("subject_token", "")], request).await?;
    case.is_refused("no subject's type", helper, &[("subject_token_type", "")], request).await?;
    let id_token = "urn:ietf:params:oauth:token-type:id_token";
    case.is_refused("another type", helper, &[("subject_token_type", id_token)], request).await?;
    case.is_refused(
        "another type asked for",
        helper,
        &[("requested_token_type", id_token)],
        request,
    )
    .await?;
    let mut forged = case.subject.clone();
    forged.replace_range(forged.len() - 4.., "AAAA");
    case.is_refused("a forged subject", helper, &[("subject_token", &forged)], request).await?;
    case.is_refused("a scope", helper, &[("scope", "all")], "invalid_scope").await?;
    let elsewhere = stage.home.mcp_door("tools");
    case.is_refused("a wider audience", helper, &[("resource", &elsewhere)], "invalid_target")
        .await?;
    case.is_refused("two audiences", helper, &[("audience", &elsewhere)], "invalid_target").await?;
    case.is_refused("no audience", helper, &[("resource", "")], request).await?;
    let wider = "invalid_authorization_details";
    for (what, text) in [
        ("an action of the subject alone", details(&["api.ticket"])),
        ("an action of another upstream", details(&["tools.echo"])),
        ("one too many", details(&["api.fast", "api.ticket"])),
        ("another type", json!([{ "type": "payment", "actions": ["api.fast"] }]).to_string()),
        (
            "an unknown member",
            json!([{ "type": "ambit_action", "actions": ["api.fast"], "x": 1 }]).to_string(),
        ),
        ("a pattern", details(&["api.*"])),
        ("nothing", "[]".to_owned()),
        ("nonsense", "{".to_owned()),
    ] {
        case.is_refused(what, helper, &[("authorization_details", &text)], wider).await?;
    }
    let narrower = details(&["api.fast"]);
    let twin = case.told(helper, &[("authorization_details", &narrower)]).await?;
    ensure!(twin.0 == 200, "narrower: {twin:?}");
    let other = stage.task("lead")?;
    case.is_refused("another task", helper, &[("task", &other)], "invalid_grant").await?;
    ensure!(case.told(helper, &[("task", &case.task)]).await?.0 == 200, "the same task");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_ends_after_four_agents_and_outlives_no_link() -> Result<()> {
    let case = Case::set().await?;
    let Case { stage, door, .. } = &case;
    let mut token = case.subject.clone();
    let ends = |token: &str| -> Result<i64> {
        Ok(claims(token)?.get("exp").and_then(serde_json::Value::as_i64).unwrap_or_default())
    };
    for agent in ["helper", "third", "fourth"] {
        let next = stage.buyer(agent)?.act_for(&token, door, &[]).await?;
        ensure!(ends(&next)? <= ends(&token)?, "{agent}'s token outlives what it came of");
        token = next;
    }
    let before = ends(&token)?;
    let fifth = stage.buyer("fifth")?.exchange(&token, door, &[]).await?;
    ensure!(fifth.status == 400 && fifth.text("error") == "invalid_request", "{fifth:?}");
    ensure!(fifth.text("error_description").contains("at most four"), "{fifth:?}");
    // The twin: the same agent after three.
    let fourth = stage.buyer("fourth")?;
    let url = format!("{door}/fast");
    let shown = fourth.shown("GET", &url, &token)?;
    ensure!(stage.get("/fast", &shown).await?.status == 200, "the fourth of the chain acts");
    ensure!(before <= ends(&case.subject)?);
    // `fifth` may not exchange what does not list it, whatever the depth; `fourth`'s own token does.
    let own = fourth.buy(door, &[]).await?;
    let twin = stage.buyer("fifth")?.exchange(&own, door, &[]).await?;
    ensure!(twin.status == 200, "the twin: {twin:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_takes_no_replay_no_other_address_and_no_stolen_token() -> Result<()> {
    let case = Case::set().await?;
    let Case { stage, lead, helper, door, subject, .. } = &case;
    let url = format!("{door}/fast");
    let refused = async |what: &str, headers: &[(&str, String)]| -> Result<()> {
        let before = stage.reached();
        let told = stage.get("/fast", headers).await?;
        ensure!(told.status == 401, "{what}: {told:?}");
        ensure!(stage.reached() == before, "{what}: it reached the upstream");
        let twin = stage.get("/fast", &lead.shown("GET", &url, subject)?).await?;
        ensure!(twin.status == 200, "the twin of {what}: {twin:?}");
        Ok(())
    };
    let once = lead.shown("GET", &url, subject)?;
    ensure!(stage.get("/fast", &once).await?.status == 200);
    refused("a replayed proof", &once).await?;
    refused("another htu", &lead.shown("GET", &format!("{door}/tickets/7"), subject)?).await?;
    refused("another method", &lead.shown("POST", &url, subject)?).await?;
    refused("a bound token as bearer", &[("authorization", format!("Bearer {subject}"))]).await?;
    refused("a bound token without proof", &[("authorization", format!("DPoP {subject}"))]).await?;
    refused("a thief's own key", &helper.shown("GET", &url, subject)?).await?;
    let tools = lead.buy(&stage.home.mcp_door("tools"), &[]).await?;
    refused("a token for another upstream", &lead.shown("GET", &url, &tools)?).await?;
    let all = lead.buy(&format!("{}/mcp", stage.home.front()), &[]).await?;
    refused("a token for the door of all", &lead.shown("GET", &url, &all)?).await
}
