//! `route: POST /users/{user}/password-reset`.

use crate::{
    fields::is_word,
    limits,
    node::Node,
    problems::{Problems, shown},
};
use model::declared::{Route, Segment};

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
    let path = path.strip_prefix('/').ok_or("the path begins with `/`")?;
    if path.is_empty() {
        return Ok(Route { method: method.into(), segments: Vec::new() });
    }
    let mut segments = Vec::new();
    for part in path.split('/') {
        let segment = segment(part)?;
        if matches!(segment, Segment::Param(_)) && segments.contains(&segment) {
            return Err(format!("`{}` is in it twice", shown(part)));
        }
        segments.push(segment);
    }
    if segments.len() > limits::ROUTE_SEGMENTS {
        return Err(format!("it has more than {} segments", limits::ROUTE_SEGMENTS));
    }
    Ok(Route { method: method.into(), segments })
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
        Some('?' | '#') => Err("it has no query or fragment".into()),
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
