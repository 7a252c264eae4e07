//! An agent's MCP client made with `rmcp`, in either era, with a bearer token or a proof on each request.

use crate::proof::ProofKey;
use anyhow::{Context as _, Result};
use futures_util::stream::BoxStream;
use http::{HeaderMap, HeaderName, HeaderValue};
use rmcp::{
    ClientLifecycleMode, ClientServiceExt as _, RoleClient,
    model::{
        CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig,
        ClientJsonRpcMessage, Implementation, ProtocolVersion,
    },
    service::RunningService,
    transport::streamable_http_client::{
        StreamableHttpClient, StreamableHttpClientTransportConfig, StreamableHttpError,
        StreamableHttpPostResponse,
    },
};
use serde_json::Value;
use sse_stream::{Error as SseError, Sse};
use std::{collections::HashMap, sync::Arc};

/// Which revision the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientEra {
    /// 2026-07-28: `server/discover`, no session.
    Modern,
    /// 2025-11-25: `initialize`.
    Legacy,
}

impl ClientEra {
    /// Both.
    pub const ALL: [ClientEra; 2] = [ClientEra::Modern, ClientEra::Legacy];

    /// The word on command lines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ClientEra::Modern => "modern",
            ClientEra::Legacy => "legacy",
        }
    }
}

/// How the agent proves who it is.
#[derive(Clone, Debug)]
pub enum Credential {
    /// Nothing at all.
    None,
    /// A bearer token.
    Bearer(String),
    /// A bound token with a fresh proof on each request.
    Proven(String, Arc<ProofKey>),
}

impl Credential {
    /// The headers of one request.
    pub fn headers(&self, method: &str, url: &str) -> Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        let (scheme, token) = match self {
            Credential::None => return Ok(headers),
            Credential::Bearer(token) => ("Bearer", token),
            Credential::Proven(token, key) => {
                let proof = key.prove(method, url, token)?;
                headers.insert("dpop", HeaderValue::try_from(proof)?);
                ("DPoP", token)
            }
        };
        let value = HeaderValue::try_from(format!("{scheme} {token}"))?;
        headers.insert(http::header::AUTHORIZATION, value);
        Ok(headers)
    }
}

/// A connected client.
pub struct Peer(RunningService<RoleClient, ClientConfig>);

impl Peer {
    /// Connects to an MCP endpoint.
    pub async fn connect(url: &str, era: ClientEra, credential: Credential) -> Result<Peer> {
        let transport = rmcp::transport::StreamableHttpClientTransport::with_client(
            Prover { client: reqwest::Client::new(), credential: Arc::new(credential) },
            StreamableHttpClientTransportConfig::with_uri(url),
        );
        let (version, lifecycle) = match era {
            ClientEra::Legacy => (ProtocolVersion::V_2025_11_25, ClientLifecycleMode::Initialize),
            ClientEra::Modern => {
                let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
                (
                    ProtocolVersion::V_2026_07_28,
                    ClientLifecycleMode::Discover { preferred_versions },
                )
            }
        };
        let info = ClientConfig::new(
            ClientCapabilities::default(),
            Implementation::new("rmcp-peer", "1.0.0"),
        )
        .with_protocol_version(version);
        let running = info.serve_with_lifecycle(transport, lifecycle).await;
        running.map(Peer).with_context(|| format!("cannot connect to {url}"))
    }

    /// The names of all tools shown, in the order given.
    pub async fn tools(&self) -> Result<Vec<String>> {
        let tools = self.0.list_all_tools().await?;
        Ok(tools.into_iter().map(|tool| tool.name.into_owned()).collect())
    }

    /// Calls one tool.
    pub async fn call(&self, tool: &str, arguments: Value) -> Result<CallToolResult> {
        let mut parameters = CallToolRequestParams::new(tool.to_owned());
        if let Value::Object(arguments) = arguments {
            parameters = parameters.with_arguments(arguments);
        }
        Ok(self.0.call_tool(parameters).await?)
    }

    /// Ends the connection.
    pub async fn close(self) {
        drop(self.0.cancel().await);
    }
}

/// The text parts of a result, joined.
#[must_use]
pub fn text(result: &CallToolResult) -> String {
    let parts = result.content.iter().filter_map(|part| part.as_text());
    parts.map(|part| part.text.as_str()).collect::<Vec<_>>().join("\n")
}

/// `rmcp`'s own HTTP client with the agent's headers on each request.
#[derive(Clone)]
struct Prover {
    client: reqwest::Client,
    credential: Arc<Credential>,
}

type Headers = HashMap<HeaderName, HeaderValue>;
type Failure = StreamableHttpError<reqwest::Error>;

impl Prover {
    fn with_proof(
        &self,
        method: &str,
        url: &str,
        mut headers: Headers,
    ) -> Result<Headers, Failure> {
        let own = self.credential.headers(method, url).map_err(|error| {
            StreamableHttpError::UnexpectedServerResponse(error.to_string().into())
        })?;
        headers.extend(own.iter().map(|(name, value)| (name.clone(), value.clone())));
        Ok(headers)
    }
}

impl StreamableHttpClient for Prover {
    type Error = reqwest::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_header: Option<String>,
        headers: Headers,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        let headers = self.with_proof("POST", &uri, headers)?;
        self.client.post_message(uri, message, session_id, auth_header, headers).await
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session_id: Arc<str>,
        auth_header: Option<String>,
        headers: Headers,
    ) -> Result<(), Failure> {
        let headers = self.with_proof("DELETE", &uri, headers)?;
        self.client.delete_session(uri, session_id, auth_header, headers).await
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth_header: Option<String>,
        headers: Headers,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, Failure> {
        let headers = self.with_proof("GET", &uri, headers)?;
        self.client.get_stream(uri, session_id, last_event_id, auth_header, headers).await
    }
}
