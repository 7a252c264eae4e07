//! What lies beside a revocation: keys that bind to others, versions that wait, doors that show all, task trees.

use crate::{
    load::block_on,
    scene::{Scene, Source, manifest},
};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::sync::Arc;
use testkit::{
    buyer::{Answered, Buyer, claims},
    proof::ProofKey,
};

/// Asks as `owner`, and binds the token to another key by its proof.
async fn bound_to(owner: &Buyer, key: &Arc<ProofKey>, front: &str, door: &str) -> Result<Answered> {
    let form = [("grant_type", "client_credentials"), ("resource", door)];
    let other = Buyer::at(front, &owner.agent, Arc::clone(key))?;
    let first = owner.post("/oauth/token", &form, Some(&other.proof(None)?)).await?;
    let nonce = first.nonce().context("no nonce")?.to_owned();
    owner.post("/oauth/token", &form, Some(&other.proof(Some(&nonce))?)).await
}

async fn reads(scene: &Scene, key: &ProofKey, token: &str) -> Result<(u16, Value)> {
    let url = format!("{}/fast", scene.home.http_door("bank"));
    let request = scene.http.get(&url).header("authorization", format!("DPoP {token}"));
    let answer = request.header("dpop", key.prove("GET", &url, token)?).send().await?;
    Ok((answer.status().as_u16(), serde_json::from_slice(&answer.bytes().await?)?))
}

/// Whoever has copied a declared key can bind tokens to keys of his own: they end with the copied one.
#[test]
fn tokens_bound_to_another_key_end_with_the_key_that_bought_them() -> Result<()> {
    block_on(async {
        let scene = Scene::open(&[]).await?;
        let (front, door) = (scene.home.front(), scene.home.http_door("bank"));
        let [copied, other] = &scene.worker;
        let thief = Arc::new(ProofKey::p256()?);
        let stolen = bound_to(copied, &thief, &front, &door).await?.text("access_token").to_owned();
        let handed = Source::of(&scene.buyer("helper")?);
        let handed = handed.exchanging(&[(door.clone(), stolen.clone())].into()).buy(&door).await?;
        let twin = bound_to(other, &thief, &front, &door).await?.text("access_token").to_owned();
        ensure!(reads(&scene, &thief, &stolen).await?.0 == 200);
        scene.home.done(&["revoke", "instance", &copied.key.thumbprint(), "--reason", "copied"])?;
        let (status, told) = reads(&scene, &thief, &stolen).await?;
        ensure!(status == 403 && told["code"] == "revoked", "{status} {told}");
        let url = format!("{door}/fast");
        let told = scene.http.get(&url).bearer_auth(handed).send().await?;
        ensure!(told.status() == 403, "what came of it: {}", told.status());
        let again = bound_to(copied, &thief, &front, &door).await?;
        let why = again.text("error_description");
        ensure!(again.status == 400 && why.starts_with("revoked"), "{again:?}");
        // The other key of the same agent buys on, and what it bought is bound to the same key.
        ensure!(reads(&scene, &thief, &twin).await?.0 == 200, "the twin");
        ensure!(bound_to(other, &thief, &front, &door).await?.status == 200, "the twin buys");
        scene.stop()
    })
}

/// A version that waits for its review is revoked: the one before it goes on.
#[test]
fn a_waiting_version_ends_alone() -> Result<()> {
    block_on(async {
        let scene = Scene::open(&[]).await?;
        scene.home.done(&["agent", "review", "copilot", "--approve"])?;
        let copilot = Source::of(&scene.buyer("copilot")?);
        let door = scene.home.http_door("bank");
        let token = copilot.buy(&door).await?;
        let before = claims(&token)?["agent_version"].as_str().context("no version")?.to_owned();
        std::fs::write(scene.home.path().join("copilot.lock"), manifest("ab"))?;
        scene.home.done(&["apply", "ambit.yaml"])?;
        let shown = scene.home.json(&["agent", "show", "copilot"])?;
        let waiting = shown["version"].as_str().context("no version")?.to_owned();
        ensure!(waiting != before, "{shown}");
        scene.home.done(&["revoke", "version", &waiting, "--reason", "a bad build"])?;
        let told = scene.http.get(format!("{door}/fast")).bearer_auth(&token).send().await?;
        ensure!(told.status() == 200, "the version before: {}", told.text().await?);
        let renewed = copilot.clone().with("agent_version", &before).ask(&door).await?;
        ensure!(renewed.status == 200, "{renewed:?}");
        let refused = copilot.ask(&door).await?;
        ensure!(refused.status == 400, "{refused:?}");
        // Nor does its review make a revoked version act.
        scene.home.done(&["agent", "review", "copilot", "--approve"])?;
        let refused = copilot.ask(&door).await?;
        ensure!(refused.text("error_description").starts_with("revoked"), "{refused:?}");
        scene.stop()
    })
}

/// What is asked about or bought below an ended task.
#[test]
fn what_lies_below_an_ended_task_is_inactive() -> Result<()> {
    block_on(async {
        let scene = Scene::open(&[]).await?;
        let (clerk, door) = (scene.buyer("clerk")?, scene.home.http_door("bank"));
        let (task, twin) = (scene.task("clerk", "ana")?, scene.task("clerk", "ana")?);
        let mut tokens = Vec::new();
        for above in [&task, &twin] {
            let below = scene.below(&clerk, above).await?;
            let deepest = scene.below(&clerk, &below).await?;
            tokens.push((Source::of(&clerk).under(&deepest).buy(&door).await?, deepest));
        }
        scene.home.done(&["revoke", "task", &task, "--reason", "drill"])?;
        for (at, (token, deepest)) in tokens.iter().enumerate() {
            let is_twin = at == 1;
            let asked = clerk.post("/oauth/introspect", &[("token", token)], None).await?;
            ensure!(asked.body["active"] == is_twin, "{is_twin}: {asked:?}");
            let bought = Source::of(&clerk).under(deepest).ask(&door).await?;
            ensure!((bought.status == 200) == is_twin, "{is_twin}: {bought:?}");
            let more = scene.below(&clerk, deepest).await;
            ensure!(more.is_ok() == is_twin || deepest.is_empty(), "{is_twin}: {more:?}");
        }
        scene.stop()
    })
}

/// A slip of the pen does not look like a stop.
#[test]
fn what_is_not_there_cannot_be_revoked() -> Result<()> {
    block_on(async {
        let scene = Scene::open(&[]).await?;
        for (kind, name) in [
            ("task", "tsk_06b7zk8d1v7m3x2q9n4t5r6s7w"),
            ("task", "tsk_1"),
            ("token", "tok_1"),
            ("version", "00"),
            ("instance", "short"),
            ("agent", "nobody"),
            ("owner", "user:nobody"),
            ("upstream", "nowhere"),
        ] {
            let tried = scene.home.command(&["revoke", kind, name])?;
            ensure!(tried.status.code() == Some(2), "{kind} {name}: {tried:?}");
        }
        let task = scene.task("clerk", "ana")?;
        scene.home.done(&["revoke", "task", &task])?;
        scene.stop()
    })
}
