//! `ambit.lock`: the pinned tool definitions beside `ambit.yaml`, so that files alone can be validated.

use super::ConfigError;
use canonical::{Limits, Object, Value};
use model::ActionId;
use policy::{Definition, Definitions};
use std::path::Path;

/// The name of the file.
pub(crate) const LOCK_FILE: &str = "ambit.lock";

/// Reads the definitions beside a main file; none without the file.
pub(super) fn read(directory: &Path) -> Result<Definitions, ConfigError> {
    let path = directory.join(LOCK_FILE);
    if !path.exists() {
        return Ok(Definitions::new());
    }
    let text = super::text(&path)?;
    parse(text.as_bytes()).map_err(|why| ConfigError::File { path, why })
}

fn parse(bytes: &[u8]) -> Result<Definitions, String> {
    let value = canonical::parse(bytes, &Limits::FRAME).map_err(|error| error.to_string())?;
    if value.get("v").and_then(Value::as_i64) != Some(1) {
        return Err("its version is not 1: pin again with this release".into());
    }
    let listed = value.get("definitions").and_then(Value::as_object);
    let listed = listed.ok_or("it has no `definitions`: pin again with `ambit upstream pin`")?;
    let mut definitions = Definitions::new();
    for (name, definition) in listed.iter() {
        let action = ActionId::parse(name).map_err(|error| error.to_string())?;
        let definition = Definition::new(definition.to_bytes());
        definitions.insert(action, definition.map_err(|error| format!("`{name}`: {error}"))?);
    }
    Ok(definitions)
}

/// The file's bytes: canonical JSON and a line end, so that equal definitions give equal files.
pub(crate) fn write_lock<'a>(
    definitions: impl Iterator<Item = (String, &'a Value)>,
) -> anyhow::Result<Vec<u8>> {
    let mut listed = Object::default();
    for (name, definition) in definitions {
        listed.insert(name.as_str(), definition.clone())?;
    }
    let mut file = Object::default();
    file.insert("definitions", Value::Object(listed))?;
    file.insert("v", Value::Integer(1))?;
    let mut bytes = Value::Object(file).to_bytes();
    bytes.push(b'\n');
    Ok(bytes)
}
