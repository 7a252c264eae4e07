//! Tells a legacy upstream that nobody waits for a call any more.

use super::{
    message,
    transport::{Dialect, Line},
};
use crate::limits;

/// Sends `notifications/cancelled` when dropped, unless the call was answered. In the modern
/// revision closing the connection says the same, and nothing is sent.
pub(super) struct Cancellation(Option<Notice>);

struct Notice {
    line: Line,
    dialect: Dialect,
    id: i64,
}

impl Cancellation {
    pub(super) fn arm(line: &Line, dialect: &Dialect, id: i64) -> Cancellation {
        match dialect {
            Dialect::Session { .. } => {
                let notice = Notice { line: line.again(), dialect: dialect.clone(), id };
                Cancellation(Some(notice))
            }
            Dialect::Modern | Dialect::Opening => Cancellation(None),
        }
    }

    pub(super) fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for Cancellation {
    fn drop(&mut self) {
        let Some(Notice { line, dialect, id }) = self.0.take() else { return };
        let body = message::cancelled_params(id)
            .and_then(|params| message::notification("notifications/cancelled", Some(&params)));
        let (Ok(body), Ok(runtime)) = (body, tokio::runtime::Handle::try_current()) else { return };
        runtime.spawn(async move {
            let told = tokio::time::timeout(limits::CANCEL_NOTICE, line.tell(&dialect, body)).await;
            if !matches!(told, Ok(Ok(()))) {
                tracing::debug!("an upstream could not be told of a cancellation");
            }
        });
    }
}

impl std::fmt::Debug for Cancellation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Cancellation").field(&self.0.as_ref().map(|notice| notice.id)).finish()
    }
}
