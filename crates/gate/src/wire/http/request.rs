//! Reads an HTTP request into an [`ActionRequest`]: the URL is parsed strictly and rebuilt, the body parsed once.

use super::split;
use crate::{ActionRequest, Edge, Gate, Outbound, Refusal, limits, wire::credential};
use canonical::{Object, Value};
use http::{HeaderMap, Method, Request, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use model::{Code, TraceId};

/// Reads and checks everything that can be checked without knowing who asks.
pub(super) async fn read(
    gate: &Gate,
    incoming: Request<Incoming>,
    trace: TraceId,
    traceparent: Option<String>,
) -> Result<ActionRequest, Refusal> {
    let wrong = |code: Code, detail: String| Refusal::new(code, trace).with(detail);
    let (parts, body) = incoming.into_parts();
    let path = parts.uri.path();
    let (upstream, rest) = split(path).ok_or(Refusal::new(Code::NotInCatalog, trace))?;
    let url = format!("{}{path}", gate.settings().base_url);
    let credential = credential::read(&parts.headers, parts.method.as_str(), url)
        .map(|credential| credential.over(&parts.extensions));
    let task = credential::task_of(&parts.headers)
        .map_err(|detail| wrong(Code::ProtocolInvalid, detail))?;
    let segments = segments(rest).map_err(|detail| wrong(Code::ProtocolInvalid, detail))?;
    let query = pairs(parts.uri.query().unwrap_or(""));
    let query = query.map_err(|detail| wrong(Code::ProtocolInvalid, detail))?;
    let known = gate.knows(credential.as_ref());
    let limit = if known { limits::REQUEST_BODY } else { limits::STRANGER_BODY };
    let body = body_value(&parts.headers, body, limit).await;
    let body = body.map_err(|(code, detail)| wrong(code, detail))?;
    let world = gate.world();
    let borrowed: Vec<&str> = segments.iter().map(String::as_str).collect();
    let routed = world.compiled.route(&upstream, parts.method.as_str(), &borrowed);
    let (operation, captured) = match routed {
        Some((action, captured)) => (action.operation.to_string(), captured),
        // Not a name that an operation can have: it is refused, and recorded, as what does not exist.
        None => (format!("{} /{rest}", parts.method), Vec::new()),
    };
    let arguments =
        arguments(&captured, &query, &body).map_err(|detail| wrong(Code::BodyInvalid, detail))?;
    let outbound = outgoing(&parts.method, &parts.headers, segments, query, body);
    Ok(ActionRequest {
        aggregate: false,
        edge: Edge::Http,
        credential,
        upstream,
        operation,
        arguments,
        trace,
        traceparent,
        task,
        outbound: Outbound::Http(outbound),
    })
}

fn outgoing(
    method: &Method,
    headers: &HeaderMap,
    segments: Vec<String>,
    query: Vec<(String, String)>,
    body: Option<Value>,
) -> upstream::HttpRequest {
    // What could change the act itself (conditions, an idempotency key) is not among them: it was not decided on.
    let kept = [header::ACCEPT, header::ACCEPT_LANGUAGE];
    let mut forwarded = HeaderMap::new();
    for name in kept {
        if let Some(value) = headers.get(&name) {
            forwarded.insert(name, value.clone());
        }
    }
    upstream::HttpRequest {
        method: method.clone(),
        segments,
        query,
        headers: forwarded,
        json: body.map(|value| value.to_bytes()),
    }
}

/// Decodes a path into segments; what two parsers could read differently is refused.
pub(in crate::wire) fn segments(path: &str) -> Result<Vec<String>, String> {
    if path.is_empty() {
        return Ok(Vec::new());
    }
    path.split('/').map(segment).collect()
}

fn segment(raw: &str) -> Result<String, String> {
    let decoded = decode(raw, false)?;
    let odd = |c: char| c.is_control() || matches!(c, '/' | '\\' | '\u{0}' | ';' | '%');
    if decoded.is_empty() {
        return Err(
            "the path has an empty segment: write it without `//` and without `/` at its end"
                .into(),
        );
    }
    // A fault for the fuzzer to find: dots and spaces at an end are let through.
    let ends = !cfg!(feature = "canary") && decoded.ends_with(['.', ' ']);
    if decoded == "." || decoded == ".." || ends || decoded.starts_with(' ') {
        return Err("the path has a segment of dots, or with dots or spaces at its end".into());
    }
    if decoded.chars().any(odd) {
        return Err("the path has an encoded slash, percent sign or control character".into());
    }
    Ok(decoded)
}

/// Splits and decodes a query; a name that comes twice is refused (E11).
pub(in crate::wire) fn pairs(query: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name, true)?, decode(value, true)?);
        if name.is_empty() || name.chars().any(|c| c.is_control()) || name.trim() != name {
            return Err(
                "a parameter's name is empty, or has control characters or spaces at its ends"
                    .into(),
            );
        }
        if pairs.iter().any(|(known, _)| known.to_lowercase() == name.to_lowercase()) {
            return Err(format!("the parameter `{name}` comes twice"));
        }
        pairs.push((name, value));
    }
    Ok(pairs)
}

