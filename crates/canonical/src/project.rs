//! Cutting a value down to what a list of pointers names.

use crate::{Object, Pointer, Value, pointer::array_index};

/// What a projection kept, and how much it left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projection {
    /// What the pointers name, inside the containers on the way to it.
    pub value: Value,
    /// Members and elements left out, each counted once together with all below it.
    pub dropped: usize,
}

/// Keeps only what the pointers name.
///
/// Containers on the way stay, so that the shape is the one the reader expects: an array passed
/// by `*` keeps its containers even if none has the member named, and an array passed by indexes
/// closes up over what is left out. A scalar that a pointer would have to pass through is left
/// out; if the root itself is, the value is `null`.
#[must_use]
pub fn project(value: &Value, pointers: &[Pointer]) -> Projection {
    let paths: Vec<Vec<&str>> = pointers.iter().map(|p| p.segments().collect()).collect();
    let wanted: Vec<&[&str]> = paths.iter().map(Vec::as_slice).collect();
    let mut dropped = 0;
    let kept = select(value, &wanted, &mut dropped);
    let value = kept.unwrap_or_else(|| {
        dropped += 1;
        Value::Null
    });
    Projection { value, dropped }
}

/// Nothing is kept of what no path reaches.
fn select_named(value: &Value, wanted: &[&[&str]], dropped: &mut usize) -> Option<Value> {
    if wanted.is_empty() { None } else { select(value, wanted, dropped) }
}

fn select(value: &Value, wanted: &[&[&str]], dropped: &mut usize) -> Option<Value> {
    if wanted.iter().any(|path| path.is_empty()) {
        return Some(value.clone());
    }
    match value {
        Value::Object(object) => {
            let mut kept = Vec::new();
            for (name, member) in object {
                let below = step(wanted, |segment| segment == name);
                match select_named(member, &below, dropped) {
                    Some(member) => kept.push((name.to_owned(), member)),
                    None => *dropped += 1,
                }
            }
            Some(Value::Object(Object::from_sorted(kept)))
        }
        Value::Array(items) => {
            let mut kept = Vec::new();
            for (index, item) in items.iter().enumerate() {
                let below =
                    step(wanted, |segment| segment == "*" || array_index(segment) == Some(index));
                match select_named(item, &below, dropped) {
                    Some(item) => kept.push(item),
                    None => *dropped += 1,
                }
            }
            Some(Value::Array(kept))
        }
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Number(_) | Value::String(_) => {
            None
        }
    }
}

/// The rests of the paths whose first segment passes.
fn step<'a, 'b>(wanted: &[&'a [&'b str]], passes: impl Fn(&str) -> bool) -> Vec<&'a [&'b str]> {
    wanted
        .iter()
        .filter_map(|path| path.split_first())
        .filter(|(first, _)| passes(first))
        .map(|(_, rest)| rest)
        .collect()
}
