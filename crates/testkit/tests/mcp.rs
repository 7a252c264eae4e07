//! What the doors of MCP let through beyond tools, and what they do not: each line that is stopped has a twin in which
//! it comes through. The fixture server's own log is the oracle.

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use model::record::RecordKind;
use serde_json::{Value, json};
use testkit::{
    dialogue::Fixture,
    process::{Ambit, Home},
};

const META: &str = "io.modelcontextprotocol/";

/// Two upstreams that are one server: in `open` all that it may initiate is catalogued, in `shut` its tools alone.
fn config(address: &str) -> String {
    let agent = |name: &str| {
        format!(
            "  {name}:\n    purpose: Try the doors\n    owner: group:it\n    boundary: all\n    credentials: {{ proof: none, ttl: \
             15m }}\n"
        )
    };
    let read = "{ effect: read, risk: low }";
    format!(
        "version: 1\nhumans:\n  people:\n    dana: {{ groups: [it] }}\nagents:\n{}{}upstreams:\n  open:\n    mcp: \
         http://{address}/mcp\n    actions:\n      \"*\": {read}\n      resources/read: {read}\n      resources/list: {read}\n      \
         resources/subscribe: {read}\n      prompts/get: {read}\n      completion/complete: {read}\n      \
         elicitation/create: {read}\n      elicitation/create/accounts.example: {read}\n      notifications/message: \
         {read}\n      tasks/get: {read}\n      tasks/update: {read}\n      tasks/cancel: {read}\n  shut:\n    mcp: http://{address}/mcp\n    actions:\n      \"*\": {read}\nboundaries:\n  all: {{ upstreams: \
         [open, shut] }}\n",
        agent("ana"),
        agent("bob"),
    )
}

struct Stage {
    fixture: Fixture,
    home: Home,
    ambit: Ambit,
    client: reqwest::Client,
    /// Sent with requests of the revision without sessions.
    headers: Vec<(&'static str, &'static str)>,
    _logs: tempfile::TempDir,
}

/// What a door answered.
#[derive(Debug)]
struct Told {
    status: StatusCode,
    headers: http::HeaderMap,
    /// The messages; of a plain answer one.
    messages: Vec<Value>,
}

impl Told {
    fn last(&self) -> &Value {
        self.messages.last().unwrap_or(&Value::Null)
    }

    fn at(&self, pointer: &str) -> &Value {
        self.last().pointer(pointer).unwrap_or(&Value::Null)
    }

    fn text(&self) -> &str {
        self.at("/result/content/0/text").as_str().unwrap_or_default()
    }
}

impl Stage {
    fn set() -> Result<Stage> {
        let logs = tempfile::tempdir()?;
        let fixture = Fixture::start(logs.path())?;
        let home = Home::new(&config(&fixture.address))?;
        let ambit = home.start()?;
        let client = reqwest::Client::new();
        Ok(Stage { fixture, home, ambit, client, headers: Vec::new(), _logs: logs })
    }

    fn door(&self, path: &str) -> String {
        format!("{}{path}", self.home.front())
    }

    fn token(&self, agent: &str, path: &str) -> Result<String> {
        self.home.token(agent, &self.door(path), &[])
    }

    /// One request in revision 2026-07-28, with the client's capabilities.
    async fn ask(
        &self,
        (path, token): (&str, &str),
        method: &str,
        params: Value,
        capabilities: Value,
    ) -> Result<Told> {
        let version = "2026-07-28";
        let mut params = params;
        let members = params.as_object_mut().context("no object")?;
        let meta = json!({
            format!("{META}protocolVersion"): version,
            format!("{META}clientCapabilities"): capabilities,
            "progressToken": members.remove("progressToken"),
        });
        members.insert("_meta".to_owned(), meta);
        let name = ["name", "uri", "taskId"].iter().find_map(|name| params.get(*name));
        let name = name.and_then(Value::as_str);
        let mut request = self.client.post(self.door(path)).bearer_auth(token);
        request = request.header("mcp-protocol-version", version).header("mcp-method", method);
        if let Some(name) = name {
            request = request.header("mcp-name", name);
        }
        for (name, value) in &self.headers {
            request = request.header(*name, *value);
        }
        let accept = "application/json, text/event-stream";
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        told(request.header("accept", accept).json(&body).send().await?).await
    }

