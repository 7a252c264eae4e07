//! The HTTP edge: routes, headers, and JSON answers.

use crate::{
    authenticate::Shown,
    certificate::Certified,
    directory::Directory,
    enrol::Enrolled,
    error::IssueError,
    exchange::ACCESS_TOKEN,
    issue::{Issued, Issuer},
    limits::{BODY_BYTES, CACHE_SECONDS},
    metadata::metadata,
    settings::Settings,
};
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
    routing::{get, post},
};
use canonical::{Writer, WriterError};
use http::{HeaderValue, StatusCode, header};
use identity::{Certificate, PeerCertificate};
use ledger::Journal;
use model::Peer;
use std::sync::Arc;

/// The issuer's routes: `POST /oauth/token`, `/oauth/revoke`, `/oauth/introspect`, `/oauth/enrol` and
/// `/oauth/certificate`, `GET /oauth/jwks` and `GET /.well-known/oauth-authorization-server`.
pub fn router(directory: Arc<dyn Directory>, journal: Journal, settings: Settings) -> Router {
    Router::new()
        .route("/oauth/token", post(token))
        .route("/oauth/revoke", post(revoke))
        .route("/oauth/enrol", post(enrol))
        .route("/oauth/introspect", post(introspect))
        .route("/oauth/certificate", post(certificate))
        .route("/oauth/jwks", get(jwks))
        .route("/.well-known/oauth-authorization-server", get(well_known))
        .with_state(Issuer::new(directory, journal, settings))
}

async fn token(State(issuer): State<Issuer>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let issued = match read(body).await {
        Ok(body) => {
            let certificate = certificate_of(&head);
            issuer.token(shown(&head, certificate.as_deref()), &body).await
        }
        Err(error) => Err(issuer.too_large(error)),
    };
    let mut response = match issued {
        Ok(issued) => answer_or_fail(StatusCode::OK, write_token(&issued)),
        Err(error) => refusal(&error),
    };
    bring_nonce(&issuer, &mut response);
    response
}

/// RFC 9449 section 8.2: every answer brings the nonce for the next proof.
fn bring_nonce(issuer: &Issuer, response: &mut Response) {
    let nonce = issuer.directory.nonce_key().current(issuer.directory.now());
    if let Ok(nonce) = HeaderValue::try_from(nonce) {
        response.headers_mut().insert("dpop-nonce", nonce);
    }
}

async fn enrol(State(issuer): State<Issuer>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let enrolled = match read(body).await {
        Ok(body) => issuer.enrol(&head.headers, &body).await,
        Err(error) => Err(issuer.too_large(error)),
    };
    let mut response = match enrolled {
        Ok(enrolled) => answer_or_fail(StatusCode::OK, write_enrolled(&enrolled)),
        Err(error) => refusal(&error),
    };
    bring_nonce(&issuer, &mut response);
    response
}

fn write_enrolled(enrolled: &Enrolled) -> Result<Vec<u8>, WriterError> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    writer.begin_object().field_str("agent", enrolled.agent.as_str());
    writer.field_str("instance", &enrolled.instance).end();
    writer.finish()?;
    Ok(out)
}

async fn revoke(State(issuer): State<Issuer>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let revoked = match read(body).await {
        Ok(body) => {
            let certificate = certificate_of(&head);
            issuer.revoke(shown(&head, certificate.as_deref()), &body).await
        }
        Err(error) => Err(issuer.too_large(error)),
    };
    let mut response = match revoked {
        Ok(()) => answer(StatusCode::OK, Vec::new()),
        Err(error) => refusal(&error),
    };
    bring_nonce(&issuer, &mut response);
    response
}

async fn introspect(State(issuer): State<Issuer>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let told = match read(body).await {
        Ok(body) => {
            let certificate = certificate_of(&head);
            issuer.introspect(shown(&head, certificate.as_deref()), &body).await
        }
        Err(error) => Err(issuer.too_large(error)),
    };
    let mut response = match told {
        Ok(told) => answer(StatusCode::OK, told),
        Err(error) => refusal(&error),
    };
    bring_nonce(&issuer, &mut response);
    response
}

async fn certificate(State(issuer): State<Issuer>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let certified = match read(body).await {
        Ok(body) => {
            let certificate = certificate_of(&head);
            issuer.certificate(shown(&head, certificate.as_deref()), &body).await
        }
        Err(error) => Err(issuer.too_large(error)),
    };
    match certified {
        Ok(certified) => answer_or_fail(StatusCode::OK, write_certificate(&issuer, &certified)),
        Err(error) => refusal(&error),
    }
}

