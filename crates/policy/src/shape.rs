//! The types that policies see arguments by, made from JSON Schema, and values built from them.
//!
//! Values are built from the type, never from the payload's own form. What has no exact type
//! (unions, free-form objects, untyped members) is opaque: left out of `context.args` and listed.

use crate::limits::{DECIMAL_PLACES, DECIMAL_UNITS, LIST_ITEMS, SCHEMA_DEPTH, TEXT_BYTES};
use canonical::Value;
use cedar_policy::RestrictedExpression;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// The type of one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Text, perhaps one of a few words.
    Text(Option<BTreeSet<String>>),
    /// A whole number.
    Whole,
    /// Any number with at most four decimal places.
    Decimal,
    /// A truth value.
    Truth,
    /// A set; order and repetition are not seen.
    List(Box<Shape>),
    /// Named members.
    Record(BTreeMap<String, Member>),
}

/// One member of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its type; `None` if it is opaque.
    pub(crate) shape: Option<Shape>,
    /// Whether it is always there.
    pub(crate) required: bool,
}

/// How the arguments of one action are typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// The arguments that are known.
    pub(crate) members: BTreeMap<String, Member>,
    /// What becomes of others.
    pub(crate) others: Others,
    /// Whether the members come from a definition (or a route), rather than from what policies read.
    pub(crate) known: bool,
}

/// What becomes of an argument that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Others {
    /// It is listed in `context.extra`, which a guard forbids.
    Extra,
    /// It is opaque: there is no schema that could know it.
    Opaque,
}

/// A value that its type does not carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// Which value, as an RFC 6901 pointer into the arguments.
    pub(crate) pointer: String,
    /// What it must be.
    pub(crate) expected: &'static str,
}

impl Arguments {
    /// From an MCP tool's input schema.
    pub(crate) fn of_schema(schema: &Value) -> Arguments {
        let members = members_of(schema, schema, 0).unwrap_or_default();
        Arguments { members, others: Others::Extra, known: true }
    }

    /// From the parameters of a route and the names that its query may hold; the body has no
    /// schema.
    pub(crate) fn of_route<'a>(
        params: impl Iterator<Item = &'a str>,
        query: impl Iterator<Item = &'a str>,
    ) -> Arguments {
        let text = |required| Member { shape: Some(Shape::Text(None)), required };
        let params = params.map(|name| (name.to_owned(), text(true)));
        let members = params.chain(query.map(|name| (name.to_owned(), text(false)))).collect();
        Arguments { members, others: Others::Opaque, known: true }
    }

    /// For an action whose definition is not pinned: what policies read of it.
    pub(crate) fn of_reads(members: BTreeMap<String, Member>) -> Arguments {
        Arguments { members, others: Others::Opaque, known: false }
    }

    /// The Cedar type of `context.args`.
    pub(crate) fn cedar(&self) -> serde_json::Value {
        record_type(&self.members)
    }

    /// Whether each typed argument is carried exactly by its type.
    pub(crate) fn check(&self, arguments: &canonical::Object) -> Result<(), Misfit> {
        for (name, member) in &self.members {
            check_member(member, arguments.get(name), &mut vec![name])?;
        }
        Ok(())
    }

    /// Names of given arguments that policies cannot read, and of those that nobody knows.
    pub(crate) fn unread(&self, arguments: &canonical::Object) -> (Vec<String>, Vec<String>) {
        let (mut opaque, mut extra) = (Vec::new(), Vec::new());
        for name in arguments.names() {
            match (self.members.get(name), self.others) {
                (Some(Member { shape: Some(_), .. }), _) => {}
                (Some(Member { shape: None, .. }), _) | (None, Others::Opaque) => {
                    opaque.push(name.to_owned());
                }
                (None, Others::Extra) => extra.push(name.to_owned()),
            }
        }
        (opaque, extra)
    }
}

fn members_of(root: &Value, schema: &Value, depth: usize) -> Option<BTreeMap<String, Member>> {
    let schema = resolve(root, schema, depth)?;
    let properties = schema.get("properties")?.as_object()?;
    let required: BTreeSet<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let members = properties.iter().map(|(name, property)| {
        let (shape, nullable) = shape_of(root, property, depth.saturating_add(1));
        let required = required.contains(name) && !nullable;
        (name.to_owned(), Member { shape, required })
    });
    Some(members.collect())
}

