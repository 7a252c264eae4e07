//! The table as a JSON Schema (draft 2020-12), for editors.

use super::{Form, Key, Shape, Status, shapes};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const LATER: &str = "not enforced yet";

/// The JSON Schema of the whole file, pretty-printed. Keys that nothing enforces yet are in it,
/// marked `"x-ambit-status": "not enforced yet"`; stating one is an error of `read`.
#[must_use]
pub fn schema() -> String {
    let mut definitions = BTreeMap::new();
    let mut root = shape(&shapes::FILE, &mut definitions);
    if let Some(root) = root.as_object_mut() {
        root.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
        root.insert("title".into(), json!("ambit.yaml"));
        root.insert("$defs".into(), json!(definitions));
    }
    format!("{:#}\n", sorted(root))
}

/// Members by name, whether or not another crate asks `serde_json` to keep their order.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<_, _> =
                members.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            Value::Object(members.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

type Definitions = BTreeMap<String, Value>;

fn shape(shape: &Shape, definitions: &mut Definitions) -> Value {
    let mut properties = Map::new();
    for key in shape.keys {
        properties.insert(key.name.into(), property(key, definitions));
    }
    let required: Vec<&str> = shape
        .keys
        .iter()
        .filter(|key| matches!(key.status, Status::Required | Status::LaterRequired))
        .map(|key| key.name)
        .collect();
    let mut out = json!({ "type": "object", "properties": properties });
    let Some(object) = out.as_object_mut() else { return out };
    object.insert("additionalProperties".into(), json!(false));
    if !required.is_empty() {
        object.insert("required".into(), json!(required));
    }
    if let Some((pattern, of)) = shape.rest {
        object.insert("patternProperties".into(), json!({ pattern: form(of, definitions) }));
    }
    out
}

fn property(key: &Key, definitions: &mut Definitions) -> Value {
    let mut out = form(&key.form, definitions);
    if let Some(object) = out.as_object_mut() {
        object.insert("description".into(), json!(key.help));
        if !key.status.is_enforced() {
            object.insert("x-ambit-status".into(), json!(LATER));
        }
    }
    out
}

fn form(of: &Form, definitions: &mut Definitions) -> Value {
    match of {
        Form::Text("") => json!({ "type": "string", "minLength": 1 }),
        Form::Text(pattern) => json!({ "type": "string", "pattern": pattern }),
        Form::Integer(low, high) if low == high => json!({ "const": low }),
        Form::Integer(low, high) => json!({ "type": "integer", "minimum": low, "maximum": high }),
        Form::Boolean => json!({ "type": "boolean" }),
        Form::Scalar => json!({ "type": ["string", "integer", "boolean"] }),
        Form::Words(words) => json!({ "enum": words }),
        Form::List(item) => json!({ "type": "array", "items": form(item, definitions) }),
        Form::Map("", value) => {
            json!({ "type": "object", "additionalProperties": form(value, definitions) })
        }
        Form::Map(pattern, value) => json!({
            "type": "object",
            "patternProperties": { *pattern: form(value, definitions) },
            "additionalProperties": false,
        }),
        Form::Object(of) => reference(of, definitions),
        Form::Json => json!({ "type": "object" }),
        Form::OneOf(forms) => {
            let forms: Vec<Value> = forms.iter().map(|one| form(one, definitions)).collect();
            json!({ "anyOf": forms })
        }
        Form::Later(of) => {
            let mut out = form(of, definitions);
            if let Some(object) = out.as_object_mut() {
                object.insert("x-ambit-status".into(), json!(LATER));
            }
            out
        }
    }
}

fn reference(of: &Shape, definitions: &mut Definitions) -> Value {
    let name: String = of
        .title
        .trim_start_matches("an ")
        .trim_start_matches("a ")
        .chars()
        .filter(|c| *c != '`')
        .map(|c| if c == ' ' { '-' } else { c })
        .collect();
    if !definitions.contains_key(&name) {
        definitions.insert(name.clone(), Value::Null);
        let body = shape(of, definitions);
        definitions.insert(name.clone(), body);
    }
    json!({ "$ref": format!("#/$defs/{name}") })
}