/// The certificate of the connection, as it is worth once the body is there: a request is decided on then.
fn certificate_of(head: &http::request::Parts) -> Option<Arc<Certificate>> {
    head.extensions.get::<PeerCertificate>().and_then(PeerCertificate::now)
}

/// What a request shows beside its body: headers, and what the listener knows of the connection.
fn shown<'a>(head: &'a http::request::Parts, certificate: Option<&'a Certificate>) -> Shown<'a> {
    Shown { headers: &head.headers, certificate, peer: head.extensions.get::<Peer>().copied() }
}

async fn jwks(State(issuer): State<Issuer>) -> Response {
    let keys = issuer.directory.verification_keys().jwks(issuer.directory.now());
    cached(answer(StatusCode::OK, keys.into_bytes()))
}

async fn well_known(State(issuer): State<Issuer>) -> Response {
    cached(answer_or_fail(StatusCode::OK, metadata(&issuer.settings)))
}

impl Issuer {
    fn too_large(&self, error: IssueError) -> IssueError {
        self.directory.refused_before_authentication(error.code(), error.reason());
        error
    }
}

async fn read(body: Body) -> Result<axum::body::Bytes, IssueError> {
    let refused = IssueError::Form("send a body of at most 48 KiB");
    axum::body::to_bytes(body, BODY_BYTES).await.map_err(|_| refused)
}

fn write_token(issued: &Issued) -> Result<Vec<u8>, WriterError> {
    let mut out = Vec::with_capacity(1024);
    let mut writer = Writer::new(&mut out);
    writer.begin_object().field_str("access_token", &issued.token);
    if let Some(actions) = &issued.actions {
        writer.field_raw("authorization_details", &identity::write_details(actions));
    }
    writer.field_int("expires_in", issued.expires_in);
    if issued.exchanged {
        writer.field_str("issued_token_type", ACCESS_TOKEN);
    }
    writer.field_str("token_type", if issued.by_proof { "DPoP" } else { "Bearer" }).end();
    writer.finish()?;
    Ok(out)
}

fn write_certificate(issuer: &Issuer, certified: &Certified) -> Result<Vec<u8>, WriterError> {
    let expires_in = certified.expires.since(issuer.directory.now()).as_seconds();
    let mut out = Vec::with_capacity(2048);
    let mut writer = Writer::new(&mut out);
    writer.begin_object().field_str("authority", &certified.authority);
    writer.field_str("certificate", &certified.certificate);
    writer.field_int("expires_in", expires_in);
    writer.field_str("spiffe_id", certified.spiffe_id.as_str()).end();
    writer.finish()?;
    Ok(out)
}

fn refusal(error: &IssueError) -> Response {
    let (status, name) = error.answer();
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    writer.begin_object().field_str("error", name);
    writer.field_str("error_description", &error.description()).end();
    let mut response = answer_or_fail(status, writer.finish().map(|()| out));
    let headers = response.headers_mut();
    if status == StatusCode::UNAUTHORIZED {
        // RFC 9110 section 15.5.2 asks for a challenge; `Basic` is for who came with a scoped key (RFC 6749 section 5.2).
        let of_key = matches!(error, IssueError::ScopedKey | IssueError::ScopedKeyEnded);
        let challenge = if of_key { "Basic realm=\"ambit\"" } else { "private_key_jwt" };
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
    }
    response
}

fn answer_or_fail(status: StatusCode, body: Result<Vec<u8>, WriterError>) -> Response {
    match body {
        Ok(body) => answer(status, body),
        Err(_) => answer(StatusCode::INTERNAL_SERVER_ERROR, br#"{"error":"server_error"}"#.into()),
    }
}

/// A JSON answer that nobody keeps (RFC 6749 §5.1).
fn answer(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// Public keys and metadata may be kept for a while.
fn cached(mut response: Response) -> Response {
    if response.status() == StatusCode::OK {
        let headers = response.headers_mut();
        headers.remove(header::PRAGMA);
        if let Ok(value) = HeaderValue::try_from(format!("public, max-age={CACHE_SECONDS}")) {
            headers.insert(header::CACHE_CONTROL, value);
        }
    }
    response
}