/// Follows references inside the document; `None` for others and for endless ones.
fn resolve<'a>(root: &'a Value, mut schema: &'a Value, depth: usize) -> Option<&'a Value> {
    for _ in depth..SCHEMA_DEPTH {
        match schema.get("$ref") {
            None => return Some(schema),
            Some(reference) => schema = root.pointer(reference.as_str()?.strip_prefix('#')?)?,
        }
    }
    None
}

/// The type of a schema, and whether `null` is allowed beside it.
fn shape_of(root: &Value, schema: &Value, depth: usize) -> (Option<Shape>, bool) {
    let Some(schema) = resolve(root, schema, depth) else { return (None, true) };
    if let Some(branch) = nullable_branch(schema) {
        return (shape_of(root, branch, depth.saturating_add(1)).0, true);
    }
    let (word, nullable) = match schema.get("type") {
        Some(Value::String(word)) => (Some(word.as_str()), false),
        Some(Value::Array(words)) => {
            let nullable = words.iter().any(|word| word.as_str() == Some("null"));
            let mut rest = words.iter().filter_map(Value::as_str).filter(|word| *word != "null");
            (rest.next().filter(|_| rest.next().is_none()), nullable)
        }
        Some(_) => (None, true),
        None => (words_of(schema).map(|_| "string"), false),
    };
    // An enumeration with `null` or other kinds in it is no plain text.
    let closed = ["anyOf", "oneOf", "allOf", "not", "if"];
    if closed.iter().any(|name| schema.get(name).is_some()) {
        return (None, true);
    }
    let shape = match word {
        Some("string") => match schema.get("enum") {
            Some(_) => words_of(schema).map(|words| Shape::Text(Some(words))),
            None => Some(Shape::Text(None)),
        },
        Some("integer") => Some(Shape::Whole),
        Some("number") => Some(Shape::Decimal),
        Some("boolean") => Some(Shape::Truth),
        Some("array") => schema.get("items").and_then(|items| {
            let (shape, nullable) = shape_of(root, items, depth.saturating_add(1));
            shape.filter(|_| !nullable).map(|shape| Shape::List(Box::new(shape)))
        }),
        Some("object") => members_of(root, schema, depth).map(Shape::Record),
        _ => None,
    };
    // What has no type may be anything, `null` too.
    let nullable = nullable || shape.is_none();
    (shape, nullable)
}

/// The other branch of `anyOf: [T, {type: null}]` and `oneOf` alike.
fn nullable_branch(schema: &Value) -> Option<&Value> {
    let branches = schema.get("anyOf").or_else(|| schema.get("oneOf"))?.as_array()?;
    let is_null = |branch: &Value| branch.get("type").and_then(Value::as_str) == Some("null");
    match branches {
        [one, null] | [null, one] if is_null(null) && !is_null(one) => Some(one),
        _ => None,
    }
}

fn words_of(schema: &Value) -> Option<BTreeSet<String>> {
    let one = schema.get("const").map(std::slice::from_ref);
    let words = one.or_else(|| schema.get("enum").and_then(Value::as_array))?;
    words.iter().map(|word| word.as_str().map(str::to_owned)).collect()
}

fn record_type(members: &BTreeMap<String, Member>) -> serde_json::Value {
    let attributes: serde_json::Map<_, _> = members
        .iter()
        .filter_map(|(name, member)| {
            let mut kind = cedar_type(member.shape.as_ref()?);
            kind.as_object_mut()?.insert("required".into(), member.required.into());
            Some((name.clone(), kind))
        })
        .collect();
    json!({"type": "Record", "attributes": attributes})
}

/// The type in Cedar's JSON schema form.
pub(crate) fn cedar_type(shape: &Shape) -> serde_json::Value {
    match shape {
        Shape::Text(_) => json!({"type": "String"}),
        Shape::Whole => json!({"type": "Long"}),
        Shape::Decimal => json!({"type": "Extension", "name": "decimal"}),
        Shape::Truth => json!({"type": "Boolean"}),
        Shape::List(item) => json!({"type": "Set", "element": cedar_type(item)}),
        Shape::Record(members) => record_type(members),
    }
}

fn check_member<'a>(
    member: &'a Member,
    value: Option<&Value>,
    path: &mut Vec<&'a str>,
) -> Result<(), Misfit> {
    match (&member.shape, value.filter(|value| !value.is_null())) {
        (Some(shape), Some(value)) => check_value(shape, value, path),
        (Some(shape), None) if member.required => Err(misfit(path, word(shape))),
        (Some(_), None) | (None, _) => Ok(()),
    }
}

