//! Small edits of an `ambit.yaml` that leave everything else as people wrote it: comments, order, layout.

use crate::node::{self, Entry, Node, Span, Value};

/// Why a text was not edited.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// There is no such place.
    #[error("`{0}` is not in the file")]
    Missing(String),
    /// The place is written in a way that is not edited here.
    #[error("`{0}` is written in a way that is edited by hand only")]
    Layout(String),
}

/// Adds items to the list at a path of keys. A list that is not there is added to the map at the path before it.
/// The result is text; whoever edits reads it again.
pub fn add_to_list(text: &str, path: &[&str], items: &[String]) -> Result<String, EditError> {
    let shown = || path.join(".");
    let layout = || EditError::Layout(shown());
    let root = node::parse(text).map_err(|_| layout())?;
    let (key, parents) = path.split_last().ok_or_else(layout)?;
    let mut at = &root;
    for name in parents {
        at = &member(at, name).ok_or_else(|| EditError::Missing(shown()))?.value;
    }
    let edited = match member(at, key) {
        Some(Entry { value: Node { value: Value::List(list), span }, .. }) => match list.last() {
            Some(last) => after(text, list.first().unwrap_or(last), last, items),
            None => into_empty(text, *span, items),
        },
        Some(_) => None,
        None => new_key(text, at, &format!("{key}: [{}]", items.join(", "))),
    };
    edited.ok_or_else(layout)
}

fn member<'a>(map: &'a Node, name: &str) -> Option<&'a Entry> {
    let Value::Map(entries) = &map.value else { return None };
    entries.iter().find(|entry| entry.key_is(name))
}

/// What stands before a place on its line.
fn before(text: &str, at: usize) -> Option<&str> {
    let head = text.get(..at)?;
    Some(head.rsplit_once('\n').map_or(head, |(_, line)| line))
}

/// Inserts behind the last item: on lines of their own in a block list, behind a comma in a flow list.
fn after(text: &str, first: &Node, last: &Node, items: &[String]) -> Option<String> {
    let end = last.span.start.checked_add(last.span.length)?;
    let lead = before(text, last.span.start)?;
    let block = before(text, first.span.start)?.trim_start() == "- ";
    if block {
        let line_end = text.get(end..)?.find('\n').map_or(text.len(), |length| end + length);
        let added: String = items.iter().map(|item| format!("\n{lead}{item}")).collect();
        return insert(text, line_end, &added);
    }
    let added: String = items.iter().map(|item| format!(", {item}")).collect();
    insert(text, end, &added)
}

fn into_empty(text: &str, span: Span, items: &[String]) -> Option<String> {
    let rest = text.get(span.start..)?;
    rest.starts_with('[').then(|| insert(text, span.start + 1, &items.join(", ")))?
}

/// Inserts a key behind the last one: on a line of its own, or behind a comma inside braces.
fn new_key(text: &str, map: &Node, line: &str) -> Option<String> {
    let Value::Map(entries) = &map.value else { return None };
    let first = entries.first()?;
    let lead = before(text, first.key.span.start)?;
    if lead.trim().is_empty() {
        return insert(text, first.key.span.start, &format!("{line}\n{lead}"));
    }
    let inside = lead.trim_end().ends_with('{');
    if inside { insert(text, first.key.span.start, &format!("{line}, ")) } else { None }
}

fn insert(text: &str, at: usize, added: &str) -> Option<String> {
    Some(format!("{}{added}{}", text.get(..at)?, text.get(at..)?))
}

#[cfg(test)]
mod tests {
    use super::{EditError, add_to_list};

    fn check(text: &str, path: &[&str], items: &[&str], expected: Result<&str, EditError>) {
        let items: Vec<String> = items.iter().map(|item| (*item).to_owned()).collect();
        let edited = add_to_list(text, path, &items);
        assert_eq!(edited.as_deref(), expected.as_ref().map(|text| *text), "{text}");
    }

    #[test]
    fn a_list_grows_in_the_layout_that_it_has() {
        let path = ["agents", "a", "only"];
        check(
            "agents:\n  a:\n    only: [x.y]   # why\n    purpose: p\n",
            &path,
            &["x.z", "q.*"],
            Ok("agents:\n  a:\n    only: [x.y, x.z, q.*]   # why\n    purpose: p\n"),
        );
        check(
            "agents:\n  a:\n    only:\n      - x.y  # why\n      - 'x.w'\n    purpose: p\n",
            &path,
            &["x.z"],
            Ok(
                "agents:\n  a:\n    only:\n      - x.y  # why\n      - 'x.w'\n      - x.z\n    purpose: p\n",
            ),
        );
        check(
            "agents: { a: { only: [ 'x.y' ], purpose: p } }\n",
            &path,
            &["x.z"],
            Ok("agents: { a: { only: [ 'x.y', x.z ], purpose: p } }\n"),
        );
        check(
            "agents: { a: { only: [], purpose: p } }\n",
            &path,
            &["x.z"],
            Ok("agents: { a: { only: [x.z], purpose: p } }\n"),
        );
    }

    #[test]
    fn a_list_that_is_not_there_is_added() {
        let path = ["agents", "a", "only"];
        check(
            "agents:\n  a:\n    # says why\n    purpose: p\n",
            &path,
            &["x.z"],
            Ok("agents:\n  a:\n    # says why\n    only: [x.z]\n    purpose: p\n"),
        );
        check(
            "agents:\n  a: { purpose: p }\n",
            &path,
            &["x.z"],
            Ok("agents:\n  a: { only: [x.z], purpose: p }\n"),
        );
        check("agents: {}\n", &path, &["x"], Err(EditError::Missing("agents.a.only".into())));
        check(
            "agents: { a: { only: text } }\n",
            &path,
            &["x"],
            Err(EditError::Layout("agents.a.only".into())),
        );
    }
}
