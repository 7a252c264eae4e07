//! An MCP server made with `rmcp`, in either era; it notes each request's headers and each call's arguments.

use super::tickets::ticket;
use crate::{oracle::AccessLog, serve};
use anyhow::Result;
use http::{HeaderMap, Request};
use hyper::body::Incoming;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock,
        DiscoverRequestMethod, DiscoverResult, Implementation, JsonObject, ListToolsResult,
        PaginatedRequestParams, ProtocolVersion, ServerCapabilities, ServerConfig, Tool,
    },
    service::RequestContext,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};
use serde_json::{Value, json};
use std::{borrow::Cow, sync::Arc, time::Duration};
use tokio::net::TcpListener;

/// Which revisions of MCP the server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// 2026-07-28 only.
    Modern,
    /// 2025-11-25 only: `initialize`, sessions, and no `server/discover`.
    Legacy,
    /// Both.
    Both,
}

impl Era {
    /// Reads `modern`, `legacy` or `both`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Era> {
        match text {
            "modern" => Some(Era::Modern),
            "legacy" => Some(Era::Legacy),
            "both" => Some(Era::Both),
            _ => None,
        }
    }

    /// The word on command lines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Era::Modern => "modern",
            Era::Legacy => "legacy",
            Era::Both => "both",
        }
    }

    const fn versions(self) -> &'static [ProtocolVersion] {
        match self {
            Era::Modern => &[ProtocolVersion::V_2026_07_28],
            Era::Legacy => &[ProtocolVersion::V_2025_11_25],
            Era::Both => &[ProtocolVersion::V_2025_11_25, ProtocolVersion::V_2026_07_28],
        }
    }
}

#[derive(Clone)]
struct Server {
    era: Era,
    log: Arc<AccessLog>,
}

/// Serves until the process ends. `json` prefers plain JSON answers to event streams where the era allows it.
pub async fn run(listener: TcpListener, era: Era, json: bool, log: Arc<AccessLog>) -> Result<()> {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(era != Era::Modern)
        .with_json_response(json);
    let server = Server { era, log: Arc::clone(&log) };
    let service: StreamableHttpService<Server, LocalSessionManager> =
        StreamableHttpService::new(move || Ok(server.clone()), Arc::default(), config);
    serve::serve(listener, move |request: Request<Incoming>| {
        log.note(
            "request",
            json!({
                "method": request.method().as_str(),
                "path": request.uri().path(),
                "headers": header_map(request.headers()),
            }),
        );
        let service = service.clone();
        async move { Ok::<_, std::convert::Infallible>(service.handle(request).await) }
    })
    .await
}

/// Headers as an object; a header given twice is joined with a comma, as HTTP allows.
#[must_use]
pub fn header_map(headers: &HeaderMap) -> Value {
    let mut object = serde_json::Map::new();
    for name in headers.keys() {
        let values: Vec<_> = headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        object.insert(name.as_str().to_owned(), Value::String(values.join(", ")));
    }
    Value::Object(object)
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("tickets", "1.0.0"))
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(self.era.versions())
    }

    async fn discover(
        &self,
        context: RequestContext<RoleServer>,
    ) -> Result<DiscoverResult, ErrorData> {
        drop(context);
        if self.era == Era::Legacy {
            return Err(ErrorData::method_not_found::<DiscoverRequestMethod>());
        }
        let info = self.get_info();
        Ok(DiscoverResult::new(self.era.versions().to_vec(), info.capabilities)
            .with_server_info(info.server_info))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        self.log.note("call", json!({ "tool": request.name, "arguments": arguments }));
        let result = answer(&request.name, &arguments).await;
        self.log.note("answer", json!({ "tool": request.name, "arguments": arguments }));
        result.map(CallToolResponse::from)
    }
}

async fn answer(tool: &str, arguments: &Value) -> Result<CallToolResult, ErrorData> {
    let text = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default();
    let number = |name: &str| arguments.get(name).and_then(Value::as_u64).unwrap_or_default();
    Ok(match tool {
        "read_ticket" => match ticket(text("id")) {
            Some(found) => CallToolResult::structured(found),
            None => CallToolResult::error(vec![ContentBlock::text("no such ticket")]),
        },
        "send_mail" => said(&format!("sent to {}", text("to"))),
        "transfer" => said(&format!("transferred {} to {}", number("amount"), text("to"))),
        "reset_password" => said(&format!("reset {}", text("user"))),
        "echo" => said(text("text")),
        "slow" => {
            tokio::time::sleep(Duration::from_millis(number("ms"))).await;
            said("done")
        }
        "large" => said(&"x".repeat(usize::try_from(number("bytes")).unwrap_or(0))),
        "error" => CallToolResult::error(vec![ContentBlock::text("the tool failed, as asked")]),
        _ => return Err(ErrorData::invalid_params("no such tool", None)),
    })
}

fn said(text: &str) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text)])
}

/// A property of an input schema and its type.
type Property = (&'static str, &'static str);

/// Name, description, and the properties of the closed input schema, all required.
const TOOLS: &[(&str, &str, &[Property])] = &[
    ("read_ticket", "Reads one ticket", &[("id", "string")]),
    ("send_mail", "Sends a mail", &[("to", "string"), ("subject", "string"), ("body", "string")]),
    (
        "transfer",
        "Transfers money",
        &[("to", "string"), ("amount", "integer"), ("nonce", "string")],
    ),
    ("reset_password", "Resets a password", &[("user", "string"), ("reason", "string")]),
    ("echo", "Says it again", &[("text", "string")]),
    ("slow", "Answers after a while", &[("ms", "integer")]),
    ("large", "Answers with many bytes", &[("bytes", "integer")]),
    ("error", "Fails", &[]),
];

fn tools() -> Vec<Tool> {
    TOOLS
        .iter()
        .map(|(name, description, properties)| Tool::new(*name, *description, schema(properties)))
        .collect()
}

fn schema(properties: &[Property]) -> JsonObject {
    let types = |(name, kind): &Property| ((*name).to_owned(), json!({ "type": kind }));
    let names: Vec<&str> = properties.iter().map(|(name, _)| *name).collect();
    let mut schema = JsonObject::new();
    schema.insert("type".into(), json!("object"));
    schema.insert("properties".into(), Value::Object(properties.iter().map(types).collect()));
    schema.insert("required".into(), json!(names));
    schema.insert("additionalProperties".into(), json!(false));
    schema
}