fn check_value<'a>(shape: &'a Shape, value: &Value, path: &mut Vec<&'a str>) -> Result<(), Misfit> {
    let fits = match (shape, value) {
        (Shape::Text(None), Value::String(_))
        | (Shape::Whole, Value::Integer(_))
        | (Shape::Truth, Value::Bool(_)) => true,
        (Shape::Text(Some(words)), Value::String(text)) => words.contains(text),
        (Shape::Decimal, Value::Integer(_) | Value::Number(_)) => decimal(value).is_some(),
        (Shape::List(item), Value::Array(items)) => {
            return items.iter().try_for_each(|value| check_value(item, value, path));
        }
        (Shape::Record(members), Value::Object(object)) => {
            for (name, member) in members {
                path.push(name);
                check_member(member, object.get(name), path)?;
                path.pop();
            }
            return Ok(());
        }
        _ => false,
    };
    if fits { Ok(()) } else { Err(misfit(path, word(shape))) }
}

fn misfit(path: &[&str], expected: &'static str) -> Misfit {
    let escape = |name: &&str| format!("/{}", name.replace('~', "~0").replace('/', "~1"));
    Misfit { pointer: path.iter().map(escape).collect(), expected }
}

fn word(shape: &Shape) -> &'static str {
    match shape {
        Shape::Text(None) => "text",
        Shape::Text(Some(_)) => "one of the words that the schema lists",
        Shape::Whole => "a whole number of at most 2^53 - 1",
        Shape::Decimal => "a number with at most four decimal places, below 922337203685477",
        Shape::Truth => "`true` or `false`",
        Shape::List(_) => "a list",
        Shape::Record(_) => "an object",
    }
}

/// The number as a decimal with at most four places, exactly; `None` if it is none.
pub(crate) fn decimal(value: &Value) -> Option<String> {
    let bytes = value.to_bytes();
    let text = std::str::from_utf8(&bytes).ok()?;
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, places) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if places.len() > DECIMAL_PLACES || !plain(whole) || !plain(places) {
        return None;
    }
    let units = format!("{whole}{places:0<4}").parse::<i128>().ok()?;
    (units <= DECIMAL_UNITS)
        .then(|| format!("{}{whole}.{places}", if text.starts_with('-') { "-" } else { "" }))
}

/// Why a value was not built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unbuilt {
    /// Longer than a policy may read.
    TooLong,
    /// Not carried by its type; the look-up refuses such values before.
    Misfit,
}

/// The value as its type says.
pub(crate) fn express(shape: &Shape, value: &Value) -> Result<RestrictedExpression, Unbuilt> {
    match (shape, value) {
        (Shape::Text(_), Value::String(text)) if text.len() <= TEXT_BYTES => {
            Ok(RestrictedExpression::new_string(text.clone()))
        }
        (Shape::Text(_), Value::String(_)) => Err(Unbuilt::TooLong),
        (Shape::Whole, Value::Integer(number)) => Ok(RestrictedExpression::new_long(*number)),
        (Shape::Truth, Value::Bool(truth)) => Ok(RestrictedExpression::new_bool(*truth)),
        (Shape::Decimal, Value::Integer(_) | Value::Number(_)) => {
            decimal(value).map(RestrictedExpression::new_decimal).ok_or(Unbuilt::Misfit)
        }
        (Shape::List(_), Value::Array(items)) if items.len() > LIST_ITEMS => Err(Unbuilt::TooLong),
        (Shape::List(item), Value::Array(items)) => {
            let items: Result<Vec<_>, _> = items.iter().map(|value| express(item, value)).collect();
            Ok(RestrictedExpression::new_set(items?))
        }
        (Shape::Record(members), Value::Object(object)) => record(members, object, |_| true),
        _ => Err(Unbuilt::Misfit),
    }
}

/// The members that are given, typed and wanted.
pub(crate) fn record(
    members: &BTreeMap<String, Member>,
    object: &canonical::Object,
    wanted: impl Fn(&str) -> bool,
) -> Result<RestrictedExpression, Unbuilt> {
    let mut fields = Vec::with_capacity(members.len());
    for (name, member) in members.iter().filter(|(name, _)| wanted(name)) {
        let value = object.get(name).filter(|value| !value.is_null());
        if let (Some(shape), Some(value)) = (&member.shape, value) {
            fields.push((name.clone(), express(shape, value)?));
        }
    }
    RestrictedExpression::new_record(fields).map_err(|_| Unbuilt::Misfit)
}
