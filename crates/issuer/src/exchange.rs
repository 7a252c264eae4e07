//! Reads what an exchange asks for (RFC 8693 §2.1) and how far a token may reach (RFC 9396).

use crate::{
    authenticate::Client, decide::Wish, delegate::Parent, directory::Directory, error::IssueError,
    form::Form, settings::Settings,
};
use identity::{CredentialError, Verified, read_details};
use model::ActionId;
use std::collections::BTreeSet;

/// The grant type.
pub(crate) const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// The one type of token that is taken and issued.
pub(crate) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// What some clients call it; ours are JWTs.
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// The token that is exchanged, in the request's words. The client is the actor.
pub(crate) fn read_parent(
    directory: &dyn Directory,
    settings: &Settings,
    client: &Client,
    form: &Form,
) -> Result<Parent, IssueError> {
    if form.get("requested_token_type").is_some_and(|kind| kind != ACCESS_TOKEN && kind != JWT) {
        return Err(IssueError::TokenType("requested_token_type"));
    }
    let subject = form.require("subject_token")?;
    is_ours(form.require("subject_token_type")?, "subject_token_type")?;
    let verify = |token: &str| -> Result<Verified, CredentialError> {
        let keys = directory.verification_keys();
        Verified::verify(token, &keys, settings.issuer(), directory.now())
    };
    match (form.get("actor_token"), form.get("actor_token_type")) {
        (None, None) => {}
        (None, Some(_)) => return Err(IssueError::Missing("actor_token")),
        (Some(_), None) => return Err(IssueError::Missing("actor_token_type")),
        (Some(token), Some(kind)) => {
            is_ours(kind, "actor_token_type")?;
            let actor = verify(token).map_err(IssueError::ActorToken)?;
            let revoked = ledger::subject_digest("token", &actor.token().to_string());
            if *actor.agent() != client.agent || directory.is_revoked(&revoked) {
                return Err(IssueError::OtherActor);
            }
        }
    }
    let subject = verify(subject).map_err(IssueError::SubjectToken)?;
    Ok(Parent::new(&subject))
}

fn is_ours(kind: &str, parameter: &'static str) -> Result<(), IssueError> {
    if kind == ACCESS_TOKEN || kind == JWT {
        return Ok(());
    }
    Err(IssueError::TokenType(parameter))
}

/// The door: `resource`, or `audience`, which says the same here; not two different ones.
pub(crate) fn read_resource(form: &Form) -> Result<String, IssueError> {
    match (form.get("resource"), form.get("audience")) {
        (Some(resource), Some(audience)) if resource != audience => Err(IssueError::Target),
        (None, Some(door)) => Ok(door.to_owned()),
        _ => Ok(form.require("resource")?.to_owned()),
    }
}

/// The actions of `authorization_details`.
pub(crate) fn read_actions(form: &Form) -> Result<Option<BTreeSet<ActionId>>, IssueError> {
    let Some(text) = form.get("authorization_details") else { return Ok(None) };
    let details = canonical::parse(text.as_bytes(), &canonical::Limits::ARGUMENTS);
    let details = details.map_err(|_| IssueError::Details("it is not JSON"))?;
    read_details(&details).map(Some).map_err(IssueError::DetailsRefused)
}

impl Wish {
    /// In records.
    pub(crate) const fn operation(&self) -> &'static str {
        if self.parent.is_some() { "exchange" } else { "issue" }
    }
}
