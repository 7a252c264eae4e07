//! Compares the URL in a proof with the URL of the request (RFC 9449 §4.3, RFC 3986 §6.2.2).

use crate::limits::URL_BYTES;

/// The normal form of an `http` or `https` URL: scheme and host in lower case, no default port, `/`
/// for an empty path, percent-encoding only where it is needed and in upper case.
///
/// `None`: not such a URL, or one with user information, query, fragment, dot segments, white space
/// or a broken percent-encoding. A proof names its target exactly, so none of these is repaired.
pub(crate) fn normalize(url: &str) -> Option<String> {
    if url.len() > URL_BYTES || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    if url.contains(['?', '#', '\\', '"', '<', '>', '^', '`', '{', '|', '}']) {
        return None;
    }
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "http" => "80",
        "https" => "443",
        _ => return None,
    };
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at_checked(at)?,
        None => (rest, "/"),
    };
    let authority = normalize_authority(authority, default_port)?;
    let path = normalize_path(path)?;
    Some(format!("{scheme}://{authority}{path}"))
}

fn normalize_authority(authority: &str, default_port: &str) -> Option<String> {
    if authority.contains(['@', '%']) {
        return None;
    }
    let after_bracket = authority.rfind(']').unwrap_or(0);
    let (host, port) = match authority.rfind(':').filter(|at| *at >= after_bracket) {
        Some(at) => {
            let (host, port) = authority.split_at_checked(at)?;
            (host, port.strip_prefix(':')?)
        }
        None => (authority, ""),
    };
    let is_number = port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    if host.is_empty() || !is_number || port.starts_with('0') {
        return None;
    }
    let host = host.to_ascii_lowercase();
    if port.is_empty() || port == default_port {
        return Some(host);
    }
    Some(format!("{host}:{port}"))
}

fn normalize_path(path: &str) -> Option<String> {
    let mut out = String::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(char::from(byte));
            continue;
        }
        let (high, low) = (bytes.next()?, bytes.next()?);
        let pair = [char::from(high), char::from(low)];
        let value = pair
            .iter()
            .try_fold(0_u32, |all, digit| all.checked_mul(16)?.checked_add(digit.to_digit(16)?))?;
        let decoded = char::from_u32(value)?;
        if decoded.is_ascii_alphanumeric() || "-._~".contains(decoded) {
            out.push(decoded);
        } else {
            out.push('%');
            out.extend(pair.iter().map(char::to_ascii_uppercase));
        }
    }
    out.split('/').all(|segment| segment != "." && segment != "..").then_some(out)
}

/// Whether both are URLs of the accepted form and the same after normalisation.
pub(crate) fn is_same(left: &str, right: &str) -> bool {
    match (normalize(left), normalize(right)) {
        (Some(left), Some(right)) => left == right,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
