//! A registration as canonical bytes, and back.

use super::{Passed, Reached, Registration, Snapshot, Waiting};
use crate::facts::object;
use canonical::{Limits, Object, Value};
use model::{ActionId, Digest, Lifecycle, Suspender, Timestamp, manifest::Manifest};
use std::collections::BTreeMap;

/// Why a row cannot be read: the member that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the member `{0}` is missing or wrong")]
pub struct RowError(&'static str);

impl Registration {
    /// The bytes of its row.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut members = vec![("state", state(&self.state)), ("v", Value::Integer(1))];
        if let Some(passed) = &self.version {
            members.push((
                "version",
                object([
                    ("by", passed.by.as_str().into()),
                    ("how", passed.how.as_str().into()),
                    ("since", time(passed.since)),
                    ("snapshot", snapshot(&passed.snapshot)),
                ]),
            ));
        }
        if let Some(waiting) = &self.waiting {
            let since = ("since", time(waiting.since));
            members.push(("waiting", object([since, ("snapshot", snapshot(&waiting.snapshot))])));
        }
        object(members).to_bytes()
    }

    /// Reads a row.
    pub fn from_bytes(bytes: &[u8]) -> Result<Registration, RowError> {
        let row = canonical::parse(bytes, &Limits::FRAME).map_err(|_| RowError("row"))?;
        if row.get("v").and_then(Value::as_i64) != Some(1) {
            return Err(RowError("v"));
        }
        let version = row.get("version").map(|version| {
            Ok(Passed {
                snapshot: read_snapshot(version.get("snapshot").ok_or(RowError("snapshot"))?)?,
                since: read_time(version, "since")?,
                how: text(version, "how")?,
                by: text(version, "by")?,
            })
        });
        let waiting = row.get("waiting").map(|waiting| {
            let snapshot = waiting.get("snapshot").ok_or(RowError("snapshot"))?;
            let (snapshot, since) = (read_snapshot(snapshot)?, read_time(waiting, "since")?);
            Ok(Waiting { snapshot, since })
        });
        Ok(Registration {
            state: read_state(row.get("state").ok_or(RowError("state"))?)?,
            version: version.transpose()?,
            waiting: waiting.transpose()?,
        })
    }
}

fn state(state: &Lifecycle) -> Value {
    let mut members = vec![("is", Value::from(state.as_str())), ("since", time(state.since()))];
    match state {
        Lifecycle::Draft { creator, ends, .. } => {
            members.extend([("by", creator.as_str().into()), ("ends", time(*ends))]);
        }
        Lifecycle::UnderReview { by, .. } => members.push(("by", by.as_str().into())),
        Lifecycle::Active { by, reviewed, .. } => {
            members.extend([("by", by.as_str().into()), ("reviewed", time(*reviewed))]);
        }
        Lifecycle::Suspended { by, reason, reviewed, .. } => {
            let (kind, name) = match by {
                Suspender::Person(name) => ("person", name),
                Suspender::Rule(name) => ("rule", name),
            };
            members.extend([
                ("by", name.as_str().into()),
                ("by_kind", kind.into()),
                ("reason", reason.as_str().into()),
            ]);
            members.extend(reviewed.map(|reviewed| ("reviewed", time(reviewed))));
        }
        Lifecycle::Decommissioned { by, reason, .. } => {
            members.extend([("by", by.as_str().into()), ("reason", reason.as_str().into())]);
        }
    }
    object(members)
}

fn read_state(row: &Value) -> Result<Lifecycle, RowError> {
    let (by, since) = (text(row, "by")?, read_time(row, "since")?);
    Ok(match text(row, "is")?.as_str() {
        "draft" => Lifecycle::Draft { creator: by, since, ends: read_time(row, "ends")? },
        "under review" => Lifecycle::UnderReview { by, since },
        "active" => Lifecycle::Active { by, since, reviewed: read_time(row, "reviewed")? },
        "suspended" => Lifecycle::Suspended {
            by: match text(row, "by_kind")?.as_str() {
                "person" => Suspender::Person(by),
                "rule" => Suspender::Rule(by),
                _ => return Err(RowError("by_kind")),
            },
            reason: text(row, "reason")?,
            since,
            reviewed: match row.get("reviewed") {
                None => None,
                Some(_) => Some(read_time(row, "reviewed")?),
            },
        },
        "decommissioned" => Lifecycle::Decommissioned { by, reason: text(row, "reason")?, since },
        _ => return Err(RowError("is")),
    })
}