    async fn call(
        &self,
        place: (&str, &str),
        tool: &str,
        more: Value,
        capabilities: Value,
    ) -> Result<Told> {
        let mut params = json!({ "name": tool, "arguments": {} });
        if let (Some(params), Value::Object(more)) = (params.as_object_mut(), more) {
            params.extend(more);
        }
        self.ask(place, "tools/call", params, capabilities).await
    }

    /// One message in a legacy session.
    async fn tell(&self, (path, token): (&str, &str), session: &str, body: Value) -> Result<Told> {
        let mut request = self.client.post(self.door(path)).bearer_auth(token);
        request = request.header("mcp-protocol-version", "2025-11-25");
        if !session.is_empty() {
            request = request.header("mcp-session-id", session);
        }
        let accept = "application/json, text/event-stream";
        told(request.header("accept", accept).json(&body).send().await?).await
    }

    async fn session(&self, place: (&str, &str)) -> Result<String> {
        let params = json!({ "protocolVersion": "2025-11-25", "capabilities": { "elicitation": {} },
            "clientInfo": { "name": "raw", "version": "1" } });
        let body = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
        let told = self.tell(place, "", body).await?;
        let session = told.headers.get("mcp-session-id").context("no session")?;
        Ok(session.to_str()?.to_owned())
    }

    /// A GET in a session.
    async fn get(
        &self,
        (path, token): (&str, &str),
        session: &str,
        event: &str,
    ) -> Result<reqwest::Response> {
        let request = self.client.get(self.door(path)).bearer_auth(token);
        let request = request.header("mcp-session-id", session).header("last-event-id", event);
        let request = request.header("mcp-protocol-version", "2025-11-25");
        Ok(request.header("accept", "text/event-stream").send().await?)
    }
}

async fn told(response: reqwest::Response) -> Result<Told> {
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await?;
    let messages = match text.contains("data:") {
        true => text
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect(),
        false => serde_json::from_str(&text).ok().into_iter().collect(),
    };
    Ok(Told { status, headers, messages })
}

