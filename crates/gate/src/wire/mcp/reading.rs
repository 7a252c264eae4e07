//! The one message of a request's body.

use super::{
    credential,
    rpc::{self, Message, Wrong},
};
use crate::limits;
use ::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use model::Code;
use std::error::Error;

/// Reads it, within a limit and a time.
pub(super) async fn read<B>(
    headers: &HeaderMap,
    body: B,
    limit: usize,
) -> Result<Message, (Wrong, Code)>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let wrong = |status, what: &str| Wrong::new(status, rpc::INVALID_REQUEST, what);
    let kind = credential::single(headers, header::CONTENT_TYPE.as_str()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json")
        || headers.contains_key(header::CONTENT_ENCODING)
    {
        let what = "send `content-type: application/json`, without content encoding";
        return Err((wrong(StatusCode::UNSUPPORTED_MEDIA_TYPE, what), Code::ProtocolInvalid));
    }
    let collected = Limited::new(body, limit).collect();
    let bytes = match tokio::time::timeout(limits::REQUEST_BODY_TIME, collected).await {
        Err(_) => {
            let what = "the body did not arrive in time";
            return Err((wrong(StatusCode::REQUEST_TIMEOUT, what), Code::ProtocolInvalid));
        }
        Ok(Err(_)) => {
            let what = format!("the body is longer than {limit} bytes: send less");
            return Err((wrong(StatusCode::PAYLOAD_TOO_LARGE, &what), Code::BodyTooLarge));
        }
        Ok(Ok(collected)) => collected.to_bytes(),
    };
    rpc::read(&bytes)
}
