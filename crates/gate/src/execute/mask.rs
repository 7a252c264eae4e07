//! Replaces what `after: [mask]` names in a result before the agent sees it.

use crate::settle::Exchange;
use canonical::{Limits, Object, Pointer, Value};
use model::declared::After;
use upstream::mcp::{NotProjectable, Outcome};

/// What stands in place of what is masked.
const MASK: &str = "***";

/// What is masked in the results of an action.
pub(super) struct Masks {
    /// The upstream's credential, wherever it appears.
    pub(super) credential: bool,
    pointers: Vec<Pointer>,
}

impl Masks {
    /// What the catalog entry says; `None` if nothing is masked.
    pub(super) fn of(exchange: &Exchange) -> Option<Masks> {
        let mut masks = Masks { credential: false, pointers: Vec::new() };
        for after in &exchange.catalog().action.after {
            match after {
                After::Mask(None) => masks.credential = true,
                After::Mask(Some(pointer)) => masks.pointers.push(Pointer::parse(pointer).ok()?),
                After::Notify(_) | After::Sample(_) => {}
            }
        }
        (masks.credential || !masks.pointers.is_empty()).then_some(masks)
    }

    /// Masks an MCP result, and says how often. Text that is no JSON cannot be masked by pointers; an error's words are
    /// replaced as a whole.
    pub(super) fn outcome(&self, outcome: Outcome) -> Result<(Outcome, u64), NotProjectable> {
        if self.pointers.is_empty() {
            return Ok((outcome, 0));
        }
        if outcome.is_error() {
            return outcome.project(&[]);
        }
        let Value::Object(mut result) = outcome.into_value() else { return Err(NotProjectable) };
        let mut count = 0;
        if let Some(structured) = result.get_mut("structuredContent") {
            count += self.value(structured);
        }
        if let Some(Value::Array(blocks)) = result.get_mut("content") {
            for block in blocks {
                count += self.block(block)?;
            }
        }
        Ok((Outcome::of_result(result), count))
    }

    fn block(&self, block: &mut Value) -> Result<u64, NotProjectable> {
        let Value::Object(members) = block else { return Err(NotProjectable) };
        let Some(Value::String(text)) = members.get_mut("text") else { return Ok(0) };
        let parsed = canonical::parse(text.as_bytes(), &Limits::FRAME);
        let mut parsed = parsed.map_err(|_| NotProjectable)?;
        let count = self.value(&mut parsed);
        *text = String::from_utf8(parsed.to_bytes()).map_err(|_| NotProjectable)?;
        Ok(count)
    }

    /// Masks a JSON body; `None` if it is none and something would have to be masked in it.
    pub(super) fn body(&self, body: &[u8]) -> Option<(Vec<u8>, u64)> {
        if self.pointers.is_empty() {
            return Some((body.to_vec(), 0));
        }
        let mut value = canonical::parse(body, &Limits::FRAME).ok()?;
        let count = self.value(&mut value);
        Some((value.to_bytes(), count))
    }

    fn value(&self, value: &mut Value) -> u64 {
        let each = self.pointers.iter().map(|pointer| {
            let segments: Vec<&str> = pointer.segments().collect();
            replace(value, &segments)
        });
        each.sum()
    }
}

/// A credential that was masked in serialised JSON, read back.
pub(super) fn read_back(bytes: &[u8]) -> Option<Object> {
    match canonical::parse(bytes, &Limits::FRAME).ok()? {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

fn replace(value: &mut Value, segments: &[&str]) -> u64 {
    let Some((first, rest)) = segments.split_first() else {
        *value = Value::from(MASK);
        return 1;
    };
    match value {
        Value::Object(members) => members.get_mut(first).map_or(0, |inner| replace(inner, rest)),
        Value::Array(items) if *first == "*" => {
            items.iter_mut().map(|item| replace(item, rest)).sum()
        }
        Value::Array(items) => {
            let index = first.parse::<usize>().ok();
            index.and_then(|index| items.get_mut(index)).map_or(0, |item| replace(item, rest))
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::{Masks, Pointer};

    #[test]
    fn what_pointers_name_is_replaced_and_nothing_else() {
        let check = |pointers: &[&str], given: &str, expected: Option<(&str, u64)>| {
            let pointers = pointers.iter().map(|text| Pointer::parse(text).unwrap()).collect();
            let masks = Masks { credential: false, pointers };
            let masked = masks.body(given.as_bytes());
            let masked = masked.map(|(body, count)| (String::from_utf8(body).unwrap(), count));
            assert_eq!(masked, expected.map(|(body, count)| (body.to_owned(), count)), "{given}");
        };
        check(&["/a"], r#"{"a":{"b":1},"c":2}"#, Some((r#"{"a":"***","c":2}"#, 1)));
        check(
            &["/l/*/x"],
            r#"{"l":[{"x":1},{"y":2},{"x":"s"}]}"#,
            Some((r#"{"l":[{"x":"***"},{"y":2},{"x":"***"}]}"#, 2)),
        );
        check(&["/l/0", "/no"], r#"{"l":[1,2]}"#, Some((r#"{"l":["***",2]}"#, 1)));
        check(&["/a"], "not json", None);
        check(&[], "not json", Some(("not json", 0)));
    }
}
