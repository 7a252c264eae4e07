//! For whom a client opens a task, and how that is known.
//!
//! A human is proven by a token of her own: an ID token of a declared issuer, or a token of Ambit's that names her. A
//! client's word is enough only for people of this machine, and only where its block says so.

use super::caller::Client;
use crate::{
    app::App,
    limits,
    tasks::{Refused, Told},
};
use identity::{CredentialError, Expected, Foreign, Verified, stated_issuer, verify_foreign};
use model::{
    AgentName, Code, Digest, Name, UserName,
    declared::{HumanIssuer, Shown},
};
use policy::subject_digest;
use upstream::Need;

/// The human, how she is known, and whose revocation takes that back.
pub(super) struct For {
    pub(super) user: Option<UserName>,
    pub(super) told: Told,
    pub(super) subjects: Vec<Digest>,
}

/// What the request says of the human.
pub(super) async fn read(
    app: &App,
    (client, agent): (&Client, &AgentName),
    named: Option<&str>,
    token: Option<&str>,
) -> Result<For, Refused> {
    let denied = |what: &str| Refused::Denied(Code::UserNotServed, what.to_owned());
    let named = named.map(UserName::new).transpose();
    let named = named.map_err(|error| Refused::Wrong(error.to_string()))?;
    let proven = match token {
        Some(token) => proven(app, (client, agent), token).await?,
        None => {
            let Some(user) = named else {
                return Ok(For { user: None, told: Told::Nobody, subjects: Vec::new() });
            };
            let known = app.gate.world().people.contains_key(&user);
            return match client.declared.humans {
                Shown::Stated if known => {
                    Ok(For { user: Some(user), told: Told::Stated, subjects: Vec::new() })
                }
                Shown::Stated | Shown::Proven => {
                    Err(denied("prove for whom the task is: send her own token as `subject_token`"))
                }
            };
        }
    };
    if named.is_some() && named != proven.user {
        return Err(denied("`for` is not whom the token names"));
    }
    Ok(proven)
}

async fn proven(
    app: &App,
    (client, agent): (&Client, &AgentName),
    token: &str,
) -> Result<For, Refused> {
    let issuer = stated_issuer(token).map_err(|error| invalid(&error))?;
    if issuer == app.gate.settings().issuer {
        return of_ours(app, agent, token);
    }
    let world = app.gate.world();
    let issuers = &world.compiled.declared().issuers;
    let known = issuers.iter().find(|(_, declared)| declared.url == issuer);
    let (name, declared) = known.ok_or_else(|| {
        let what = "`subject_token` is of an issuer that is not declared";
        Refused::Denied(Code::CredentialInvalid, what.to_owned())
    })?;
    let audience = declared.audience.as_deref().unwrap_or(client.name.as_str());
    let token = of_issuer(app, declared, audience, token).await?;
    let user = subject(name, declared, audience, &token)?;
    Ok(For { user: Some(user), told: Told::IdToken, subjects: Vec::new() })
}

fn invalid(error: &CredentialError) -> Refused {
    Refused::Denied(error.code(), format!("`subject_token`: {error}"))
}

/// Verifies an ID token, with newer keys if its key is not among those that are kept.
async fn of_issuer(
    app: &App,
    declared: &HumanIssuer,
    audience: &str,
    token: &str,
) -> Result<Foreign, Refused> {
    let expected = Expected {
        issuer: &declared.url,
        audience,
        types: &["JWT"],
        max_age: Some(limits::ID_TOKEN_AGE),
    };
    let unavailable = |error: upstream::IssuerError| {
        let what = "the keys of the human's issuer cannot be had, so nothing was opened: try again";
        tracing::warn!(%error, "a human's token could not be verified");
        Refused::Unrecorded(Code::IssuerUnavailable, what.to_owned())
    };
    let now = || app.clock.now();
    let keys = app.issuers.keys(&declared.url, Need::Fresh, now).await.map_err(unavailable)?;
    match verify_foreign(token, &keys, &expected, now()) {
        Err(CredentialError::UnknownKey { .. }) => {
            let keys = app.issuers.keys(&declared.url, Need::Newer, now).await;
            let keys = keys.map_err(unavailable)?;
            verify_foreign(token, &keys, &expected, now()).map_err(|error| invalid(&error))
        }
        verified => verified.map_err(|error| invalid(&error)),
    }
}

/// Whom an ID token names. E-mail and names match nothing (S20).
fn subject(
    issuer: &Name,
    declared: &HumanIssuer,
    audience: &str,
    token: &Foreign,
) -> Result<UserName, Refused> {
    let refused = |what: &str| Refused::Denied(Code::CredentialInvalid, what.to_owned());
    if token.claim("azp").is_some_and(|party| party.as_str() != Some(audience)) {
        return Err(refused("`subject_token` was given to another party"));
    }
    let subject = match declared.subject.as_str() {
        "sub" => Some(token.subject()),
        claim => token.claim(claim).and_then(canonical::Value::as_str),
    };
    let subject = subject.ok_or_else(|| refused("`subject_token` does not name the human"))?;
    UserName::of_issuer(issuer, subject)
        .map_err(|_| refused("`subject_token` names the human by more than visible ASCII"))
}

/// A token of Ambit's that names a human, of the agent whose tasks are opened.
fn of_ours(app: &App, agent: &AgentName, token: &str) -> Result<For, Refused> {
    let world = app.gate.world();
    let issuer = &app.gate.settings().issuer;
    let verified = Verified::verify(token, &world.keys, issuer, app.clock.now());
    let verified = verified.map_err(|error| invalid(&error))?;
    let refused = |code, what: &str| Refused::Denied(code, what.to_owned());
    let user = verified.user().cloned().filter(|_| verified.agent() == agent);
    let user = user.ok_or_else(|| {
        refused(Code::CredentialInvalid, "`subject_token` names no human for this agent")
    })?;
    let task = verified.task().map(|task| subject_digest("task", &task.to_string()));
    let token = subject_digest("token", &verified.token().to_string());
    let subjects: Vec<Digest> = task.into_iter().chain([token]).collect();
    if subjects.iter().any(|subject| app.gate.is_revoked(subject)) {
        return Err(refused(Code::Revoked, "`subject_token` was revoked"));
    }
    Ok(For { user: Some(user), told: Told::AccessToken, subjects })
}
