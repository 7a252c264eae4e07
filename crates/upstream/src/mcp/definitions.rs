//! What an upstream offers, read by Ambit itself so that it can be pinned.

use super::{
    Conversation, Mcp,
    caller::Caller,
    message::{self, Request},
    mirror, transport,
    transport::{Dialect, Line, Opened},
};
use crate::{Client, Fault, UpstreamCredential, limits};
use canonical::{Object, Value};
use http::HeaderMap;
use model::{Code, reserved};
use std::collections::BTreeMap;

/// Everything of a tool that a model reads before it calls.
const PINNED: [&str; 6] =
    ["annotations", "description", "inputSchema", "name", "outputSchema", "title"];

/// Everything of a prompt that a model or a human reads before it is filled in.
const PROMPT: [&str; 4] = ["arguments", "description", "name", "title"];
/// Everything of a resource template that is read before it is used.
const TEMPLATE: [&str; 6] =
    ["annotations", "description", "mimeType", "name", "title", "uriTemplate"];

/// One operation as the upstream defines it: a tool, or a method of the protocol with what is read before it is used
/// (`prompts/get`: the prompts, `resources/read`: the templates, `server/instructions`).
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
    /// All that an upstream defines, sorted by name. What breaks the rules for definitions is left
    /// out with a warning; two tools of one name are refused.
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
            conversation: Conversation::default(),
            trace: HeaderMap::new(),
        };
        self.list(&line).await.map_err(Fault::before_action)
    }

    async fn list(&self, line: &Line) -> Result<Vec<ToolDefinition>, Fault> {
        let mut dialect = self.anew(line).await?;
        let about = self.about(line.credential.target());
        let offers = |what: &str| about.pointer(&format!("/capabilities/{what}")).is_some();
        let mut found = BTreeMap::new();
        for tool in self.pages(line, &mut dialect, "tools/list", "tools").await? {
            take(&tool, &mut found)?;
        }
        let mut methods = Vec::new();
        if offers("prompts") {
            let prompts = self.pages(line, &mut dialect, "prompts/list", "prompts").await?;
            methods.extend(of_prompts(&prompts));
        }
        if offers("resources") {
            let method = "resources/templates/list";
            let listed = self.pages(line, &mut dialect, method, "resourceTemplates").await;
            // A server may have resources and no templates.
            methods.extend(of_templates(&listed.unwrap_or_default()));
        }
        methods.extend(of_instructions(&about));
        for definition in methods.into_iter().filter_map(named) {
            found.insert(definition.name.clone(), definition);
        }
        Ok(found.into_values().collect())
    }

    /// A dialect in which the upstream says of itself what is so now.
    async fn anew(&self, line: &Line) -> Result<Dialect, Fault> {
        if let Some(old) = self.close(line)
            && let Err(fault) = line.end(&old).await
        {
            tracing::debug!(%fault, "an old session could not be ended");
        }
        let dialect = self.dialect(line).await?;
        if dialect == Dialect::Modern {
            let params = message::plain_params(&dialect, None)?;
            let id = self.next_id();
            let request = Request { id, method: "server/discover", name: None, params: &params };
            if let Opened::Answer(Ok(about)) = line.handshake(&dialect, &request).await?.1 {
                self.note_about(line.credential.target(), about);
            }
        }
        Ok(dialect)
    }

    /// All items of a list that comes in pages.
    async fn pages(
        &self,
        line: &Line,
        dialect: &mut Dialect,
        method: &'static str,
        member: &str,
    ) -> Result<Vec<Value>, Fault> {
        let mut all = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..limits::PAGES {
            let page = match self.page(line, dialect, method, cursor.as_deref()).await? {
                Some(page) => page,
                None => {
                    *dialect = self.reopen(line, dialect).await?;
                    self.page(line, dialect, method, cursor.as_deref())
                        .await?
                        .ok_or_else(|| transport::refusal(http::StatusCode::NOT_FOUND))?
                }
            };
            let Some(Value::Array(items)) = page.get(member) else {
                let what = format!("a page of {member} holds no {member}");
                return Err(Fault::upstream(Code::UpstreamInvalid, what));
            };
            all.extend(items.iter().cloned());
            if all.len() > limits::TOOLS {
                return Err(too_many(member));
            }
            cursor = page.get("nextCursor").and_then(Value::as_str).map(str::to_owned);
            if cursor.is_none() {
                return Ok(all);
            }
        }
        Err(too_many("pages"))
    }

    /// One page of a list; `None` if the session is gone.
    async fn page(
        &self,
        line: &Line,
        dialect: &Dialect,
        method: &'static str,
        cursor: Option<&str>,
    ) -> Result<Option<Value>, Fault> {
        let params = message::plain_params(dialect, cursor)?;
        let id = self.next_id();
        let request = Request { id, method, name: None, params: &params };
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
                Err(Fault::upstream(Code::UpstreamInvalid, format!("`{method}` lists nothing")))
            }
        }
    }
}

