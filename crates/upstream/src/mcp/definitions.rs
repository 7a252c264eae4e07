//! What an upstream offers, read by Ambit itself so that it can be pinned.

use super::{
    Mcp,
    caller::Caller,
    message::{self, Request},
    mirror, transport,
    transport::{Dialect, Line, Opened},
};
use crate::{Client, Fault, UpstreamCredential, limits};
use canonical::{Object, Value};
use http::HeaderMap;
use model::Code;
use std::collections::BTreeMap;

/// Everything of a tool that a model reads before it calls.
const PINNED: [&str; 6] =
    ["annotations", "description", "inputSchema", "name", "outputSchema", "title"];

/// One tool as the upstream defines it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolDefinition {
    /// Its name.
    pub name: String,
    /// `annotations`, `description`, `inputSchema`, `name`, `outputSchema` and `title`, those that
    /// it has, as one canonical object.
    pub value: Value,
    /// The canonical bytes of `value`, which are pinned.
    pub canonical: Vec<u8>,
}

impl Mcp {
    /// All tools of an upstream, sorted by name. A tool that breaks the rules for definitions is
    /// left out with a warning; two of one name are refused.
    pub async fn definitions(
        &self,
        client: &Client,
        credential: UpstreamCredential,
    ) -> Result<Vec<ToolDefinition>, Fault> {
        if !credential.reads() {
            let what = "the credential was not lent for reading definitions";
            return Err(Fault::ourselves(Code::UpstreamCredential, what));
        }
        let line = Line {
            client: client.clone(),
            credential,
            caller: Caller::Ambit,
            trace: HeaderMap::new(),
        };
        self.list(&line).await.map_err(Fault::before_action)
    }

    async fn list(&self, line: &Line) -> Result<Vec<ToolDefinition>, Fault> {
        let mut dialect = self.dialect(line).await?;
        let mut tools = BTreeMap::new();
        let mut cursor: Option<String> = None;
        for _ in 0..limits::PAGES {
            let page = match self.page(line, &dialect, cursor.as_deref()).await? {
                Some(page) => page,
                None => {
                    dialect = self.reopen(line, &dialect).await?;
                    self.page(line, &dialect, cursor.as_deref())
                        .await?
                        .ok_or_else(|| transport::refusal(http::StatusCode::NOT_FOUND))?
                }
            };
            take(&page, &mut tools)?;
            cursor = page.get("nextCursor").and_then(Value::as_str).map(str::to_owned);
            if cursor.is_none() {
                return Ok(tools.into_values().collect());
            }
        }
        Err(too_many("pages of tools"))
    }

    /// One page of `tools/list`; `None` if the session is gone.
    async fn page(
        &self,
        line: &Line,
        dialect: &Dialect,
        cursor: Option<&str>,
    ) -> Result<Option<Value>, Fault> {
        let params = message::plain_params(dialect, cursor)?;
        let id = self.next_id();
        let request = Request { id, method: "tools/list", name: None, params: &params };
        match line.handshake(dialect, &request).await?.1 {
            Opened::Answer(Ok(page)) => Ok(Some(page)),
            Opened::Refused(http::StatusCode::NOT_FOUND, _)
                if matches!(dialect, Dialect::Session { id: Some(_), .. }) =>
            {
                Ok(None)
            }
            Opened::Refused(status, _) => Err(transport::refusal(status)),
            Opened::SessionGone => Ok(None),
            Opened::Answer(Err(_)) | Opened::Events(_) => {
                Err(Fault::upstream(Code::UpstreamInvalid, "the upstream lists no tools"))
            }
        }
    }
}

fn take(page: &Value, tools: &mut BTreeMap<String, ToolDefinition>) -> Result<(), Fault> {
    let Some(Value::Array(listed)) = page.get("tools") else {
        return Err(Fault::upstream(Code::UpstreamInvalid, "a page of tools holds no tools"));
    };
    for tool in listed {
        let Some(definition) = definition(tool)? else { continue };
        if tools.len() >= limits::TOOLS {
            return Err(too_many("tools"));
        }
        if let Some(other) = tools.keys().find(|name| canonical::collide(name, &definition.name)) {
            let what = format!("the upstream lists two tools named `{other}`, but for case");
            return Err(Fault::upstream(Code::UpstreamInvalid, what));
        }
        tools.insert(definition.name.clone(), definition);
    }
    Ok(())
}

fn definition(tool: &Value) -> Result<Option<ToolDefinition>, Fault> {
    let Some(name) = tool.get("name").and_then(Value::as_str) else {
        return Err(Fault::upstream(Code::UpstreamInvalid, "the upstream lists a nameless tool"));
    };
    let schema = tool.get("inputSchema").filter(|schema| schema.as_object().is_some());
    let Some(schema) = schema.filter(|schema| mirror::is_valid(schema)) else {
        tracing::warn!(tool = name, "left out: its input schema is not valid");
        return Ok(None);
    };
    debug_assert!(schema.as_object().is_some());
    let pinned = PINNED.iter().filter_map(|part| Some((*part, tool.get(part)?.clone())));
    let value = Object::try_from_members(pinned)
        .map(Value::Object)
        .map_err(|error| Fault::upstream(Code::UpstreamInvalid, error.to_string()))?;
    let canonical = value.to_bytes();
    if canonical.len() > limits::DEFINITION_BYTES {
        tracing::warn!(tool = name, "left out: its definition is longer than the limit");
        return Ok(None);
    }
    Ok(Some(ToolDefinition { name: name.to_owned(), value, canonical }))
}

fn too_many(what: &str) -> Fault {
    Fault::upstream(Code::ResultTooLarge, format!("the upstream lists more {what} than the limit"))
}
