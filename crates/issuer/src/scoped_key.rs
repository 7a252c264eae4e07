//! Clients that authenticate with a scoped key, in a header or in the form (RFC 6749 §2.3.1).

use crate::{
    authenticate::{Client, Shown, Way},
    directory::Directory,
    error::IssueError,
    form::Form,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::header;
use identity::ScopedKey;
use model::{AgentName, Name};
use zeroize::Zeroizing;

/// Whether a request authenticates with a secret.
pub(crate) fn is_secret(shown: Shown<'_>, form: &Form) -> bool {
    shown.headers.contains_key(header::AUTHORIZATION) || form.get("client_secret").is_some()
}

/// Who shows a scoped key: the agent that it was made for. One method alone is taken (RFC 6749 §2.3).
pub(crate) fn by_scoped_key(
    directory: &dyn Directory,
    shown: Shown<'_>,
    form: &Form,
) -> Result<Client, IssueError> {
    let assertion = form.get("client_assertion").or_else(|| form.get("client_assertion_type"));
    let mut headers = shown.headers.get_all(header::AUTHORIZATION).iter();
    let (agent, text) = match (headers.next(), form.get("client_secret")) {
        _ if assertion.is_some() => return Err(IssueError::Method),
        (Some(basic), None) => of_header(basic.as_bytes(), form)?,
        (None, Some(secret)) => {
            let id = form.get("client_id").ok_or(IssueError::Missing("client_id"))?;
            (Zeroizing::new(id.to_owned()), Zeroizing::new(secret.to_owned()))
        }
        (Some(_), Some(_)) | (None, None) => return Err(IssueError::Method),
    };
    if headers.next().is_some() {
        return Err(IssueError::Method);
    }
    let agent: AgentName = Name::new(&agent).map_err(|_| IssueError::ScopedKey)?;
    let id = ScopedKey::id_of(&text).ok_or(IssueError::ScopedKey)?;
    let key = directory.scoped_key(&agent, id).filter(|key| key.fits(&text));
    // Whoever has the key may learn that it has ended: it tells nothing to others.
    let key = key.ok_or(IssueError::ScopedKey)?;
    if key.until <= directory.now() {
        return Err(IssueError::ScopedKeyEnded);
    }
    let way = Way::ScopedKey { id: id.to_owned(), key: Box::new(key) };
    Ok(Client { agent, way, peer: shown.peer })
}

type Pair = (Zeroizing<String>, Zeroizing<String>);

/// `Basic`, whose two parts are percent-encoded before they are joined.
fn of_header(value: &[u8], form: &Form) -> Result<Pair, IssueError> {
    let text = std::str::from_utf8(value).map_err(|_| IssueError::Method)?;
    let (scheme, rest) = text.split_once(' ').ok_or(IssueError::Method)?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return Err(IssueError::Method);
    }
    let decoded = Zeroizing::new(STANDARD.decode(rest.trim()).map_err(|_| IssueError::ScopedKey)?);
    let decoded = std::str::from_utf8(&decoded).map_err(|_| IssueError::ScopedKey)?;
    let (id, secret) = decoded.split_once(':').ok_or(IssueError::ScopedKey)?;
    let (id, secret) = (plain(id)?, plain(secret)?);
    if form.get("client_id").is_some_and(|stated| stated != id.as_str()) {
        return Err(IssueError::OtherClient);
    }
    Ok((id, secret))
}

/// One value as a form encodes it.
fn plain(encoded: &str) -> Result<Zeroizing<String>, IssueError> {
    if encoded.contains(['&', '=']) {
        return Err(IssueError::ScopedKey);
    }
    let mut pairs = url::form_urlencoded::parse(encoded.as_bytes());
    let (name, _) = pairs.next().ok_or(IssueError::ScopedKey)?;
    Ok(Zeroizing::new(name.into_owned()))
}