fn elicits() -> Value {
    json!({ "elicitation": {} })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_upstream_initiates_is_off_unless_it_is_catalogued() -> Result<()> {
    let stage = Stage::set()?;
    let tool = "test_input_required_result_elicitation";
    let places = [("/mcp/shut", false), ("/mcp/open", true)];
    for (path, is_on) in places {
        let token = stage.token("ana", path)?;
        let place = (path, token.as_str());
        let told = stage.call(place, tool, json!({}), elicits()).await?;
        let asked = told.at("/result/resultType") == "input_required";
        assert_eq!(asked, is_on, "{path}: {told:?}");
        if !is_on {
            assert!(told.text().contains("result_withheld"), "{told:?}");
        }
        // Without the client's word nobody is asked, whatever the catalog says.
        let told = stage.call(place, tool, json!({}), json!({})).await?;
        assert!(told.text().contains("result_withheld"), "{path}: {told:?}");
        // A page of a listed host comes through, one of another does not.
        for (url, listed) in
            [("https://accounts.example/x", true), ("https://accounts.example.evil/x", false)]
        {
            let more = json!({ "arguments": { "url": url } });
            let pages = json!({ "elicitation": { "url": {} } });
            let told = stage.call(place, "test_url_elicitation", more, pages).await?;
            let shown = told.at("/result/inputRequests/answer/params/url").as_str() == Some(url);
            assert_eq!(shown, is_on && listed, "{path} {url}: {told:?}");
        }
        let logged = stage.call(place, "test_logging_tool", json!({}), json!({})).await?;
        assert_eq!(logged.messages.len(), 1, "no log level was asked for: {logged:?}");
    }
    let Stage { home, ambit, .. } = stage;
    ambit.stop()?;
    let records = home.records()?;
    let of = |action: &str, decision: &str| {
        let all = records.iter();
        all.filter(|one| one.text("action") == action && one.text("decision") == decision).count()
    };
    assert_eq!(of("open.elicitation/create", "allow"), 2, "each question has its own entry");
    assert_eq!(of("open.elicitation/create/accounts.example", "allow"), 1);
    assert_eq!(of("shut.elicitation/create", "deny"), 2, "each that is refused has its own record");
    assert!(of("open.elicitation/create/accounts.example.evil", "deny") == 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_round_is_authorised_again_and_its_state_is_one_callers() -> Result<()> {
    let stage = Stage::set()?;
    let (ana, bob) = (stage.token("ana", "/mcp/open")?, stage.token("bob", "/mcp/open")?);
    let place = ("/mcp/open", ana.as_str());
    let tool = "test_input_required_result_request_state";
    let first = stage.call(place, tool, json!({}), elicits()).await?;
    let state = first.at("/result/requestState").as_str().context("no state")?.to_owned();
    ensure!(!state.contains("nonce"), "the upstream's own state is sealed");
    let answer = json!({ "confirm": { "action": "accept", "content": { "ok": true } } });
    let more = |state: &str| json!({ "inputResponses": answer, "requestState": state });
    let calls = || stage.fixture.oracle.calls(tool).len();
    let before = calls();
    let swapped =
        |(at, c): (usize, char)| if at == 20 { if c == 'A' { 'B' } else { 'A' } } else { c };
    let forged: String = state.chars().enumerate().map(swapped).collect();
    let foreign = ("/mcp/open", bob.as_str());
    for (place, tool, state) in [
        (foreign, tool, state.as_str()),
        (place, tool, forged.as_str()),
        (place, "test_input_required_result_tampered_state", state.as_str()),
    ] {
        let told = stage.call(place, tool, more(state), elicits()).await?;
        assert_eq!(told.at("/error/code"), -32602, "{told:?}");
    }
    assert_eq!(calls(), before, "nothing of it reached the upstream");
    let told = stage.call(place, tool, more(&state), elicits()).await?;
    assert_eq!(told.text(), "state-ok", "{told:?}");
    // A freeze between two rounds ends them.
    stage.home.done(&["freeze", "agent:ana", "--reason", "drill"])?;
    let told = stage.call(place, tool, more(&state), elicits()).await?;
    assert!(told.text().starts_with("Denied"), "{told:?}");
    assert_eq!(calls(), before + 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn handles_of_a_session_are_its_own() -> Result<()> {
    let stage = Stage::set()?;
    let (ana, bob) = (stage.token("ana", "/mcp/open")?, stage.token("bob", "/mcp/open")?);
    let (ana, bob) = (("/mcp/open", ana.as_str()), ("/mcp/open", bob.as_str()));
    let (own, other, foreign) =
        (stage.session(ana).await?, stage.session(ana).await?, stage.session(bob).await?);
    let params = json!({ "name": "slow", "arguments": { "ms": 400 } });
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params });
    let request = stage.client.post(stage.door("/mcp/open")).bearer_auth(ana.1);
    let request =
        request.header("mcp-protocol-version", "2025-11-25").header("mcp-session-id", &own);
    let request = request.header("accept", "application/json, text/event-stream").json(&body);
    let text = request.send().await?.text().await?;
    let event = text.lines().find_map(|line| line.strip_prefix("id: ")).context("no event id")?;
    let again = stage.get(ana, &own, event).await?;
    assert_eq!(again.status(), StatusCode::OK);
    assert!(
        again.text().await?.contains("\"done\""),
        "the rest after the first event is the answer"
    );
    for (place, session) in [(ana, &other), (bob, &foreign), (bob, &own)] {
        let status = stage.get(place, session, event).await?.status();
        assert_eq!(status, StatusCode::NOT_FOUND, "an event of another session");
    }
    let request = stage.client.delete(stage.door("/mcp/open")).bearer_auth(ana.1);
    let request = request.header("mcp-protocol-version", "2025-11-25");
    let status = request.header("mcp-session-id", &own).send().await?.status();
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(stage.fixture.oracle.of("deleted").len(), 1, "the session upstream is ended too");
    let ping = json!({ "jsonrpc": "2.0", "id": 8, "method": "ping" });
    assert_eq!(stage.tell(ana, &own, ping.clone()).await?.status, StatusCode::NOT_FOUND);
    assert_eq!(stage.tell(ana, &other, ping).await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_door_of_all_names_whose_each_thing_is() -> Result<()> {
    let stage = Stage::set()?;
    let (all, one) = (stage.token("ana", "/mcp")?, stage.token("ana", "/mcp/open")?);
    let place = ("/mcp", all.as_str());
    let lists = |place| stage.ask(place, "tools/list", json!({}), json!({}));
    let first = lists(place).await?;
    assert_eq!(first.at("/result/cacheScope"), "private");
    let tools = first.at("/result/tools").as_array().context("no tools")?;
    let names: Vec<_> = tools.iter().filter_map(|tool| tool.get("name")?.as_str()).collect();
    assert!(names.contains(&"open.slow") && names.contains(&"shut.slow"), "{names:?}");
    assert!(names.is_sorted(), "{names:?}");
    assert_eq!(lists(place).await?.at("/result"), first.at("/result"), "the same list again");
    assert_eq!(stage.call(place, "open.test_simple_text", json!({}), json!({})).await?.status, 200);
    let told = stage.call(place, "test_simple_text", json!({}), json!({})).await?;
    assert_eq!(told.text(), "Unknown tool: test_simple_text");

    let resources = stage.ask(place, "resources/list", json!({}), json!({})).await?;
    let uri = resources.at("/result/resources/0/uri").as_str().context("no resources")?.to_owned();
    assert!(uri.starts_with("open+test://"), "{uri}");
    let read = stage.ask(place, "resources/read", json!({ "uri": uri }), json!({})).await?;
    assert_eq!(read.at("/result/contents/0/uri"), uri.as_str(), "{read:?}");
    let prompts = stage.ask(place, "prompts/list", json!({}), json!({})).await?;
    assert_eq!(prompts.at("/result/prompts/0/name"), "open.test_input_required_result_prompt");
    let params = json!({ "name": "open.test_simple_prompt" });
    let prompt = stage.ask(place, "prompts/get", params, json!({})).await?;
    assert!(prompt.at("/result/messages/0").is_object(), "{prompt:?}");

    // A token is for one door, and the doors below `/bearer` are the same ones, without a word of the token service.
    for (path, token, status) in [
        ("/mcp", &one, 401),
        ("/mcp/open", &all, 401),
        ("/mcp/open", &one, 200),
        ("/bearer/mcp", &all, 200),
        ("/bearer/mcp/open", &one, 200),
        ("/bearer/mcp", &one, 401),
    ] {
        let told = lists((path, token)).await?;
        assert_eq!(told.status, status, "{path}");
        let challenged = told.headers.contains_key("www-authenticate");
        assert_eq!(challenged, status == 401 && path.starts_with("/mcp"), "{path}");
    }
    let metadata = stage.door("/.well-known/oauth-protected-resource/mcp");
    let metadata: Value = stage.client.get(metadata).send().await?.json().await?;
    assert_eq!(metadata.get("resource"), Some(&json!(stage.door("/mcp"))));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_before_a_call_is_pinned() -> Result<()> {
    let stage = Stage::set()?;
    let evil = "mallory";
    let seen = async |stage: &Stage| -> Result<(String, Told)> {
        let token = stage.token("ana", "/mcp/open")?;
        let place = ("/mcp/open", token.as_str());
        let mut all = String::new();
        for method in ["server/discover", "prompts/list", "resources/templates/list"] {
            let told = stage.ask(place, method, json!({}), json!({})).await?;
            all.push_str(&told.at("/result").to_string());
        }
        let params = json!({ "name": "test_simple_prompt" });
        Ok((all, stage.ask(place, "prompts/get", params, json!({})).await?))
    };
    let (before, prompt) = seen(&stage).await?;
    assert!(before.contains("A prompt without arguments"), "{before}");
    assert!(before.contains("none has an effect"), "the instructions are handed on: {before}");
    assert!(prompt.at("/result/messages").is_array(), "{prompt:?}");

    let token = stage.token("ana", "/mcp/open")?;
    let told = stage.call(("/mcp/open", &token), "test_redefine", json!({}), json!({})).await?;
    assert_eq!(told.text(), "redefined");
    // The gate looks again when it starts.
    let Stage { fixture, home, ambit, client, headers, _logs } = stage;
    ambit.stop()?;
    let ambit = home.start()?;
    let stage = Stage { fixture, home, ambit, client, headers, _logs };
    let (changed, prompt) = seen(&stage).await?;
    assert!(!changed.contains(evil), "what changed is read by nobody: {changed}");
    assert!(!changed.contains("A prompt without arguments"), "nor what was pinned: {changed}");
    assert_eq!(prompt.at("/error/data/code"), "definition_changed", "{prompt:?}");

    stage.home.done(&["upstream", "pin", "open"])?;
    let (accepted, prompt) = seen(&stage).await?;
    assert_eq!(accepted.matches(evil).count(), 3, "accepted by a person: {accepted}");
    assert!(prompt.at("/result/messages").is_array(), "{prompt:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_hears_what_it_wants_and_may() -> Result<()> {
    let stage = Stage::set()?;
    for (path, hears) in [("/mcp/open", true), ("/mcp/shut", false)] {
        let token = stage.token("ana", path)?;
        let wanted = json!({ "resourceSubscriptions": ["test://watched-resource"], "toolsListChanged": true });
        let params = json!({ "notifications": wanted, "_meta": {
            format!("{META}protocolVersion"): "2026-07-28", format!("{META}clientCapabilities"): {} } });
        let body = json!({ "jsonrpc": "2.0", "id": "sub", "method": "subscriptions/listen", "params": params });
        let request = stage.client.post(stage.door(path)).bearer_auth(&token);
        let request = request.header("mcp-protocol-version", "2026-07-28");
        let request = request.header("mcp-method", "subscriptions/listen");
        let request = request.header("accept", "application/json, text/event-stream");
        let mut response = request.json(&body).send().await?;
        let mut heard = String::new();
        let mut until = async |what: &str, heard: &mut String| -> Result<()> {
            while !heard.contains(what) {
                let chunk =
                    tokio::time::timeout(std::time::Duration::from_secs(10), response.chunk());
                let chunk = chunk.await.with_context(|| format!("no `{what}` in {heard}"))??;
                heard.push_str(std::str::from_utf8(&chunk.context("the stream ended")?)?);
            }
            Ok(())
        };
        until("acknowledged", &mut heard).await?;
        assert_eq!(heard.contains("test://watched-resource"), hears, "{path}: {heard}");
        // The upstream's own stream is opened after ours: it is asked until it hears.
        let place = (path, token.as_str());
        for _ in 0..20 {
            stage.call(place, "test_trigger_resource_update", json!({}), json!({})).await?;
            stage.call(place, "test_trigger_tool_change", json!({}), json!({})).await?;
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        until("tools/list_changed", &mut heard).await?;
        if hears {
            until("resources/updated", &mut heard).await?;
        } else {
            let silence = std::time::Duration::from_millis(500);
            while let Ok(chunk) = tokio::time::timeout(silence, response.chunk()).await {
                heard.push_str(std::str::from_utf8(&chunk?.context("the stream ended")?)?);
            }
            assert!(!heard.contains("resources/updated"), "{path}: {heard}");
        }
        assert!(heard.contains("subscriptionId\":\"sub\""), "{heard}");
    }
    Ok(())
}

fn takes_tasks() -> Value {
    json!({ "elicitation": {}, "extensions": { "io.modelcontextprotocol/tasks": {} } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_of_an_upstream_is_its_callers_alone() -> Result<()> {
    let stage = Stage::set()?;
    let (ana, bob) = (stage.token("ana", "/mcp/open")?, stage.token("bob", "/mcp/open")?);
    let place = ("/mcp/open", ana.as_str());
    let asks = json!({ "arguments": { "asks": true } });
    let begun = stage.call(place, "works_long", asks, takes_tasks()).await?;
    assert_eq!(begun.at("/result/resultType"), "task", "{begun:?}");
    let handle = begun.at("/result/taskId").as_str().context("no task")?.to_owned();
    let known = json!({ "taskId": handle });
    let polls = || stage.fixture.oracle.of("task").len();
    // Another agent, another handle, a client that knows no tasks, and a server where tasks are off.
    let shut = stage.token("ana", "/mcp/shut")?;
    let forged: String = handle.chars().rev().collect();
    let forged = json!({ "taskId": forged });
    let foreign = ("/mcp/open", bob.as_str());
    for (place, params) in
        [(foreign, &known), (place, &forged), (("/mcp/shut", shut.as_str()), &known)]
    {
        for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
            let mut params = params.clone();
            if method == "tasks/update" {
                params["inputResponses"] = json!({});
            }
            let told = stage.ask(place, method, params, takes_tasks()).await?;
            assert_eq!(told.at("/error/code"), -32602, "{method}: {told:?}");
            assert_eq!(told.at("/error/message"), "Task not found", "{method}: {told:?}");
        }
    }
    let told = stage.ask(place, "tasks/get", known.clone(), elicits()).await?;
    assert_eq!(told.at("/error/code"), -32021, "{told:?}");
    assert_eq!(polls(), 0, "nothing of it reached the upstream");

    let told = stage.ask(place, "tasks/get", known.clone(), takes_tasks()).await?;
    assert_eq!(
        (told.at("/result/status"), told.at("/result/ttlMs")),
        (&json!("working"), &json!(60_000))
    );
    assert_eq!(told.at("/result/taskId"), handle.as_str(), "the handle stays the same");
    let told = stage.ask(place, "tasks/get", known.clone(), takes_tasks()).await?;
    assert_eq!(told.at("/result/inputRequests/word/method"), "elicitation/create", "{told:?}");
    let answer = json!({ "taskId": handle,
        "inputResponses": { "word": { "action": "accept", "content": { "word": "apple" } } } });
    let told = stage.ask(place, "tasks/update", answer, takes_tasks()).await?;
    assert_eq!(told.at("/result/resultType"), "complete", "{told:?}");
    let told = stage.ask(place, "tasks/get", known.clone(), takes_tasks()).await?;
    assert_eq!(told.at("/result/result/content/0/text"), "the word is apple", "{told:?}");

    // Where tasks are off, the upstream is not told that the client takes them.
    let told = stage.call(("/mcp/shut", &shut), "works_long", json!({}), takes_tasks()).await?;
    assert_eq!(told.text(), "done at once", "{told:?}");
    // At the door of all, the handle says whose task it is.
    let token = stage.token("ana", "/mcp")?;
    let all = ("/mcp", token.as_str());
    let begun = stage.call(all, "open.works_long", json!({}), takes_tasks()).await?;
    let known = json!({ "taskId": begun.at("/result/taskId") });
    let told = stage.ask(all, "tasks/cancel", known.clone(), takes_tasks()).await?;
    assert_eq!(told.at("/result/resultType"), "complete", "{told:?}");
    let told = stage.ask(all, "tasks/get", known.clone(), takes_tasks()).await?;
    assert_eq!(told.at("/result/status"), "cancelled", "{told:?}");
    // Whoever is frozen hears no more of its task.
    let before = polls();
    stage.home.done(&["freeze", "agent:ana", "--reason", "drill"])?;
    let told = stage.ask(all, "tasks/get", known, takes_tasks()).await?;
    assert!(told.at("/error/message").as_str().unwrap_or_default().contains("revoked"), "{told:?}");
    assert_eq!(polls(), before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_stream_leaves_segments_before_its_outcome() -> Result<()> {
    let stage = Stage::set()?;
    let token = stage.token("ana", "/mcp/open")?;
    let place = ("/mcp/open", token.as_str());
    // 100 KiB each: a record follows each mebibyte.
    let frames = [2, 24];
    for frames in frames {
        let arguments = json!({ "frames": frames, "bytes": 100 * 1024 });
        let more = json!({ "arguments": arguments, "progressToken": "p" });
        let told = stage.call(place, "chatters", more, json!({})).await?;
        assert_eq!((told.text(), told.messages.len()), ("told", frames + 1));
    }
    let Stage { fixture: _fixture, home, ambit, .. } = stage;
    ambit.stop()?;
    let records = home.records()?;
    let of = |kind| records.iter().enumerate().filter(move |(_, one)| one.kind == kind);
    let outcomes: Vec<_> = of(RecordKind::Outcome).collect();
    let [(_, short), (last, long)] = outcomes[..] else { anyhow::bail!("{outcomes:?}") };
    let segments: Vec<_> = of(RecordKind::Segment).collect();
    assert!(segments.iter().all(|(_, one)| one.text("entry") != short.text("entry")));
    let bytes: Vec<_> = segments.iter().map(|(_, one)| one.envelope["bytes"].as_u64()).collect();
    assert!(bytes.len() == 2 && bytes.is_sorted(), "{bytes:?}");
    for (at, segment) in segments {
        assert!(at < last && segment.text("entry") == long.text("entry"), "{segment:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_argument_in_a_header_is_the_one_in_the_body() -> Result<()> {
    let mut stage = Stage::set()?;
    let token = stage.token("ana", "/mcp/open")?;
    let place = ("/mcp/open", token.as_str());
    let paris = || json!({ "arguments": { "city": "Paris" } });
    for headers in [Vec::new(), vec![("mcp-param-city", "Rome")]] {
        stage.headers = headers;
        let told = stage.call(place, "headed", paris(), json!({})).await?;
        assert_eq!(told.at("/error/code"), -32020, "{told:?}");
    }
    assert!(stage.fixture.oracle.calls("headed").is_empty());
    stage.headers = vec![("mcp-param-city", "Paris")];
    assert_eq!(stage.call(place, "headed", paris(), json!({})).await?.text(), "Paris");
    let sent = stage.fixture.oracle.of("request");
    let last = sent.last().context("no request")?;
    assert_eq!(last["headers"]["mcp-param-city"], "Paris", "the upstream gets it too");
    Ok(())
}