fn decode(raw: &str, plus_is_space: bool) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
                let pair = digit(rest.next()).zip(digit(rest.next()));
                let (high, low) =
                    pair.ok_or("a percent sign is not followed by two hexadecimal digits")?;
                bytes.push(u8::try_from(high * 16 + low).map_err(|_| "not a byte")?);
            }
            b'+' if plus_is_space => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).map_err(|_| "the URL is not UTF-8 after decoding".into())
}

async fn body_value(
    headers: &HeaderMap,
    body: Incoming,
    limit: usize,
) -> Result<Option<Value>, (Code, String)> {
    let invalid = |detail: &str| (Code::BodyInvalid, detail.to_owned());
    let read = tokio::time::timeout(limits::REQUEST_BODY_TIME, Limited::new(body, limit).collect());
    let bytes = match read.await {
        Err(_) => return Err((Code::ProtocolInvalid, "the body did not arrive in time".into())),
        Ok(Err(_)) => {
            return Err((Code::BodyTooLarge, format!("the limit is {limit} bytes")));
        }
        Ok(Ok(collected)) => collected.to_bytes(),
    };
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(invalid("send the body without content encoding"));
    }
    if bytes.is_empty() {
        return Ok(None);
    }
    let kind = credential::single(headers, "content-type").unwrap_or("");
    let essence = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if essence != "application/json" && !essence.ends_with("+json") {
        return Err(invalid(
            "only JSON bodies are forwarded: send `content-type: application/json`",
        ));
    }
    let value = canonical::parse(&bytes, &canonical::Limits::ARGUMENTS);
    value.map(Some).map_err(|error| (Code::BodyInvalid, error.to_string()))
}

/// What begins with this names places, not arguments; nothing that comes from outside may.
const PLACE: char = '@';

/// Path parameters, query parameters and the members of a JSON object are the arguments; no name may come from two.
///
/// Two requests that differ give arguments that differ: `@query` lists the names that came in the query, `@body` holds
/// a body that is no object. So what is decided on, shown, digested and approved says where each value goes.
fn arguments(
    captured: &[(String, String)],
    query: &[(String, String)],
    body: &Option<Value>,
) -> Result<Value, String> {
    let mut arguments = Object::default();
    let mut add = |name: &str, value: Value| {
        if name.starts_with(PLACE) {
            return Err(format!("the argument `{name}` begins with `{PLACE}`, which names places"));
        }
        let twice = |_| format!("the argument `{name}` comes from two places");
        arguments.insert(name.to_owned(), value).map_err(twice)
    };
    for (name, text) in captured.iter().chain(query) {
        add(name, Value::String(text.clone()))?;
    }
    if let Some(Value::Object(members)) = body {
        for (name, value) in members.iter() {
            add(name, value.clone())?;
        }
    }
    let mut place = |name: &str, value: Value| {
        arguments.insert(name.to_owned(), value).map_err(|_| format!("`{name}` comes twice"))
    };
    if !query.is_empty() {
        let mut names: Vec<&str> = query.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        place(policy::QUERY, Value::Array(names.into_iter().map(Value::from).collect()))?;
    }
    match body {
        None | Some(Value::Object(_)) => {}
        Some(other) => place("@body", other.clone())?,
    }
    Ok(Value::Object(arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_two_parsers_could_read_differently_is_refused() {
        let check =
            |path: &str, expected: bool| assert_eq!(segments(path).is_ok(), expected, "{path}");
        check("users/bob", true);
        check("users/b%6Fb", true);
        check("users/b%2Fb", false);
        check("users/%2e%2e/admin", false);
        check("users/../admin", false);
        check("users//admin", false);
        check("users/", false);
        check("users/bob.", false);
        check("users/bob%20", false);
        check("users/b%00b", false);
        check("users/b%5Cb", false);
        check("users/b%252Fb", false);
        check("users/b;x=1", false);
        check("users/%zz", false);
        check("users/%ff", false);
    }

    #[test]
    fn a_repeated_parameter_is_refused() {
        assert!(pairs("a=1&b=2").is_ok());
        assert!(pairs("a=1&a=2").is_err());
        assert!(pairs("a=1&%61=2").is_err());
        assert!(pairs("a=1&A=2").is_err());
    }

    #[test]
    fn requests_that_differ_give_arguments_that_differ() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let object = |text: &str| {
            Some(canonical::parse(text.as_bytes(), &canonical::Limits::ARGUMENTS).expect("json"))
        };
        let check = |left: (&[(String, String)], Option<Value>),
                     right: (&[(String, String)], Option<Value>)| {
            let left = arguments(&[], left.0, &left.1);
            let right = arguments(&[], right.0, &right.1);
            assert_ne!(left, right);
            assert!(left.is_ok() && right.is_ok());
        };
        check((&[], object(r#"{"a":"5","b":"1"}"#)), (&[pair("b", "1")], object(r#"{"a":"5"}"#)));
        check((&[], object(r#"{"body":["x"]}"#)), (&[], object(r#"["x"]"#)));
        check((&[], object("{}")), (&[], object("null")));
        assert!(arguments(&[], &[], &object(r#"{"@query":["b"]}"#)).is_err());
        assert!(arguments(&[], &[pair("@body", "x")], &None).is_err());
        assert!(arguments(&[pair("a", "1")], &[], &object(r#"{"a":"1"}"#)).is_err());
    }
}
