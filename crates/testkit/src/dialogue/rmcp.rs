//! The dialogue of an `rmcp` client.
#![expect(deprecated, reason = "sampling, roots and logging are deprecated and still spoken")]

use super::Step;
use anyhow::{Context as _, Result};
use rmcp::{
    ClientHandler, ClientLifecycleMode, ClientServiceExt as _, ErrorData, RoleClient,
    model::{
        CallToolRequest, CallToolRequestParams, CallToolResult, ClientConfig, ClientRequest,
        CreateMessageRequestParams, CreateMessageResult, ElicitRequestParams, ElicitResult,
        Implementation, ListRootsResult, LoggingMessageNotificationParam,
        ProgressNotificationParam, ProtocolVersion, ResourceUpdatedNotificationParam,
    },
    service::{
        NotificationContext, PeerRequestOptions, RequestContext, RunningService, ServiceError,
    },
    transport::StreamableHttpClientTransport,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Longer than any answer of the fixture takes.
const PATIENCE: Duration = Duration::from_secs(15);
/// What results differ in between revisions, and what says how long they may be kept.
const LEFT_OUT: [&str; 4] = ["_meta", "cacheScope", "resultType", "ttlMs"];

/// Holds the dialogue.
pub(super) fn speak(modern: bool, url: &str, nonce: &str) -> Result<Vec<Step>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut dialogue = Dialogue::begin(modern, url, nonce).await?;
        Box::pin(dialogue.hold()).await;
        dialogue.end().await;
        Ok(dialogue.steps)
    })
}

type Heard = Arc<Mutex<Vec<Value>>>;

/// The client's side: answers questions, and notes what it hears.
struct Host {
    config: ClientConfig,
    heard: Heard,
}

impl Host {
    fn hear(&self, what: Value) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }
}

fn made<T: DeserializeOwned>(value: Value) -> Result<T, ErrorData> {
    serde_json::from_value(value)
        .map_err(|error| ErrorData::internal_error(error.to_string(), None))
}

fn plain<T: Serialize>(value: &T) -> Value {
    let mut value = serde_json::to_value(value).unwrap_or_default();
    if let Value::Object(members) = &mut value {
        members.retain(|name, member| !LEFT_OUT.contains(&name.as_str()) && !member.is_null());
    }
    value
}

impl ClientHandler for Host {
    fn get_info(&self) -> ClientConfig {
        self.config.clone()
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let asked = plain(&request);
        let mode = asked.get("mode").and_then(Value::as_str).unwrap_or("form");
        self.hear(json!({ "question": asked.get("message"), "mode": mode }));
        let content = json!({ "response": "yes", "name": "Ana", "context": "here" });
        made(match mode {
            "url" => json!({ "action": "accept" }),
            _ => json!({ "action": "accept", "content": content }),
        })
    }

    async fn create_message(
        &self,
        request: CreateMessageRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        let asked = plain(&request);
        let content = asked.pointer("/messages/0/content");
        let text = content.and_then(|content| content.get("text").or(content.pointer("/0/text")));
        self.hear(json!({ "sampled": text }));
        let content = json!({ "type": "text", "text": "sampled" });
        made(json!({ "model": "none", "role": "assistant", "content": content }))
    }

    async fn list_roots(
        &self,
        _: RequestContext<RoleClient>,
    ) -> Result<ListRootsResult, ErrorData> {
        self.hear(json!({ "roots": true }));
        made(json!({ "roots": [{ "uri": "file:///here", "name": "here" }] }))
    }

    fn on_progress(
        &self,
        params: ProgressNotificationParam,
        _: NotificationContext<RoleClient>,
    ) -> impl Future<Output = ()> {
        let mut told = plain(&params);
        if let Value::Object(members) = &mut told {
            members.remove("progressToken");
        }
        self.hear(told);
        std::future::ready(())
    }

    fn on_logging_message(
        &self,
        params: LoggingMessageNotificationParam,
        _: NotificationContext<RoleClient>,
    ) -> impl Future<Output = ()> {
        let told = plain(&params);
        self.hear(json!({ "log": told.get("data"), "level": told.get("level") }));
        std::future::ready(())
    }

    fn on_resource_updated(
        &self,
        params: ResourceUpdatedNotificationParam,
        _: NotificationContext<RoleClient>,
    ) -> impl Future<Output = ()> {
        let told = json!({ "updated": params.uri });
        let known = self.heard.lock().unwrap_or_else(PoisonError::into_inner).contains(&told);
        if !known {
            self.hear(told);
        }
        std::future::ready(())
    }
}

struct Dialogue {
    client: RunningService<RoleClient, Host>,
    modern: bool,
    nonce: String,
    heard: Heard,
    steps: Vec<Step>,
}

fn failure(error: &ServiceError) -> Value {
    match error {
        ServiceError::McpError(error) => {
            json!({ "failed": error.message, "code": error.code.0 })
        }
        other => json!({ "failed": other.to_string() }),
    }
}

