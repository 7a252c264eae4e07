//! What is revoked, whose calls end with it, and who goes on.

use crate::{
    load,
    scene::{Party, Scene, Source, manifest},
};
use anyhow::{Context as _, Result};
use std::{collections::BTreeMap, sync::Arc};
use testkit::buyer::{Buyer, claims};

/// How the stop is asked for.
pub(crate) enum Stop {
    /// By `ambit …`.
    Command(Vec<String>),
    /// At `/oauth/revoke`, by the token's own client (RFC 7009).
    Client(Arc<Buyer>, String),
}

/// One kind of revocation, set up.
pub(crate) struct Case {
    pub(crate) victim: Party,
    /// It shares everything with the victim but what is revoked.
    pub(crate) bystander: Party,
    pub(crate) stop: Stop,
    /// The code at the doors afterwards.
    pub(crate) code: &'static str,
    /// `error` and code of who then asks for another token; none where the same credential serves the bystander, too.
    pub(crate) buying: Option<(&'static str, &'static str)>,
}

const REVOKED: Option<(&str, &str)> = Some(("unauthorized_client", "revoked"));
const CHAIN: Option<(&str, &str)> = Some(("invalid_request", "revoked"));

const VICTIMS: [&str; 2] = ["/fast", "/transfers"];
const BYSTANDERS: [&str; 2] = ["/tickets/4711", "/mail"];

/// Every kind, by name.
pub(crate) const KINDS: [&str; 15] = [
    "token",
    "token, by its client",
    "task",
    "task above",
    "task beside the token",
    "task handed on",
    "instance",
    "declared key",
    "version",
    "human",
    "owner",
    "only owner",
    "upstream",
    "agent",
    "ancestor",
];

fn command(words: &[&str]) -> Stop {
    let more = ["--reason", "drill"];
    Stop::Command(words.iter().chain(&more).map(|word| (*word).to_owned()).collect())
}

impl Scene {
    fn doors(&self) -> Vec<String> {
        vec![self.home.http_door("bank"), self.home.mcp_door("tools")]
    }

