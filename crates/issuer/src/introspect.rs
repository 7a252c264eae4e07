//! Says whether a token is in force, and what it says (RFC 7662).
//!
//! Those are told who may hold the token: its own client, and the agents that it lists in `may_act`. Everybody else gets
//! the answer of a token that never was.

use crate::{
    authenticate::Shown,
    delegate::{is_standing, subjects_of},
    error::IssueError,
    issue::Issuer,
    record::IntrospectedRecord,
};
use identity::Verified;
use ledger::subject_digest;
use model::TaskId;

/// The whole answer where nothing is to be told (RFC 7662 §2.2).
const INACTIVE: &[u8] = br#"{"active":false}"#;

impl Issuer {
    /// Answers `POST /oauth/introspect`. The client's assertion is used up by the record of the question.
    pub(crate) async fn introspect(
        &self,
        shown: Shown<'_>,
        body: &[u8],
    ) -> Result<Vec<u8>, IssueError> {
        let (form, client) = self.admit(shown, body).await?;
        let token = match form.require("token") {
            Ok(token) => token,
            Err(error) => return Err(self.refuse(client, None, error, "introspect").await),
        };
        let url = self.settings.introspection_endpoint();
        let proven = self.prove_key(&client, shown, &url, "introspect").await?;
        let keys = self.directory.verification_keys();
        let now = self.directory.now();
        let verified = Verified::verify(token, &keys, self.settings.issuer(), now).ok();
        let told = verified.filter(|token| {
            let may_hold =
                *token.agent() == client.agent || token.may_act().contains(&client.agent);
            may_hold && self.is_in_force(token)
        });
        let origin = self.origin(client.clone(), self.directory.control_revision());
        let token = told.as_ref().map(Verified::token);
        if let Err(error) = self.record(IntrospectedRecord { origin, token, proven }).await {
            return Err(self.unproven(client, &error, "introspect").await);
        }
        match told {
            None => Ok(INACTIVE.to_vec()),
            Some(token) => {
                token.introspection(self.settings.issuer()).map_err(|_| IssueError::Mint)
            }
        }
    }

    /// Whether a door would take the token now, as far as it does not depend on the request.
    fn is_in_force(&self, token: &Verified) -> bool {
        let directory = self.directory.as_ref();
        let Ok(agent) = is_standing(directory, token.agent(), token.version()) else {
            return false;
        };
        let Some(door) = agent.doors.get(token.audience()) else { return false };
        let named = [
            ("agent", Some(token.agent().to_string())),
            ("version", Some(token.version().to_string())),
            ("owner", Some(agent.owner.to_string())),
            ("all", Some("*".to_owned())),
            ("instance", token.instance().map(str::to_owned)),
            ("key", token.scoped_key().map(str::to_owned)),
            ("task", token.task().map(|task| task.to_string())),
            ("user", token.user().map(ToString::to_string)),
            ("token", Some(token.token().to_string())),
            ("upstream", door.as_ref().map(ToString::to_string)),
        ];
        let stopped = named.iter().any(|(kind, name)| {
            name.as_ref().is_some_and(|name| directory.is_revoked(&subject_digest(kind, name)))
        });
        let chain_stands = token.chain().iter().all(|ancestor| {
            is_standing(directory, &ancestor.agent, ancestor.version).is_ok()
                && !subjects_of(ancestor).any(|subject| directory.is_revoked(&subject))
        });
        let is_ended =
            |task: &TaskId| directory.is_revoked(&subject_digest("task", &task.to_string()));
        let task_goes_on = token.task().is_none_or(|task| {
            directory.task(task).is_some_and(|task| {
                task.expires > directory.now() && !task.within.iter().any(is_ended)
            })
        });
        !stopped && chain_stands && task_goes_on
    }
}
