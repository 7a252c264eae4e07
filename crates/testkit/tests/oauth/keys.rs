//! Scoped keys: what one buys, and everything that it does not (S19). Each refusal stands beside a twin.

use crate::stage::{Stage, Told};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{
    net::{IpAddr, Ipv4Addr},
    path::Path,
    process::Command,
    time::Duration,
};
use testkit::{
    buyer::{Buyer, Shows, claims},
    process::built,
};

const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
/// A wait for the gate that a loaded machine may need.
const PATIENCE: Duration = Duration::from_secs(60);
const SUBJECT: [&str; 3] = ["key", "create", "--agent"];

/// A scoped key and its id.
struct Key {
    text: String,
    id: String,
    until: String,
}

impl Key {
    /// Its secret part: 256 bits.
    fn secret(&self) -> &str {
        self.text.rsplit('_').next().unwrap_or_default()
    }

    /// The key without its last characters.
    fn cut(&self, characters: usize) -> &str {
        let end = self.text.len().saturating_sub(characters);
        self.text.get(..end).unwrap_or_default()
    }
}

impl Stage {
    fn scoped_key(&self, agent: &str, more: &[&str]) -> Result<Key> {
        let made = self.home.json(&[&SUBJECT[..], &[agent], more].concat())?;
        let text = |name: &str| made[name].as_str().map(str::to_owned).context("a member");
        Ok(Key { text: text("key")?, id: text("id")?, until: text("until")? })
    }

    fn key_buyer(&self, agent: &str, key: &Key) -> Result<Buyer> {
        Buyer::with_scoped_key(&self.home, agent, Shows::Basic(key.text.clone()))
    }

    async fn fast(&self, buyer: &Buyer, token: &str) -> Result<Told> {
        self.get("/fast", &self.shown(buyer, token, "/fast")?).await
    }

