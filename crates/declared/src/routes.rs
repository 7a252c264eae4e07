//! `route: POST /users/{user}/password-reset`, `route: GET /users?page&sort`.

use crate::{
    fields::is_word,
    limits,
    node::Node,
    problems::{Problems, shown},
};
use model::declared::{Route, Segment};
use std::collections::BTreeSet;

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Reads a method and a path template.
pub(crate) fn route(node: &Node, text: &str, problems: &mut Problems) -> Option<Route> {
    match parse(text) {
        Ok(route) => Some(route),
        Err(why) => {
            let message = format!("`{}` is not a route: {why}", shown(text));
            problems.add(node.span, message, "write it as `POST /users/{user}/password-reset`");
            None
        }
    }
}

fn parse(text: &str) -> Result<Route, String> {
    let (method, path) = text.split_once(' ').ok_or("it needs a method, a space and a path")?;
    if !METHODS.contains(&method) {
        return Err(format!("the method is one of {}", METHODS.join(", ")));
    }
    let (path, query) =
        path.split_once('?').map_or((path, None), |(path, names)| (path, Some(names)));
    let path = path.strip_prefix('/').ok_or("the path begins with `/`")?;
    let mut segments = Vec::new();
    for part in path.split('/').filter(|_| !path.is_empty()) {
        let segment = segment(part)?;
        if matches!(segment, Segment::Param(_)) && segments.contains(&segment) {
            return Err(format!("`{}` is in it twice", shown(part)));
        }
        segments.push(segment);
    }
    if segments.len() > limits::ROUTE_SEGMENTS {
        return Err(format!("it has more than {} segments", limits::ROUTE_SEGMENTS));
    }
    let query = query.map_or(Ok(BTreeSet::new()), |names| query_names(names, &segments))?;
    Ok(Route { method: method.into(), segments, query })
}

/// `page&sort`: names alone, each once, none that the path has.
fn query_names(text: &str, segments: &[Segment]) -> Result<BTreeSet<String>, String> {
    let mut names = BTreeSet::new();
    for name in text.split('&') {
        if !is_word(name) {
            return Err(format!("`{}` is not a name of a query parameter", shown(name)));
        }
        let in_path = |segment: &Segment| matches!(segment, Segment::Param(param) if canonical::collide(param, name));
        let twice = names.iter().any(|known: &String| canonical::collide(known, name));
        if twice || segments.iter().any(in_path) {
            return Err(format!("`{}` is in it twice", shown(name)));
        }
        names.insert(name.to_owned());
    }
    if names.len() > limits::ROUTE_QUERY {
        return Err(format!("its query has more than {} names", limits::ROUTE_QUERY));
    }
    Ok(names)
}

fn segment(part: &str) -> Result<Segment, String> {
    if let Some(name) = part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        return match is_word(name) {
            true => Ok(Segment::Param(name.into())),
            false => Err(format!("`{}` is not a name of an argument", shown(name))),
        };
    }
    if part.is_empty() || part == "." || part == ".." {
        return Err("a segment is not empty, `.` or `..`".into());
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@".contains(c);
    match part.chars().find(|c| !plain(*c)) {
        None => Ok(Segment::Literal(part.into())),
        Some('#') => Err("it has no fragment".into()),
        Some('%') => Err("segments are written decoded, in plain ASCII".into()),
        Some('{' | '}') => Err("`{name}` is a whole segment".into()),
        Some(_) => Err("a segment has letters, digits and `-._~!$&'()*+,;=:@`".into()),
    }
}

/// Two routes that match exactly the same requests.
pub(crate) fn same(one: &Route, other: &Route) -> bool {
    let alike = |pair: (&Segment, &Segment)| match pair {
        (Segment::Param(_), Segment::Param(_)) => true,
        (Segment::Literal(one), Segment::Literal(other)) => one == other,
        (Segment::Literal(_), Segment::Param(_)) | (Segment::Param(_), Segment::Literal(_)) => {
            false
        }
    };
    one.method == other.method
        && one.segments.len() == other.segments.len()
        && one.segments.iter().zip(&other.segments).all(alike)
}
