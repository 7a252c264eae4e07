//! YAML text to a tree of nodes that know their place; the only file that speaks to the YAML parser.

use crate::{limits, problems::Problem};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Error, Location, Spanned, budget::BudgetBreach};
use std::fmt;

/// A byte range of one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: usize,
    pub length: usize,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub value: Value,
    pub span: Span,
}

/// What YAML 1.2's core schema can say.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One member of a map, in the order of the file; names may repeat.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub key: Node,
    pub value: Node,
}

impl Entry {
    /// Whether the key is this word.
    pub(crate) fn key_is(&self, word: &str) -> bool {
        matches!(&self.key.value, Value::Text(key) if key == word)
    }
}

impl Value {
    /// The value's kind, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::Null => "nothing",
            Value::Boolean(_) => "true or false",
            Value::Integer(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}

/// Reads one document. Size, depth and node count are bounded; anchors, aliases, merges and custom
/// tags are refused; repeated keys are kept so that all of them can be reported.
pub(crate) fn parse(text: &str) -> Result<Node, Problem> {
    if text.len() > limits::FILE_BYTES {
        let size = text.len();
        return Err(Problem::new(
            Span::default(),
            format!("the file has {size} bytes: the limit is {}", limits::FILE_BYTES),
            "remove what is not declared state",
        ));
    }
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: serde_saphyr::options::MergeKeyPolicy::AsOrdinary,
        strict_booleans: true,
        underscored_numbers_as_strings: true,
        leading_zero_numbers_as_strings: true,
        reject_unsupported_tags: true,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: limits::DEPTH,
            flow_nesting_limit: limits::DEPTH,
            max_nodes: limits::NODES,
            max_events: limits::NODES * 2,
            max_total_scalar_bytes: limits::FILE_BYTES,
            simple_key_max_lookahead: limits::KEY_BYTES,
            max_documents: 1,
            max_anchors: 0,
            max_aliases: 0,
        },
    };
    match serde_saphyr::from_str_with_options::<Spanned<Value>>(text, options) {
        Ok(root) => Ok(node(root)),
        Err(error) => Err(problem(&error, text)),
    }
}

fn node(spanned: Spanned<Value>) -> Node {
    Node { span: span(spanned.referenced), value: spanned.value }
}

fn span(location: Location) -> Span {
    let place = location.span();
    let bytes = |number: Option<u64>| number.and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    Span { start: bytes(place.byte_offset()), length: bytes(place.byte_len()) }
}

fn problem(error: &Error, text: &str) -> Problem {
    let error = error.without_snippet();
    let at = error.location().map(|location| found(location, text)).unwrap_or_default();
    let first = error.to_string();
    let first = first.lines().next().unwrap_or_default();
    let said = first.split(" at line ").next().unwrap_or_default();
    let (message, fix) = match error {
        Error::Budget { breach, .. } => return budget(at, breach),
        _ if said.contains("recursion limit") => {
            return budget(at, &BudgetBreach::Depth { depth: limits::DEPTH });
        }
        Error::UnknownAnchor { .. } => {
            ("anchors and aliases are not read here".into(), "write the value out")
        }
        Error::UnsupportedTag { .. } => (said.to_owned(), "remove the tag; quote what is text"),
        _ => (
            format!("this is not YAML that can be read: {said}"),
            "correct the syntax here or just before; quote text that holds `: `, ` #`, `{` or `[`",
        ),
    };
    Problem::new(at, message, fix)
}

/// The scanner knows lines and columns, and not always bytes.
fn found(location: Location, text: &str) -> Span {
    if location.span().byte_offset().is_some() {
        let mut at = span(location);
        at.start = at.start.min(text.len());
        return at;
    }
    let line = usize::try_from(location.line()).unwrap_or(1).saturating_sub(1);
    let column = usize::try_from(location.column()).unwrap_or(1).saturating_sub(1);
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = text.get(start..).unwrap_or_default();
    let before: usize = rest.chars().take(column).map(char::len_utf8).sum();
    Span { start: start + before, length: 1 }
}

fn budget(at: Span, breach: &BudgetBreach) -> Problem {
    let (message, fix) = match breach {
        BudgetBreach::Anchors { .. } | BudgetBreach::Aliases { .. } => {
            ("anchors and aliases are not read here", "write the value out")
        }
        BudgetBreach::Depth { .. } => ("the file is nested too deeply", "use at most 32 levels"),
        BudgetBreach::Documents { .. } => {
            ("the file has more than one document", "remove `---` and what follows it")
        }
        _ => ("the file is too large to be read safely", "remove what is not declared state"),
    };
    Problem::new(at, message.into(), fix)
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a number, true, false, a list or a map")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        i64::try_from(value).map(Value::Integer).map_err(|_| E::custom("the number is too large"))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Value, E> {
        i64::try_from(value).map(Value::Integer).map_err(|_| E::custom("the number is too large"))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Value, E> {
        i64::try_from(value).map(Value::Integer).map_err(|_| E::custom("the number is too large"))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Spanned<Value>>()? {
            list.push(node(item));
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = members.next_key::<Spanned<Value>>()? {
            let value = node(members.next_value::<Spanned<Value>>()?);
            map.push(Entry { key: node(key), value });
        }
        Ok(Value::Map(map))
    }
}