    fn shown(&self, buyer: &Buyer, token: &str, path: &str) -> Result<[(&'static str, String); 2]> {
        buyer.shown("GET", &format!("{}{path}", self.home.http_door("api")), token)
    }

    fn api(&self) -> String {
        self.home.http_door("api")
    }
}

fn code(told: &Told) -> &str {
    told.body.get("code").and_then(Value::as_str).unwrap_or_default()
}

fn details(actions: &[&str]) -> String {
    json!([{ "type": "ambit_action", "actions": actions }]).to_string()
}

const CREDENTIALS: &str = "grant_type";

fn form(door: &str) -> [(&str, &str); 2] {
    [(CREDENTIALS, "client_credentials"), ("resource", door)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scoped_key_buys_bound_tokens_and_opens_no_door() -> Result<()> {
    let stage = Stage::set_for_strangers(&[])?;
    let key = stage.scoped_key("lead", &["--for", "1h"])?;
    ensure!(key.text.starts_with("ambit_key_") && key.text.len() == 10 + 12 + 1 + 64);

    // Both forms of RFC 6749 section 2.3.1.
    for shows in [Shows::Basic(key.text.clone()), Shows::Post(key.text.clone())] {
        let buyer = Buyer::with_scoped_key(&stage.home, "lead", shows)?;
        let token = buyer.buy(&stage.api(), &[]).await?;
        let said = claims(&token)?;
        ensure!(said["cnf"]["jkt"] == buyer.key.thumbprint().as_str(), "{said}");
        ensure!(said["scoped_key"] == key.id.as_str() && said["agent"] == "lead", "{said}");
        stage.fast(&buyer, &token).await?.done()?;

        // Without a proof nothing is sold, and the token is of no use without its own.
        let bare = buyer.post("/oauth/token", &form(&stage.api()), None).await?;
        ensure!(bare.status == 400 && bare.text("error") == "invalid_dpop_proof", "{bare:?}");
        let copied = stage.get("/fast", &[("authorization", format!("Bearer {token}"))]).await?;
        ensure!(copied.status == 401, "{copied:?}");
    }

    // No door takes it, in whatever scheme it is shown.
    let before = stage.reached();
    let buyer = stage.key_buyer("lead", &key)?;
    let bearer = [("authorization", format!("Bearer {}", key.text))];
    for told in [
        stage.get("/fast", &bearer).await?,
        stage.get("/fast", &stage.shown(&buyer, &key.text, "/fast")?).await?,
    ] {
        ensure!(told.status == 401 && code(&told) == "key_at_door", "{told:?}");
        ensure!(told.body.to_string().contains("/oauth/token"), "the way is named: {told:?}");
    }
    ensure!(stage.call("echo", &bearer).await?.status == 401);
    ensure!(stage.reached() == before);
    let metrics = reqwest::get(format!("{}/metrics", stage.home.ops())).await?.text().await?;
    ensure!(metrics.contains("ambit_strangers_refused_total{word=\"key_at_door\"} 3"), "{metrics}");

    // Nor does anything else at the token service; its twin is the agent's own key.
    for path in ["/oauth/introspect", "/oauth/revoke", "/oauth/certificate"] {
        let token = [("token", "x")];
        let told = buyer.post(path, &token, None).await?;
        ensure!(told.status == 401 && told.text("error") == "invalid_client", "{path}: {told:?}");
        let twin = stage.buyer("lead")?.post(path, &token, None).await?;
        ensure!(twin.status != 401, "{path}: {twin:?}");
    }
    let metadata = format!("{}/.well-known/oauth-authorization-server", stage.home.front());
    let metadata: Value = reqwest::get(metadata).await?.json().await?;
    let ways = |name: &str| metadata[name].to_string();
    ensure!(ways("token_endpoint_auth_methods_supported").contains("client_secret_basic"));
    ensure!(ways("token_endpoint_auth_methods_supported").contains("client_secret_post"));
    ensure!(!ways("introspection_endpoint_auth_methods_supported").contains("client_secret"));

    stage.ambit.stop()?;
    let bought =
        stage.home.records()?.into_iter().filter(|entry| {
            entry.text("scoped_key") == key.id && entry.text("via") == "scoped_key"
        });
    ensure!(bought.count() >= 4, "each issue and each refusal names the key");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_not_this_key_of_this_agent_is_a_stranger() -> Result<()> {
    let stage = Stage::set_for_strangers(&[])?;
    let key = stage.scoped_key("lead", &[])?;
    let last = if key.text.ends_with('0') { "1" } else { "0" };
    let wrong = format!("{}{last}", key.cut(1));
    let rows = [
        ("another agent", "helper", Shows::Basic(key.text.clone())),
        ("another agent, in the form", "helper", Shows::Post(key.text.clone())),
        ("nobody", "ghost", Shows::Post(key.text.clone())),
        ("one digit", "lead", Shows::Basic(wrong)),
        ("cut", "lead", Shows::Basic(key.cut(7).to_owned())),
        ("a password", "lead", Shows::Post("correct-horse".into())),
    ];
    for (what, agent, shows) in rows {
        let told =
            Buyer::with_scoped_key(&stage.home, agent, shows)?.ask(&form(&stage.api())).await?;
        ensure!(told.status == 401 && told.text("error") == "invalid_client", "{what}: {told:?}");
        ensure!(!told.text("error_description").contains(&key.text), "{what}: {told:?}");
        let challenge = told.headers.get("www-authenticate").context("a challenge")?;
        ensure!(challenge.to_str()?.starts_with("Basic "), "{what}: {told:?}");
    }
    // One way at a time (RFC 6749 section 2.3).
    let both = [("client_secret", key.text.as_str()), ("client_id", "lead")];
    let api = stage.api();
    let more = [&form(&api)[..], &both[..]].concat();
    let told = stage.buyer("lead")?.ask(&more).await?;
    ensure!(told.status == 401, "{told:?}");
    drop(stage.key_buyer("lead", &key)?.buy(&stage.api(), &[]).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_less_buys_less_and_says_so() -> Result<()> {
    let stage = Stage::set_for_strangers(&[])?;
    let key = stage.scoped_key("lead", &["--action", "api.fast", "--action", "api.ticket"])?;
    let buyer = stage.key_buyer("lead", &key)?;
    let answer = buyer.ask(&form(&stage.api())).await?;
    let granted = answer.body["authorization_details"][0]["actions"].clone();
    ensure!(granted == json!(["api.fast", "api.ticket"]), "{answer:?}");
    let token = answer.text("access_token").to_owned();
    stage.fast(&buyer, &token).await?.done()?;

    let tools = stage.home.mcp_door("tools");
    let outside = buyer.ask(&form(&tools)).await?;
    ensure!(outside.text("error") == "invalid_target", "{outside:?}");
    let said = details(&["api.said"]);
    let api = stage.api();
    let wider = [&form(&api)[..], &[("authorization_details", said.as_str())]].concat();
    let told = buyer.ask(&wider).await?;
    ensure!(told.text("error") == "invalid_authorization_details", "{told:?}");
    let post = |buyer: &Buyer, token: &str| -> Result<_> {
        let url = format!("{}/fast", stage.api());
        let request = reqwest::Client::new().post(&url).json(&json!({}));
        let shown = buyer.shown("POST", &url, token)?.into_iter();
        Ok(shown.fold(request, |request, (name, value)| request.header(name, value)))
    };
    let before = stage.reached();
    ensure!(post(&buyer, &token)?.send().await?.status() == 404 && stage.reached() == before);

    // The twins: a whole key, and one for the upstream.
    for more in [&[][..], &["--upstream", "api"]] {
        let twin = stage.scoped_key("lead", more)?;
        let twin = stage.key_buyer("lead", &twin)?;
        ensure!(twin.ask(&wider).await?.status == 200);
        let token = twin.buy(&stage.api(), &[]).await?;
        let before = stage.reached();
        ensure!(post(&twin, &token)?.send().await?.status() == 200);
        ensure!(stage.reached() == before + 1);
    }
    let unseen =
        stage.home.command(&[&SUBJECT[..], &["helper", "--action", "api.ticket"]].concat())?;
    ensure!(unseen.status.code() == Some(2), "helper does not reach it: {unseen:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_ran_out_and_its_tokens_are_of_no_use() -> Result<()> {
    let stage = Stage::set_for_strangers(&[])?;
    for (span, expected) in [("25h", Some(2)), ("0s", Some(2)), ("24h", Some(0))] {
        let made = stage.home.command(&[&SUBJECT[..], &["lead", "--for", span]].concat())?;
        ensure!(made.status.code() == expected, "{span}: {made:?}");
    }
    let (brief, twin) =
        (stage.scoped_key("lead", &["--for", "5s"])?, stage.scoped_key("lead", &[])?);
    let (buyer, other) = (stage.key_buyer("lead", &brief)?, stage.key_buyer("lead", &twin)?);
    let (token, lasting) =
        (buyer.buy(&stage.api(), &[]).await?, other.buy(&stage.api(), &[]).await?);
    let ends = claims(&token)?["exp"].as_i64().context("exp")?;
    let ends = model::Timestamp::from_seconds(ends).to_string();
    ensure!(ends <= brief.until, "a token ends with its key: {ends} {}", brief.until);
    tokio::time::timeout(PATIENCE, async {
        while stage.fast(&buyer, &token).await?.status != 401 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        anyhow::Ok(())
    })
    .await??;
    let told = buyer.ask(&form(&stage.api())).await?;
    ensure!(told.status == 401, "{told:?}");
    ensure!(told.text("error_description").contains("credential_expired"), "{told:?}");
    stage.fast(&other, &lasting).await?.done()?;
    drop(other.buy(&stage.api(), &[]).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_revoked_takes_all_that_it_bought_with_it() -> Result<()> {
    let stage = Stage::set_for_strangers(&[])?;
    let (key, twin) = (stage.scoped_key("lead", &[])?, stage.scoped_key("lead", &[])?);
    let (buyer, other) = (stage.key_buyer("lead", &key)?, stage.key_buyer("lead", &twin)?);
    let helper = stage.buyer("helper")?;
    let mut held = Vec::new();
    for buyer in [&buyer, &other] {
        let token = buyer.buy(&stage.api(), &[]).await?;
        let handed = helper.act_for(&token, &stage.api(), &[]).await?;
        stage.fast(buyer, &token).await?.done()?;
        stage.fast(&helper, &handed).await?.done()?;
        held.push((token, handed));
    }
    // Both are in the list, without the secret.
    let listed = stage.home.done(&["key", "list", "--agent", "lead"])?;
    ensure!(
        listed.contains(&key.id) && listed.contains(&twin.id) && !listed.contains(key.secret())
    );

    stage.home.done(&["revoke", "key", &key.id, "--reason", "seen in a ticket"])?;
    let before = stage.reached();
    let [(token, handed), (kept, kept_handed)] = held.try_into().ok().context("two")?;
    let told = stage.fast(&buyer, &token).await?;
    ensure!(told.status == 403 && code(&told) == "revoked", "{told:?}");
    let told = stage.fast(&helper, &handed).await?;
    ensure!(told.status == 403 && code(&told) == "revoked", "what came of it: {told:?}");
    let told = helper.exchange(&token, &stage.api(), &[]).await?;
    ensure!(told.status == 400, "{told:?}");
    let told = buyer.ask(&form(&stage.api())).await?;
    ensure!(told.status == 400 && told.text("error") == "unauthorized_client", "{told:?}");
    ensure!(stage.reached() == before);
    stage.fast(&other, &kept).await?.done()?;
    stage.fast(&helper, &kept_handed).await?.done()?;
    let state = stage.home.json(&["key", "list"])?;
    let of = |id: &str| state.as_array()?.iter().find(|row| row["id"] == id)?["state"].as_str();
    ensure!(of(&key.id) == Some("✕ revoked") && of(&twin.id) == Some("✓ open"), "{state}");
    let unknown = stage.home.command(&["revoke", "key", "000000000000"])?;
    ensure!(unknown.status.code() == Some(2), "{unknown:?}");

    // Its agent's life is asked as for every other credential.
    stage.home.done(&["agent", "suspend", "lead", "--reason", "drill"])?;
    let told = other.ask(&form(&stage.api())).await?;
    ensure!(told.text("error_description").contains("agent_suspended"), "{told:?}");
    let made = stage.home.command(&[&SUBJECT[..], &["lead"]].concat())?;
    ensure!(!made.status.success(), "no key for who may not act: {made:?}");
    stage.home.done(&["agent", "resume", "lead", "--reason", "drill"])?;
    drop(other.buy(&stage.api(), &[]).await?);

    // A revoked agent comes back without the keys that it had.
    stage.home.done(&["revoke", "agent", "lead", "--reason", "drill"])?;
    stage.home.done(&["unfreeze", "agent:lead", "--reason", "drill"])?;
    let told = other.ask(&form(&stage.api())).await?;
    ensure!(told.status == 400 && told.text("error") == "unauthorized_client", "{told:?}");
    let next = stage.key_buyer("lead", &stage.scoped_key("lead", &[])?)?;
    drop(next.buy(&stage.api(), &[]).await?);

    // Whoever has a copy of a revoked key proves nothing by it, and fills no ledger with it.
    for _ in 0..70 {
        ensure!(other.ask(&form(&stage.api())).await?.status == 400);
    }
    let Stage { home, ambit, .. } = stage;
    tokio::task::block_in_place(|| ambit.stop())?;
    let of_key = |entry: &&testkit::process::Entry| {
        entry.text("decision") == "deny" && entry.text("scoped_key") == twin.id
    };
    let records = home.records()?.iter().filter(of_key).count();
    ensure!((1..=65).contains(&records), "{records} records of one refused key");
    Ok(())
}

/// What is under way with a token of a key ends before `ambit revoke key` returns.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_revoked_ends_what_is_under_way() -> Result<()> {
    let stage = Stage::set_for_strangers(&[])?;
    let slow = "      slow: { route: \"GET /slow?ms\", effect: read, risk: low }\n";
    stage.change("      fast: {", &format!("{slow}      fast: {{"))?;
    let (key, twin) = (stage.scoped_key("lead", &[])?, stage.scoped_key("lead", &[])?);
    let mut calls = Vec::new();
    for (key, ms) in [(&key, 30_000), (&twin, 3_000)] {
        let buyer = stage.key_buyer("lead", key)?;
        let token = buyer.buy(&stage.api(), &[]).await?;
        let request = reqwest::Client::new().get(format!("{}/slow?ms={ms}", stage.api()));
        let shown = stage.shown(&buyer, &token, "/slow")?.into_iter();
        let request = shown.fold(request, |request, (name, value)| request.header(name, value));
        calls.push(tokio::spawn(request.send()));
    }
    tokio::time::timeout(PATIENCE, async {
        while stage.reached() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await?;
    let ended = stage.home.json(&["revoke", "key", &key.id])?;
    ensure!(ended["calls_ended"] == true, "{ended}");
    let mut answers = Vec::new();
    for call in calls {
        answers.push(tokio::time::timeout(PATIENCE, call).await??);
    }
    let [cut, whole] = <[_; 2]>::try_from(answers).ok().context("two")?;
    // Well before the thirty seconds that the upstream would have taken.
    ensure!(cut.is_err() || cut.is_ok_and(|answer| !answer.status().is_success()));
    ensure!(whole?.status() == 200, "the twin's call goes on");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_from_another_network_buys_nothing() -> Result<()> {
    let stage = Stage::set_for_strangers(&[])?;
    let key = stage.scoped_key("lead", &["--network", "127.0.0.1/32"])?;
    let inside = stage.key_buyer("lead", &key)?;
    let token = inside.buy(&stage.api(), &[]).await?;
    stage.fast(&inside, &token).await?.done()?;
    let outside = stage.key_buyer("lead", &key)?.coming_from(OUTSIDE)?;
    let told = outside.ask(&form(&stage.api())).await?;
    ensure!(told.text("error_description").contains("network_unlisted"), "{told:?}");
    let client = reqwest::Client::builder().local_address(OUTSIDE).build()?;
    let request = client.get(format!("{}/fast", stage.api()));
    let shown = stage.shown(&inside, &token, "/fast")?.into_iter();
    let request = shown.fold(request, |request, (name, value)| request.header(name, value));
    let answer = request.send().await?;
    ensure!(answer.status() == 403 && answer.text().await?.contains("network_unlisted"));

    let twin = stage.scoped_key("lead", &["--network", "127.0.0.0/8"])?;
    let twin = stage.key_buyer("lead", &twin)?.coming_from(OUTSIDE)?;
    drop(twin.buy(&stage.api(), &[]).await?);
    Ok(())
}

/// Every file below a directory that holds these bytes.
fn holding(directory: &Path, bytes: &[u8], found: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            holding(&path, bytes, found)?;
        } else if path.is_file() {
            let text = std::fs::read(&path)?;
            if text.windows(bytes.len()).any(|window| window == bytes) {
                found.push(path.display().to_string());
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_of_a_key_is_nowhere_but_with_its_holder() -> Result<()> {
    let stage = Stage::set_for_strangers(&[])?;
    let key = stage.scoped_key("lead", &[])?;
    let buyer = stage.key_buyer("lead", &key)?;
    let token = buyer.buy(&stage.api(), &[]).await?;
    stage.fast(&buyer, &token).await?.done()?;
    drop(stage.get("/fast", &[("authorization", format!("Bearer {}", key.text))]).await?);
    let bare = buyer.post("/oauth/token", &form(&stage.api()), None).await?;
    ensure!(bare.status == 400);
    drop(stage.home.command(&["key", "list"])?);
    let (secret, shown) = (key.secret(), stage.ambit.terminal.shown());
    ensure!(secret.len() == 64 && !shown.contains(secret), "{shown}");
    stage.ambit.stop()?;
    let records = stage.home.records()?;
    let told = format!("{records:?}");
    ensure!(told.contains(&key.id) && !told.contains(secret), "records name the id alone");

    let digits = secret
        .as_bytes()
        .chunks(2)
        .map(|two| Ok(u8::from_str_radix(std::str::from_utf8(two)?, 16)?));
    let raw = digits.collect::<Result<Vec<u8>>>()?;
    for bytes in [secret.as_bytes(), &raw, secret.as_bytes().get(..24).context("24")?] {
        let mut found = Vec::new();
        holding(stage.home.path(), bytes, &mut found)?;
        ensure!(found.is_empty(), "{found:?}");
    }
    // The search finds what is there.
    let mut found = Vec::new();
    std::fs::write(stage.home.data().join("left"), &key.text)?;
    holding(stage.home.path(), secret.as_bytes(), &mut found)?;
    ensure!(found.len() == 1, "{found:?}");
    Ok(())
}

#[test]
fn a_key_in_a_file_is_refused_and_not_shown() -> Result<()> {
    let stage = Stage::set_for_strangers(&[])?;
    let key = stage.scoped_key("lead", &[])?;
    let place = tempfile::tempdir()?;
    let declared = std::fs::read_to_string(stage.home.path().join("ambit.yaml"))?;
    let policies = place.path().join("policies");
    std::fs::create_dir(&policies)?;
    let check = |yaml: String, cedar: String| -> Result<(Option<i32>, String)> {
        std::fs::write(place.path().join("ambit.yaml"), yaml)?;
        std::fs::write(policies.join("one.cedar"), cedar)?;
        let mut command = Command::new(built("ambit")?);
        let output = command.arg("validate").arg(place.path().join("ambit.yaml")).output()?;
        let text = [output.stdout, output.stderr].concat();
        Ok((output.status.code(), String::from_utf8_lossy(&text).into_owned()))
    };
    let policy =
        "@id(\"one\") forbid (principal, action, resource) when { context.edge == \"x\" };";
    let (sound, told) = check(declared.clone(), policy.to_owned())?;
    ensure!(sound == Some(0), "{told}");
    let secret = key.secret();
    let rows = [
        (format!("{declared}# for the pilot: {}\n", key.text), policy.to_owned(), "ambit.yaml"),
        (
            declared.replace("purpose: Lead", &format!("purpose: {}", key.text)),
            policy.to_owned(),
            "ambit.yaml",
        ),
        (declared.clone(), format!("// {}\n{policy}", key.text), "one.cedar"),
        (declared.clone(), policy.replace("\"x\"", &format!("\"{}\"", key.text)), "one.cedar"),
    ];
    for (yaml, cedar, file) in rows {
        let (code, told) = check(yaml, cedar)?;
        ensure!(code != Some(0) && told.contains(file), "{told}");
        ensure!(told.contains("a scoped key stands here") && !told.contains(secret), "{told}");
    }
    stage.ambit.stop()
}

/// An agent with `proof: none` gets no bearer for its key.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_buys_no_bearer_even_where_its_agent_does() -> Result<()> {
    let stage = Stage::set_for_strangers(&[])?;
    let robot = "    purpose: Act for itself and hand on\n";
    stage.change(robot, &format!("{robot}    credentials: {{ proof: none }}\n"))?;
    let key = stage.scoped_key("robot", &[])?;
    let buyer = stage.key_buyer("robot", &key)?;
    let api = stage.api();
    let bare = buyer.post("/oauth/token", &form(&api), None).await?;
    ensure!(bare.status == 400 && bare.text("error") == "invalid_dpop_proof", "{bare:?}");
    let twin = stage.buyer("robot")?.post("/oauth/token", &form(&api), None).await?;
    ensure!(twin.status == 200 && twin.text("token_type") == "Bearer", "{twin:?}");
    let proven = buyer.ask(&form(&api)).await?;
    ensure!(proven.text("token_type") == "DPoP", "{proven:?}");
    stage.fast(&buyer, proven.text("access_token")).await?.done()
}
