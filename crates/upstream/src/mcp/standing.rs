//! What belongs to a conversation rather than to a call: its standing stream, its log level, its end.

use super::{
    Conversation, Mcp, Messages,
    caller::Caller,
    message::{self, Request},
    stream::Kind,
    transport::{Dialect, Line, Opened},
};
use crate::{Client, Fault, UpstreamCredential};
use canonical::Value;
use http::HeaderMap;
use model::{AgentName, Code, UserName};

/// Who holds a conversation with an upstream.
#[derive(Clone, Debug)]
pub struct Party {
    /// The agent.
    pub agent: AgentName,
    /// The human that it acts for.
    pub user: Option<UserName>,
    /// The conversation.
    pub conversation: Conversation,
}

impl Mcp {
    /// What an upstream sends unasked: in a legacy session its standing stream, in revision 2026-07-28 the answer to
    /// `subscriptions/listen` with the notifications wanted. `None` if it has no such stream.
    pub async fn standing(
        &self,
        client: &Client,
        credential: UpstreamCredential,
        party: &Party,
        wanted: &Value,
    ) -> Result<Option<Messages>, Fault> {
        let line = maintaining(client, credential, party)?;
        let dialect = self.dialect(&line).await.map_err(Fault::before_action)?;
        if dialect != Dialect::Modern {
            let events = line.stream(&dialect, super::events::Place::default()).await?;
            if events.is_none() {
                // It may not know the session any more; whoever asks again gets a new one.
                self.forget(&line, &dialect);
            }
            let kind = Kind::Standing(None);
            return Ok(events.map(|events| Messages::new(line, dialect, kind, events, None)));
        }
        let id = self.next_id();
        let params = message::listen_params(&dialect, wanted)?;
        let method = "subscriptions/listen";
        let request = Request { id, method, name: None, params: &params };
        match line.request(&dialect, &request, &HeaderMap::new()).await? {
            Opened::Events(events) => {
                let kind = Kind::Standing(Some(id));
                Ok(Some(Messages::new(line, dialect, kind, events, None)))
            }
            Opened::Answer(_) | Opened::Refused(..) | Opened::SessionGone => Ok(None),
        }
    }

    /// Tells an upstream in a legacy session how severe a log message must be.
    pub async fn set_level(
        &self,
        client: &Client,
        credential: UpstreamCredential,
        party: &Party,
    ) -> Result<(), Fault> {
        let line = maintaining(client, credential, party)?;
        let Some(level) = party.conversation.level else { return Ok(()) };
        let dialect = self.dialect(&line).await.map_err(Fault::before_action)?;
        if dialect == Dialect::Modern {
            return Ok(());
        }
        let id = self.next_id();
        let params = message::level_params(level.as_str())?;
        let request = Request { id, method: "logging/setLevel", name: None, params: &params };
        line.handshake(&dialect, &request).await.map(drop)
    }

    /// Tells an upstream that nobody answers what it asked.
    pub async fn decline(
        &self,
        client: &Client,
        credential: UpstreamCredential,
        party: &Party,
        reply_to: &Value,
    ) -> Result<(), Fault> {
        let line = maintaining(client, credential, party)?;
        let (dialect, id) = super::transport::of_reply_to(reply_to)?;
        line.tell(&dialect, message::refused(&id)?).await
    }

    /// Ends a client's session at an upstream, if one was opened there.
    pub async fn end(
        &self,
        client: &Client,
        credential: UpstreamCredential,
        party: &Party,
    ) -> Result<(), Fault> {
        let line = maintaining(client, credential, party)?;
        match self.close(&line) {
            Some(dialect) => line.end(&dialect).await,
            None => Ok(()),
        }
    }
}

/// No action departs here, so that only the credential for reading is taken.
fn maintaining(
    client: &Client,
    credential: UpstreamCredential,
    party: &Party,
) -> Result<Line, Fault> {
    if !credential.reads() {
        let what = "the credential was not lent for reading";
        return Err(Fault::ourselves(Code::UpstreamCredential, what));
    }
    let Party { agent, user, conversation } = party;
    Ok(Line {
        client: client.clone(),
        credential,
        caller: Caller::acting(agent, user.as_ref(), conversation.session),
        conversation: *conversation,
        trace: HeaderMap::new(),
    })
}
