//! Parameters mirrored into headers, and the form that such headers take (2026-07-28).

use crate::{Fault, client, limits};
use base64::{Engine, engine::general_purpose::STANDARD};
use canonical::Value;
use http::{HeaderMap, HeaderName, HeaderValue};
use model::{ActionId, Code};
use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
};

const ANNOTATION: &str = "x-mcp-header";
const OPENING: &str = "=?base64?";
const CLOSING: &str = "?=";

/// A parameter that an upstream wants in a header.
#[derive(Debug, PartialEq, Eq)]
struct Mirrored {
    header: HeaderName,
    /// Property names from the arguments' root.
    path: Vec<String>,
}

/// The mirrored parameters of the actions that have any.
#[derive(Debug, Default)]
pub(super) struct Mirrors(RwLock<BTreeMap<ActionId, Vec<Mirrored>>>);

impl Mirrors {
    pub(super) fn publish(&self, definitions: &BTreeMap<ActionId, Value>) {
        let mirrored = definitions.iter().filter_map(|(action, definition)| {
            let found = annotations(definition.get("inputSchema")?).ok()?;
            (!found.is_empty()).then(|| (action.clone(), found))
        });
        let mirrored = mirrored.collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = mirrored;
    }

    /// The headers that these arguments of an action need.
    pub(super) fn headers(&self, action: &ActionId, arguments: &Value) -> Result<HeaderMap, Fault> {
        let mirrors = self.0.read().unwrap_or_else(PoisonError::into_inner);
        mirrors.get(action).map_or(Ok(HeaderMap::new()), |mirrored| headers(mirrored, arguments))
    }
}

fn headers(mirrored: &[Mirrored], arguments: &Value) -> Result<HeaderMap, Fault> {
    let mut headers = HeaderMap::new();
    for Mirrored { header, path } in mirrored {
        let value = path.iter().try_fold(arguments, |value, name| value.get(name));
        let text = match value {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Integer(number)) => number.to_string(),
            Some(Value::Bool(truth)) => truth.to_string(),
            _ => continue,
        };
        headers.insert(header.clone(), encode(&text)?);
    }
    Ok(headers)
}

/// Whether a schema's annotations follow the rules; a tool that breaks them is not listed.
pub(super) fn is_valid(schema: &Value) -> bool {
    annotations(schema).is_ok()
}

/// A value as it stands in a header: plain if it can be, else in base64.
pub(super) fn encode(text: &str) -> Result<HeaderValue, Fault> {
    let plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        && text.trim() == text
        && !text.is_empty()
        && !(text.starts_with(OPENING) && text.ends_with(CLOSING));
    if plain {
        return client::text(text);
    }
    client::text(&format!("{OPENING}{}{CLOSING}", STANDARD.encode(text)))
}

fn annotations(schema: &Value) -> Result<Vec<Mirrored>, Fault> {
    let mut found = Vec::new();
    collect(schema, &mut Vec::new(), &mut found)?;
    for (index, one) in found.iter().enumerate() {
        if found.iter().skip(index + 1).any(|other| other.header == one.header) {
            return Err(invalid("two parameters name the same header"));
        }
    }
    Ok(found)
}

fn collect(schema: &Value, path: &mut Vec<String>, found: &mut Vec<Mirrored>) -> Result<(), Fault> {
    let Some(Value::Object(properties)) = schema.get("properties") else { return Ok(()) };
    for (name, property) in properties {
        path.push(name.to_owned());
        if let Some(annotation) = property.get(ANNOTATION) {
            found.push(Mirrored { header: header(annotation, property)?, path: path.clone() });
        }
        if found.len() > limits::MIRRORED_PARAMETERS {
            return Err(invalid("more parameters are mirrored than the limit"));
        }
        collect(property, path, found)?;
        path.pop();
    }
    Ok(())
}

fn header(annotation: &Value, property: &Value) -> Result<HeaderName, Fault> {
    let kind = property.get("type").and_then(Value::as_str).unwrap_or_default();
    if !matches!(kind, "string" | "integer" | "boolean") {
        return Err(invalid("a mirrored parameter is no string, integer or boolean"));
    }
    let name = annotation.as_str().filter(|name| !name.is_empty()).unwrap_or(" ");
    HeaderName::from_bytes(format!("mcp-param-{}", name.to_ascii_lowercase()).as_bytes())
        .map_err(|_| invalid("an annotation names no header"))
}

fn invalid(what: &str) -> Fault {
    Fault::upstream(Code::UpstreamInvalid, format!("`{ANNOTATION}` in an input schema: {what}"))
}

#[cfg(test)]
mod tests;
