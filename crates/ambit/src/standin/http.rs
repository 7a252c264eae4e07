//! The demo's directory: an HTTP API that resets passwords for whoever shows its credential.

use super::{Seen, Told};
use crate::cli::Kind;
use hyper::StatusCode;
use serde_json::{Value, json};

/// `POST /users/{user}/password-reset` and `GET /users/{user}`.
pub(crate) fn handle(seen: &Seen, _: Kind) -> Told {
    let segments: Vec<&str> = seen.path.split('/').skip(1).collect();
    match (seen.method.as_str(), segments.as_slice()) {
        ("POST", ["users", user, "password-reset"]) => {
            let link = format!("https://directory.example/reset/{user}/7f3a91");
            let body = json!({ "user": user, "link": link });
            Told::new(StatusCode::OK, body, json!({ "did": "password-reset", "user": user }))
        }
        ("GET", ["users", user]) => {
            let body = json!({ "user": user, "mail": format!("{user}@corp.example") });
            Told::new(StatusCode::OK, body, json!({ "did": "read", "user": user }))
        }
        _ => Told::new(StatusCode::NOT_FOUND, json!({ "error": "not found" }), Value::Null),
    }
}