fn snapshot(snapshot: &Snapshot) -> Value {
    let mut reach = Object::new();
    for (action, reached) in &snapshot.reach {
        let mut members = vec![("level", Value::Integer(i64::from(reached.level)))];
        members.extend(reached.definition.map(|digest| ("definition", digest.to_string().into())));
        // Names of actions differ.
        drop(reach.insert(action.to_string(), object(members)));
    }
    let mut members = vec![
        ("base", Value::from(snapshot.base.to_string())),
        ("reach", Value::Object(reach)),
        ("version", Value::from(snapshot.version.to_string())),
    ];
    members.extend(snapshot.manifest.as_ref().map(|parts| ("manifest", manifest_value(parts))));
    object(members)
}

fn read_snapshot(row: &Value) -> Result<Snapshot, RowError> {
    let digest = |name: &'static str| Digest::from_hex(&text(row, name)?).ok_or(RowError(name));
    let mut reach = BTreeMap::new();
    let rows = row.get("reach").and_then(Value::as_object).ok_or(RowError("reach"))?;
    for (action, reached) in rows.iter() {
        let action = ActionId::parse(action).map_err(|_| RowError("reach"))?;
        let level = reached.get("level").and_then(Value::as_i64);
        let level = level.and_then(|level| u8::try_from(level).ok()).ok_or(RowError("level"))?;
        let definition = reached.get("definition").and_then(Value::as_str);
        let definition =
            definition.map(|text| Digest::from_hex(text).ok_or(RowError("definition")));
        reach.insert(action, Reached { level, definition: definition.transpose()? });
    }
    let manifest = row.get("manifest").map(read_manifest).transpose()?;
    Ok(Snapshot { version: digest("version")?, base: digest("base")?, manifest, reach })
}

/// A manifest as it is digested and kept.
pub(crate) fn manifest_value(parts: &Manifest) -> Value {
    let texts = |map: &BTreeMap<String, String>| {
        let members = map.iter().map(|(name, text)| (name.clone(), Value::from(text.as_str())));
        Value::Object(Object::try_from_members(members).unwrap_or_default())
    };
    let tools = parts.tools.iter().map(|(action, digest)| {
        let digest = digest.as_deref().map_or(Value::Null, Value::from);
        (action.to_string(), digest)
    });
    let tools = Value::Object(Object::try_from_members(tools).unwrap_or_default());
    let optional = |text: &Option<String>| text.as_deref().map_or(Value::Null, Value::from);
    object([
        ("image", optional(&parts.image)),
        ("integrations", texts(&parts.integrations)),
        ("model", optional(&parts.model)),
        ("prompts", texts(&parts.prompts)),
        ("tools", tools),
    ])
}

fn read_manifest(row: &Value) -> Result<Manifest, RowError> {
    let members =
        |name: &'static str| row.get(name).and_then(Value::as_object).ok_or(RowError(name));
    let texts = |name: &'static str| -> Result<BTreeMap<String, String>, RowError> {
        let one = |(key, value): (&str, &Value)| {
            Ok((key.to_owned(), value.as_str().ok_or(RowError(name))?.to_owned()))
        };
        members(name)?.iter().map(one).collect()
    };
    let tool = |(name, digest): (&str, &Value)| {
        let action = ActionId::parse(name).map_err(|_| RowError("tools"))?;
        Ok((action, digest.as_str().map(str::to_owned)))
    };
    let optional = |name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
    Ok(Manifest {
        model: optional("model"),
        prompts: texts("prompts")?,
        tools: members("tools")?.iter().map(tool).collect::<Result<_, RowError>>()?,
        integrations: texts("integrations")?,
        image: optional("image"),
    })
}

fn time(time: Timestamp) -> Value {
    // Microseconds of this millennium are below 2^53.
    Value::Integer(time.0)
}

fn read_time(row: &Value, name: &'static str) -> Result<Timestamp, RowError> {
    row.get(name).and_then(Value::as_i64).map(Timestamp).ok_or(RowError(name))
}

fn text(row: &Value, name: &'static str) -> Result<String, RowError> {
    row.get(name).and_then(Value::as_str).map(str::to_owned).ok_or(RowError(name))
}