/// What something brought, and what was heard on the way.
async fn said<F>(heard: &Heard, brought: F) -> Value
where
    F: Future<Output = Result<Value, ServiceError>>,
{
    let heard = || heard.lock().unwrap_or_else(PoisonError::into_inner);
    heard().clear();
    let brought = match tokio::time::timeout(PATIENCE, brought).await {
        Ok(Ok(result)) => json!({ "result": result }),
        Ok(Err(error)) => failure(&error),
        Err(_) => json!({ "failed": "no answer came" }),
    };
    let mut said = brought.as_object().cloned().unwrap_or_default();
    let heard = std::mem::take(&mut *heard());
    if !heard.is_empty() {
        said.insert("heard".into(), Value::Array(heard));
    }
    Value::Object(said)
}

impl Dialogue {
    async fn begin(modern: bool, url: &str, nonce: &str) -> Result<Dialogue> {
        let (version, lifecycle) = if modern {
            let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
            let lifecycle = ClientLifecycleMode::Discover { preferred_versions };
            (ProtocolVersion::V_2026_07_28, lifecycle)
        } else {
            (ProtocolVersion::V_2025_11_25, ClientLifecycleMode::Initialize)
        };
        let capabilities =
            json!({ "elicitation": { "form": {}, "url": {} }, "sampling": {}, "roots": {} });
        let config = ClientConfig::new(
            serde_json::from_value(capabilities)?,
            Implementation::new("dialogue", "1.0.0"),
        );
        let heard = Heard::default();
        let host =
            Host { config: config.with_protocol_version(version), heard: Arc::clone(&heard) };
        let transport = StreamableHttpClientTransport::from_uri(url);
        let running = host.serve_with_lifecycle(transport, lifecycle).await;
        let client = running.with_context(|| format!("cannot connect to {url}"))?;
        let about = client.peer_info().map(|info| plain(info.as_ref())).unwrap_or_default();
        let said = json!({
            "capabilities": about.get("capabilities"),
            "instructions": about.get("instructions"),
        });
        let steps = vec![Step { name: "connect".into(), said }];
        Ok(Dialogue { client, modern, nonce: nonce.to_owned(), heard, steps })
    }

    async fn step<F>(&mut self, name: &str, brought: F)
    where
        F: Future<Output = Result<Value, ServiceError>>,
    {
        let said = said(&self.heard, brought).await;
        self.steps.push(Step { name: name.to_owned(), said });
    }

    async fn call(&mut self, name: &str, tool: &'static str, arguments: Value) {
        let (client, request) = (&self.client, params(tool, arguments));
        let brought = async {
            // Only the service itself, and not its peer, answers the questions of a round.
            let result = match self.modern {
                true => client.call_tool(request).await,
                false => client.peer().call_tool(request).await,
            };
            result.map(|result| plain(&result))
        };
        let said = said(&self.heard, brought).await;
        self.steps.push(Step { name: name.to_owned(), said });
    }

    async fn hold(&mut self) {
        let peer = self.client.peer().clone();
        self.step("lists", lists(&peer)).await;
        self.call("text", "test_simple_text", json!({})).await;
        self.call("content", "test_multiple_content_types", json!({})).await;
        self.call("structured", "structured", json!({ "city": "Kyiv" })).await;
        self.call("isError", "test_error_handling", json!({})).await;
        self.call("progress", "test_tool_with_progress", json!({})).await;
        self.step("cancel", cancelled(&peer, self.nonce.clone())).await;
        self.call("elicit", "test_elicitation", json!({ "message": "May I?" })).await;
        let page = json!({ "url": "https://accounts.example/sign-in" });
        self.call("elicit-url", "test_url_elicitation", page).await;
        self.call("sample", "test_sampling", json!({ "prompt": "Say something" })).await;
        if self.modern {
            self.call("rounds", "test_input_required_result_multi_round", json!({})).await;
            self.call("three", "test_input_required_result_multiple_inputs", json!({})).await;
        }
        for (name, uri) in [
            ("resource", "test://static-text"),
            ("template", "test://template/7/data"),
            ("no-resource", "test://nothing"),
        ] {
            self.step(name, read(&peer, uri)).await;
        }
        let arguments = json!({ "arg1": "one", "arg2": "two" });
        self.step("prompt", prompt(&peer, "test_prompt_with_arguments", arguments)).await;
        self.step("no-prompt", prompt(&peer, "nothing", json!({}))).await;
        self.step("complete", complete(&peer)).await;
        if !self.modern {
            self.step("log-level", level(&peer)).await;
            self.call("log", "test_tool_with_logging", json!({})).await;
            self.step("subscribe", subscribed(&peer, Arc::clone(&self.heard))).await;
        }
        self.step("large", large(&peer)).await;
        self.call("slow", "slow", json!({ "ms": 700 })).await;
        let nonce = json!({ "nonce": self.nonce });
        if self.modern {
            self.call("cut", "cut", nonce.clone()).await;
            self.call("cut-and-again", "cut", nonce).await;
        } else {
            self.call("cut-by-server", "test_reconnection", json!({})).await;
            self.call("cut-and-resume", "resumed", nonce).await;
        }
        self.call("unknown-tool", "no_such_tool", json!({})).await;
    }