    async fn party(&self, source: Source, paths: [&'static str; 2]) -> Result<Party> {
        let tokens = source.tokens(&self.doors()).await?;
        Ok(Party { source, tokens, door: self.home.http_door("bank"), paths, reference: None })
    }

    async fn pair(&self, victim: Source, bystander: Source) -> Result<(Party, Party)> {
        Ok((self.party(victim, VICTIMS).await?, self.party(bystander, BYSTANDERS).await?))
    }

    /// Sets one kind up.
    pub(crate) async fn case(&self, kind: &str) -> Result<Case> {
        match kind {
            "token" | "token, by its client" => self.of_a_token(kind == "token").await,
            "task" | "task above" | "task handed on" | "human" => self.of_a_task(kind).await,
            "task beside the token" => self.of_a_reference().await,
            "instance" | "declared key" => self.of_a_key(kind == "instance").await,
            "version" => self.of_a_version().await,
            "owner" => {
                self.of_an_agent("owned", &["revoke", "owner", "user:olga"], "revoked").await
            }
            "only owner" => {
                let mut case =
                    self.of_an_agent("orphan", &["revoke", "user", "olga"], "owner_absent").await?;
                case.buying = Some(("unauthorized_client", "owner_absent"));
                Ok(case)
            }
            "agent" => self.of_an_agent("lead", &["revoke", "agent", "lead"], "revoked").await,
            "upstream" => self.of_an_upstream().await,
            "ancestor" => self.of_an_ancestor().await,
            _ => anyhow::bail!("no kind `{kind}`"),
        }
    }

    /// One of two tokens of an agent, which another exchanges.
    async fn of_a_token(&self, by_operator: bool) -> Result<Case> {
        let lead = self.buyer("lead")?;
        let own = Source::of(&lead);
        let (mut victim, bystander) = self.pair(own.clone(), own).await?;
        let helper = Source::of(&self.buyer("helper")?);
        // Both tokens of the victim are one thing here: only the one at the bank is revoked.
        victim.tokens.retain(|door, _| *door == self.home.http_door("bank"));
        victim.source = helper.exchanging(&victim.tokens);
        let id = claims(victim.token())?["jti"].as_str().context("no jti")?.to_owned();
        let stop = if by_operator {
            command(&["revoke", "token", &id])
        } else {
            Stop::Client(lead, victim.token().to_owned())
        };
        Ok(Case { victim, bystander, stop, code: "revoked", buying: CHAIN })
    }

    async fn of_a_task(&self, kind: &str) -> Result<Case> {
        let clerk = self.buyer("clerk")?;
        let other = if kind == "human" { "omar" } else { "ana" };
        let (task, twin) = (self.task("clerk", "ana")?, self.task("clerk", other)?);
        let (mut own, mut others) = (task.clone(), twin);
        if kind == "task above" {
            (own, others) = (self.below(&clerk, &own).await?, self.below(&clerk, &others).await?);
        }
        let of = |task: &str| Source::of(&clerk).under(task);
        let (mut victim, mut bystander) = self.pair(of(&own), of(&others)).await?;
        if kind == "task handed on" {
            let aide = Source::of(&self.buyer("aide")?);
            let first = aide.clone().exchanging(&victim.tokens);
            let second = aide.exchanging(&bystander.tokens);
            (victim, bystander) = self.pair(first, second).await?;
        }
        let words =
            if kind == "human" { ["revoke", "user", "ana"] } else { ["revoke", "task", &task] };
        Ok(Case { victim, bystander, stop: command(&words), code: "revoked", buying: REVOKED })
    }

    /// The same token, with one task and with another beside it.
    async fn of_a_reference(&self) -> Result<Case> {
        let clerk = Source::of(&self.buyer("clerk")?);
        let (task, twin) = (self.task("clerk", "ana")?, self.task("clerk", "ana")?);
        let (mut victim, mut bystander) = self.pair(clerk.clone(), clerk).await?;
        bystander.tokens = victim.tokens.clone();
        let stop = command(&["revoke", "task", &task]);
        // At the MCP door it stands in the message, which the API's calls show as well.
        victim.tokens.retain(|door, _| *door == self.home.http_door("bank"));
        (victim.reference, bystander.reference) = (Some(task), Some(twin));
        Ok(Case { victim, bystander, stop, code: "outside_intent", buying: None })
    }

    async fn of_a_key(&self, enrolled: bool) -> Result<Case> {
        let [one, two] = if enrolled {
            [self.instance("helper").await?, self.instance("helper").await?]
        } else {
            self.worker.clone()
        };
        let (victim, bystander) = self.pair(Source::of(&one), Source::of(&two)).await?;
        let stop = command(&["revoke", "instance", &one.key.thumbprint()]);
        // An instance's key is no key of the agent any more; a declared one stays in its file.
        let buying =
            if enrolled { Some(("invalid_client", "credential_invalid")) } else { REVOKED };
        Ok(Case { victim, bystander, stop, code: "revoked", buying })
    }

    /// The version before goes on beside one that waits for its review.
    async fn of_a_version(&self) -> Result<Case> {
        self.home.done(&["agent", "review", "copilot", "--approve"])?;
        let copilot = Source::of(&self.buyer("copilot")?);
        let token = copilot.buy(&self.home.http_door("bank")).await?;
        let version = claims(&token)?["agent_version"].as_str().context("no version")?.to_owned();
        std::fs::write(self.home.path().join("copilot.lock"), manifest("ab"))?;
        self.home.done(&["apply", "ambit.yaml"])?;
        let victim = copilot.with("agent_version", &version);
        let (victim, bystander) = self.pair(victim, Source::of(&self.buyer("lead")?)).await?;
        let stop = command(&["revoke", "version", &version]);
        Ok(Case { victim, bystander, stop, code: "revoked", buying: REVOKED })
    }

    async fn of_an_agent(&self, agent: &str, words: &[&str], code: &'static str) -> Result<Case> {
        let victim = Source::of(&self.buyer(agent)?);
        let (victim, bystander) = self.pair(victim, Source::of(&self.worker[0])).await?;
        Ok(Case { victim, bystander, stop: command(words), code, buying: REVOKED })
    }

    /// The same agent with the same key, at the bank and at the mail server.
    async fn of_an_upstream(&self) -> Result<Case> {
        let lead = Source::of(&self.buyer("lead")?);
        let (mut victim, mut bystander) = self.pair(lead.clone(), lead).await?;
        victim.tokens.retain(|door, _| *door == self.home.http_door("bank"));
        bystander.door = self.home.http_door("mail");
        bystander
            .tokens
            .insert(bystander.door.clone(), bystander.source.buy(&bystander.door).await?);
        let stop = command(&["revoke", "upstream", "bank"]);
        let buying = Some(("invalid_target", "not_granted"));
        Ok(Case { victim, bystander, stop, code: "frozen", buying })
    }

    /// `third` on the account of `helper` on that of `lead`, and `third` by itself.
    async fn of_an_ancestor(&self) -> Result<Case> {
        let doors = self.doors();
        let first = Source::of(&self.buyer("lead")?).tokens(&doors).await?;
        let second = Source::of(&self.buyer("helper")?).exchanging(&first).tokens(&doors).await?;
        let third = Source::of(&self.buyer("third")?);
        let (victim, bystander) = self.pair(third.clone().exchanging(&second), third).await?;
        let stop = command(&["revoke", "agent", "lead"]);
        Ok(Case { victim, bystander, stop, code: "revoked", buying: CHAIN })
    }
}

fn under_load(kind: &str) -> Result<()> {
    load::block_on(async {
        let scene = Scene::open(&[]).await?;
        let case = scene.case(kind).await?;
        load::ends(&scene, &case).await.with_context(|| kind.to_owned())?;
        scene.stop()
    })
}

macro_rules! kinds {
    ($($test:ident: $kind:literal,)*) => {
        $(#[test]
        fn $test() -> Result<()> {
            under_load($kind)
        })*

        #[test]
        fn each_kind_has_a_test() {
            assert_eq!([$($kind),*], KINDS);
        }
    };
}

kinds! {
    a_token: "token",
    a_token_by_its_client: "token, by its client",
    a_task: "task",
    a_task_above: "task above",
    a_task_beside_the_token: "task beside the token",
    a_task_handed_on: "task handed on",
    an_instance: "instance",
    a_declared_key: "declared key",
    a_version: "version",
    a_human: "human",
    an_owner: "owner",
    an_only_owner: "only owner",
    an_upstream: "upstream",
    an_agent: "agent",
    an_ancestor: "ancestor",
}

/// One gate whose guard is off: what each kind would end goes on. Whoever has no owner left is refused by the registry as
/// well; there the twin is the agent whose sponsor lives.
#[test]
fn without_the_guard_each_goes_on() -> Result<()> {
    load::block_on(async {
        let scene = Scene::open(&["--guard-off", "revocation"]).await?;
        let mut cases = BTreeMap::new();
        for kind in KINDS.into_iter().filter(|kind| *kind != "only owner") {
            cases.insert(kind, scene.case(kind).await.with_context(|| kind.to_owned())?);
        }
        for (kind, case) in &cases {
            load::goes_on(&scene, case).await.with_context(|| (*kind).to_owned())?;
        }
        scene.stop()
    })
}
