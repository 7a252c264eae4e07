//! Which revision an upstream speaks, found out once and kept.

use super::{
    LEGACY, MODERN, Mcp,
    message::{self, Request},
    transport::{self, Dialect, Line, Opened},
};
use crate::{Fault, Target};
use canonical::Value;
use http::StatusCode;
use model::{Code, UpstreamName};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

const HEADER_MISMATCH: i64 = -32020;
const CAPABILITY_MISSING: i64 = -32021;
const VERSION_UNSUPPORTED: i64 = -32022;

/// How an upstream is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Era {
    Modern,
    Legacy,
    /// Each client is spoken for in its own revision.
    Both,
}

/// What was found out, by upstream and URL.
#[derive(Debug, Default)]
pub(super) struct Eras(Mutex<BTreeMap<UpstreamName, (String, Era)>>);

/// What each upstream last said of itself: its capabilities and instructions.
#[derive(Debug, Default)]
pub(super) struct Abouts(Mutex<BTreeMap<UpstreamName, Value>>);

impl Eras {
    fn get(&self, target: &Target) -> Option<Era> {
        let eras = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        eras.get(target.name()).filter(|(url, _)| url == target.url().as_str()).map(|(_, era)| *era)
    }

    fn keep(&self, target: &Target, era: Era) {
        let mut eras = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        eras.insert(target.name().clone(), (target.url().to_string(), era));
    }

    /// The next call finds out again.
    pub(super) fn forget(&self, target: &Target) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(target.name());
    }
}

impl Mcp {
    /// The dialect for the next message on this line; opens a legacy session where one is needed.
    pub(super) async fn dialect(&self, line: &Line) -> Result<Dialect, Fault> {
        let target = line.credential.target();
        let era = match self.eras.get(target) {
            Some(era) => era,
            // Once for each upstream: what it needs does not lie in the future of each call.
            None => Box::pin(self.discover(line)).await?,
        };
        let in_session = line.conversation.session.is_some();
        let dialect = match era {
            Era::Both if in_session => self.session(line).await?,
            Era::Modern | Era::Both => Dialect::Modern,
            Era::Legacy => self.session(line).await?,
        };
        // A legacy upstream is one only after it has opened a session.
        self.eras.keep(target, era);
        Ok(dialect)
    }

    /// What the upstream last said of itself; null if it never did.
    pub(super) fn about(&self, target: &Target) -> Value {
        let abouts = self.abouts.0.lock().unwrap_or_else(PoisonError::into_inner);
        abouts.get(target.name()).cloned().unwrap_or(Value::Null)
    }

    pub(super) fn note_about(&self, target: &Target, about: Value) {
        let mut abouts = self.abouts.0.lock().unwrap_or_else(PoisonError::into_inner);
        abouts.insert(target.name().clone(), about);
    }

    async fn discover(&self, line: &Line) -> Result<Era, Fault> {
        let params = message::plain_params(&Dialect::Modern, None)?;
        let id = self.next_id();
        let request = Request { id, method: "server/discover", name: None, params: &params };
        match line.handshake(&Dialect::Modern, &request).await {
            Ok((_, opened)) => {
                if let Opened::Answer(Ok(about)) = &opened {
                    self.note_about(line.credential.target(), about.clone());
                }
                of_discovery(opened)
            }
            // An answer that is no JSON-RPC at all comes from something older.
            Err(fault) if fault.code() == Code::UpstreamInvalid => Ok(Era::Legacy),
            Err(fault) => Err(fault),
        }
    }
}

/// What the answer to `server/discover` says about its sender.
fn of_discovery(opened: Opened) -> Result<Era, Fault> {
    match opened {
        Opened::Answer(Ok(result)) => common(result.get("supportedVersions")),
        Opened::Answer(Err(error)) | Opened::Refused(_, Some(error)) => of_error(&error),
        Opened::Refused(status, None) if gives_up(status) => Err(transport::refusal(status)),
        Opened::Refused(_, None) | Opened::SessionGone | Opened::Events(_) => Ok(Era::Legacy),
    }
}

fn of_error(error: &Value) -> Result<Era, Fault> {
    match error.get("code").and_then(Value::as_i64) {
        Some(VERSION_UNSUPPORTED) => common(error.pointer("/data/supported")),
        Some(code @ (HEADER_MISMATCH | CAPABILITY_MISSING)) => Err(Fault::upstream(
            Code::UpstreamInvalid,
            format!("the upstream answered discovery with error {code}"),
        )),
        _ => Ok(Era::Legacy),
    }
}

/// The era of the best revision that both sides speak.
fn common(supported: Option<&Value>) -> Result<Era, Fault> {
    let versions = match supported {
        Some(Value::Array(versions)) => versions.as_slice(),
        _ => &[],
    };
    let speaks = |version: &str| versions.iter().any(|one| one.as_str() == Some(version));
    match (speaks(MODERN), LEGACY.iter().any(|version| speaks(version))) {
        (true, true) => Ok(Era::Both),
        (true, false) => Ok(Era::Modern),
        (false, true) => Ok(Era::Legacy),
        (false, false) => {
            let what = "the upstream speaks no revision of MCP that Ambit speaks";
            Err(Fault::upstream(Code::UpstreamInvalid, what))
        }
    }
}

/// Whether a status says something about the way to the upstream rather than its revision.
fn gives_up(status: StatusCode) -> bool {
    let codes = [
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ];
    crate::client::is_redirect(status) || codes.contains(&status)
}
