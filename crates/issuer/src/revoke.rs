//! Revokes a client's own token (RFC 7009).

use crate::{authenticate::Shown, error::IssueError, issue::Issuer, record::RevokedRecord};
use identity::Verified;

impl Issuer {
    /// Answers `POST /oauth/revoke`. `Ok` says that the token is of no use any more, or never was:
    /// an unknown, foreign or expired token is no error (RFC 7009 §2.2), and another client's is
    /// left alone without a word. When this returns, a token that is revoked is of no use, and what was
    /// under way with it has ended.
    pub(crate) async fn revoke(&self, shown: Shown<'_>, body: &[u8]) -> Result<(), IssueError> {
        let (form, client) = self.admit(shown, body).await?;
        let token = match form.require("token") {
            Ok(token) => token,
            Err(error) => return Err(self.refuse(client, None, error, "revoke").await),
        };
        let url = self.settings.revocation_endpoint();
        let proven = self.prove_key(&client, shown, &url, "revoke").await?;
        let keys = self.directory.verification_keys();
        let now = self.directory.now();
        let error = match Verified::verify(token, &keys, self.settings.issuer(), now) {
            Ok(verified) if *verified.agent() == client.agent => {
                let origin = self.origin(client.clone(), self.directory.control_revision());
                let (token, expires) = (verified.token(), verified.expires());
                let record = RevokedRecord { origin, token, expires, proven };
                if let Err(error) = self.record(record).await {
                    return Err(self.unproven(client, &error, "revoke").await);
                }
                self.directory.stopped_calls_ended().await;
                return Ok(());
            }
            Ok(_) => IssueError::OtherClient,
            Err(error) => IssueError::Token(error),
        };
        let answer = self.refuse(client, None, error.clone(), "revoke").await;
        if answer == error { Ok(()) } else { Err(answer) }
    }
}
