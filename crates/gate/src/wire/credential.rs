//! Reads the credential of a request from its headers, without believing it.

use crate::{Gate, mediate::Credential};
use ::http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};
use identity::Scheme;
use model::{TaskId, TraceId};

/// The header of a proof of possession (RFC 9449 §4.1).
pub(super) const PROOF: HeaderName = HeaderName::from_static("dpop");

/// Gives the nonce for the next proof (RFC 9449 §8.2, §9).
pub(super) fn give_nonce(gate: &Gate, headers: &mut HeaderMap) {
    let nonce = gate.settings().nonce_key.current(gate.clock.now());
    if let Ok(nonce) = HeaderValue::try_from(nonce) {
        headers.insert("dpop-nonce", nonce);
    }
}

/// The access token and proof of a request; `None` if none came, or more than one of a kind (then none is taken).
#[must_use]
pub fn read(headers: &HeaderMap, method: &str, url: String) -> Option<Credential> {
    let (scheme, token) = presented(single(headers, AUTHORIZATION.as_str())?)?;
    if headers.get_all(PROOF).iter().count() > 1 {
        return None;
    }
    let proof = single(headers, PROOF.as_str()).map(str::to_owned);
    Some(Credential::new(scheme, token.to_owned(), method.to_owned(), url).with_proof(proof))
}

/// The token of an `Authorization` header, for no request in particular.
#[must_use]
pub fn of_header(value: Option<&HeaderValue>) -> Option<Credential> {
    let (scheme, token) = presented(value?.to_str().ok()?)?;
    Some(Credential::new(scheme, token.to_owned(), String::new(), String::new()))
}

fn presented(authorization: &str) -> Option<(Scheme, &str)> {
    let (scheme, token) = authorization.split_once(' ')?;
    let scheme = if scheme.eq_ignore_ascii_case("dpop") {
        Scheme::Dpop
    } else if scheme.eq_ignore_ascii_case("bearer") {
        Scheme::Bearer
    } else {
        return None;
    };
    Some((scheme, token.trim()))
}

/// The one value of a header; `None` if absent, repeated or not text.
#[must_use]
pub fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.next().is_some() { None } else { first.to_str().ok() }
}

/// The trace id of a W3C `traceparent` (version 00), if it is well formed.
#[must_use]
pub fn trace_of(traceparent: &str) -> Option<TraceId> {
    let mut fields = traceparent.split('-');
    let (version, trace, parent, flags) =
        (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let hex = |text: &str, length: usize| {
        text.len() == length
            && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let well_formed =
        version == "00" && hex(parent, 16) && hex(flags, 2) && fields.next().is_none();
    if well_formed && parent != "0000000000000000" { TraceId::parse(trace) } else { None }
}

/// The task reference of a header. One that cannot be read is refused: a call does not go on without its task.
pub fn task_of(headers: &HeaderMap) -> Result<Option<TaskId>, String> {
    if !headers.contains_key("ambit-task") {
        return Ok(None);
    }
    let task = single(headers, "ambit-task").and_then(TaskId::parse);
    task.map(Some).ok_or_else(|| "`Ambit-Task` must be one task id, `tsk_…`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_or_foreign_authorization_is_no_credential() {
        let check = |values: &[&str], expected: bool| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, value.parse().expect("header"));
            }
            assert_eq!(read(&headers, "POST", String::new()).is_some(), expected, "{values:?}");
        };
        check(&["Bearer abc"], true);
        check(&["DPoP abc"], true);
        check(&["Bearer abc", "Bearer def"], false);
        check(&["Basic abc"], false);
        check(&["abc"], false);
    }

    #[test]
    fn only_a_well_formed_traceparent_names_a_trace() {
        let check =
            |text: &str, expected: bool| assert_eq!(trace_of(text).is_some(), expected, "{text}");
        check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true);
        check("00-00000000000000000000000000000000-b7ad6b7169203331-01", false);
        check("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false);
        check("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false);
        check("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false);
        check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x", false);
    }
}