fn take(tool: &Value, tools: &mut BTreeMap<String, ToolDefinition>) -> Result<(), Fault> {
    let Some(definition) = definition(tool)? else { return Ok(()) };
    if let Some(other) = tools.keys().find(|name| canonical::collide(name, &definition.name)) {
        let what = format!("the upstream lists two tools named `{other}`, but for case");
        return Err(Fault::upstream(Code::UpstreamInvalid, what));
    }
    tools.insert(definition.name.clone(), definition);
    Ok(())
}

/// What `prompts/get` takes, and the prompts themselves; nothing without prompts.
fn of_prompts(prompts: &[Value]) -> Option<(&'static str, Vec<(&'static str, Value)>)> {
    let prompts = sorted(prompts, "name", &PROMPT);
    if prompts.is_empty() {
        return None;
    }
    let names = prompts.iter().filter_map(|prompt| prompt.get("name").cloned()).collect();
    let text = || object([("type", Value::from("string"))]);
    let arguments = object([("additionalProperties", text()), ("type", Value::from("object"))]);
    let name = object([("enum", Value::Array(names)), ("type", Value::from("string"))]);
    let properties = object([("arguments", arguments), ("name", name)]);
    let schema = schema(properties, "name");
    Some((reserved::GET_PROMPT, vec![("inputSchema", schema), ("prompts", Value::Array(prompts))]))
}

/// What `resources/read` takes, and the templates that say what there is to read.
fn of_templates(templates: &[Value]) -> Option<(&'static str, Vec<(&'static str, Value)>)> {
    let templates = sorted(templates, "uriTemplate", &TEMPLATE);
    let properties = object([("uri", object([("type", Value::from("string"))]))]);
    let members = vec![
        ("inputSchema", schema(properties, "uri")),
        ("resourceTemplates", Value::Array(templates)),
    ];
    Some((reserved::READ_RESOURCE, members))
}

fn of_instructions(about: &Value) -> Option<(&'static str, Vec<(&'static str, Value)>)> {
    let text = about.get("instructions").filter(|text| text.as_str().is_some())?;
    Some((reserved::INSTRUCTIONS, vec![("instructions", text.clone())]))
}

/// The pinned parts of listed things, sorted; what has no name of its own is left out.
fn sorted(listed: &[Value], by: &str, parts: &[&str]) -> Vec<Value> {
    let named = listed.iter().filter_map(|one| Some((one.get(by)?.as_str()?.to_owned(), one)));
    let named: BTreeMap<String, &Value> = named.collect();
    let pinned =
        |one: &Value| object(parts.iter().filter_map(|part| Some((*part, one.get(part)?.clone()))));
    named.into_values().map(pinned).collect()
}

fn schema(properties: Value, required: &str) -> Value {
    object([
        ("additionalProperties", Value::Bool(false)),
        ("properties", properties),
        ("required", Value::Array(vec![Value::from(required)])),
        ("type", Value::from("object")),
    ])
}

fn named(
    (name, mut members): (&'static str, Vec<(&'static str, Value)>),
) -> Option<ToolDefinition> {
    members.push(("name", Value::from(name)));
    let value = object(members);
    let canonical = value.to_bytes();
    if canonical.len() > limits::DEFINITION_BYTES {
        tracing::warn!(method = name, "left out: its definition is longer than the limit");
        return None;
    }
    Some(ToolDefinition { name: name.to_owned(), value, canonical })
}

/// An object of names that differ.
fn object<'a>(members: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    Value::Object(Object::try_from_members(members).unwrap_or_default())
}

fn definition(tool: &Value) -> Result<Option<ToolDefinition>, Fault> {
    let Some(name) = tool.get("name").and_then(Value::as_str) else {
        return Err(Fault::upstream(Code::UpstreamInvalid, "the upstream lists a nameless tool"));
    };
    if reserved::is_reserved(name) {
        tracing::warn!(tool = name, "left out: a method of the protocol has this name");
        return Ok(None);
    }
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
