//! The parameters of a task, each of its declared type.

use canonical::Object;
use model::{
    Name,
    declared::{Intent, ParamType},
};
use serde_json::{Map, Value};

/// Exactly the declared parameters, each of its type; an error says which is not.
pub(super) fn typed(
    name: &Name,
    intent: &Intent,
    given: &Map<String, Value>,
) -> Result<Object, String> {
    let mut params = Object::new();
    for (param, kind) in &intent.params {
        let value = given.get(param).ok_or_else(|| format!("intent `{name}` needs `{param}=…`"))?;
        let value = match (kind, value) {
            (ParamType::String, Value::String(text)) => Some(canonical::Value::from(text.as_str())),
            (ParamType::Boolean, Value::Bool(truth)) => Some(canonical::Value::Bool(*truth)),
            (ParamType::Integer, Value::Number(number)) => {
                number.as_i64().and_then(|number| canonical::Value::try_from(number).ok())
            }
            // What is typed without `:=` is text; a parameter's type says what the text means.
            (ParamType::Integer, Value::String(text)) => {
                text.parse::<i64>().ok().and_then(|number| canonical::Value::try_from(number).ok())
            }
            (ParamType::Boolean, Value::String(text)) => {
                text.parse().ok().map(canonical::Value::Bool)
            }
            _ => None,
        };
        let value =
            value.ok_or_else(|| format!("`{param}` of intent `{name}` is of another type"))?;
        params.insert(param.as_str(), value).map_err(|error| error.to_string())?;
    }
    match given.keys().find(|param| !intent.params.contains_key(*param)) {
        Some(unknown) => Err(format!("intent `{name}` has no parameter `{unknown}`")),
        None => Ok(params),
    }
}