    async fn end(&mut self) {
        let ended = self.client.close_with_timeout(PATIENCE).await.is_ok();
        self.steps.push(Step { name: "end".into(), said: json!({ "ended": ended }) });
    }
}

type Peer = rmcp::service::Peer<RoleClient>;

fn params(tool: &'static str, arguments: Value) -> CallToolRequestParams {
    let arguments = arguments.as_object().cloned().unwrap_or_default();
    CallToolRequestParams::new(tool).with_arguments(arguments)
}

fn names(listed: &Value, by: &str) -> Vec<String> {
    let items = listed.as_array().into_iter().flatten();
    let mut names: Vec<_> =
        items.filter_map(|item| Some(item.get(by)?.as_str()?.to_owned())).collect();
    names.sort();
    names
}

async fn lists(peer: &Peer) -> Result<Value, ServiceError> {
    let json = |value: serde_json::Result<Value>| value.unwrap_or_default();
    let tools = json(serde_json::to_value(peer.list_all_tools().await?));
    let resources = json(serde_json::to_value(peer.list_all_resources().await?));
    let templates = json(serde_json::to_value(peer.list_all_resource_templates().await?));
    let prompts = peer.list_all_prompts().await?;
    let mut prompts: Vec<Value> = prompts.iter().map(plain).collect();
    prompts.sort_by_key(|prompt| prompt.get("name").map(Value::to_string));
    let all = tools.as_array().into_iter().flatten();
    let structured = all.clone().find(|tool| tool.get("name") == Some(&json!("structured")));
    Ok(json!({
        "tools": names(&tools, "name"),
        "structured": structured,
        "resources": names(&resources, "uri"),
        "templates": templates,
        "prompts": prompts,
    }))
}

async fn cancelled(peer: &Peer, nonce: String) -> Result<Value, ServiceError> {
    let request = CallToolRequest::new(params("waits", json!({ "nonce": nonce })));
    let request = ClientRequest::CallToolRequest(request);
    let handle = peer.send_cancellable_request(request, PeerRequestOptions::no_options()).await?;
    tokio::time::sleep(Duration::from_millis(400)).await;
    handle.cancel(Some("enough".to_owned())).await?;
    // What is still on its way of the answer's beginning is no part of the next step.
    tokio::time::sleep(Duration::from_millis(200)).await;
    Ok(json!({ "failed": true }))
}

async fn read(peer: &Peer, uri: &str) -> Result<Value, ServiceError> {
    let params = made(json!({ "uri": uri })).map_err(ServiceError::McpError)?;
    peer.read_resource(params).await.map(|result| plain(&result))
}

async fn prompt(peer: &Peer, name: &str, arguments: Value) -> Result<Value, ServiceError> {
    let params = json!({ "name": name, "arguments": arguments });
    let params = made(params).map_err(ServiceError::McpError)?;
    peer.get_prompt(params).await.map(|result| plain(&result))
}

async fn complete(peer: &Peer) -> Result<Value, ServiceError> {
    let values = peer.complete_prompt_simple("test_prompt_with_arguments", "arg1", "par").await?;
    Ok(json!(values))
}

async fn level(peer: &Peer) -> Result<Value, ServiceError> {
    let params = made(json!({ "level": "info" })).map_err(ServiceError::McpError)?;
    peer.set_level(params).await.map(|()| json!({}))
}

async fn subscribed(peer: &Peer, heard: Heard) -> Result<Value, ServiceError> {
    let watched =
        || made(json!({ "uri": "test://watched-resource" })).map_err(ServiceError::McpError);
    peer.subscribe(watched()?).await?;
    // The stream on which it is heard opens by itself: what happens before is heard by nobody.
    for tries in 0..160 {
        if tries % 10 == 0 {
            peer.call_tool(params("test_trigger_resource_update", json!({}))).await?;
        }
        if !heard.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let watched =
        made(json!({ "uri": "test://watched-resource" })).map_err(ServiceError::McpError)?;
    peer.unsubscribe(watched).await.map(|()| json!({}))
}

async fn large(peer: &Peer) -> Result<Value, ServiceError> {
    let result: CallToolResult =
        peer.call_tool(params("large", json!({ "bytes": 1_000_000 }))).await?;
    let text = crate::peer::text(&result);
    let only = text.bytes().all(|byte| byte == b'x');
    Ok(json!({ "length": text.len(), "only": only }))
}
