//! The keys of a foreign issuer: its discovery document first (OpenID Connect Discovery 1.0), then the JWK set it names.

use super::Courier;
use crate::{Fault, limits};
use bytes::Bytes;
use canonical::{Limits, Value};
use http::StatusCode;
use model::Code;
use std::time::Duration;
use url::{Host, Url};

/// LIMIT: a discovery document is a page of JSON.
const DOCUMENT: Limits = Limits { bytes: limits::ISSUER_DOCUMENT, depth: 8, members: 4_096 };

impl Courier {
    /// Fetches the JWK set of an issuer that the operator named. `issuer` is compared with what its document says,
    /// byte by byte; nothing is redirected; plain HTTP is for loopback alone.
    pub async fn key_set(&self, issuer: &str, within: Duration) -> Result<Bytes, Fault> {
        let document = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let body = self.fetch(&document, within).await?;
        let wrong = |what: String| Err(Fault::upstream(Code::IssuerUnavailable, what));
        let Ok(found) = canonical::parse(&body, &DOCUMENT) else {
            return wrong(format!("`{document}` is not acceptable JSON"));
        };
        let text = |name: &str| found.get(name).and_then(Value::as_str);
        if text("issuer") != Some(issuer) {
            return wrong(format!("`{document}` is of another issuer than `{issuer}`"));
        }
        match text("jwks_uri") {
            Some(keys) => self.fetch(keys, within).await,
            None => wrong(format!("`{document}` names no `jwks_uri`")),
        }
    }

    async fn fetch(&self, url: &str, within: Duration) -> Result<Bytes, Fault> {
        let unavailable = |what: &str| {
            Fault::upstream(Code::IssuerUnavailable, format!("`{url}` cannot be had: {what}"))
        };
        if !is_private(url) {
            return Err(unavailable("give an https URL; http is for loopback only"));
        }
        let answer = self.get(url, limits::ISSUER_DOCUMENT, within).await;
        let (status, body) = answer.map_err(|fault| unavailable(fault.detail()))?;
        if status == StatusCode::OK { Ok(body) } else { Err(unavailable(status.as_str())) }
    }
}

/// Whether nobody between here and there can change what comes.
fn is_private(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => true,
        ("http", Some(Host::Ipv4(ip))) => ip.is_loopback(),
        ("http", Some(Host::Ipv6(ip))) => ip.is_loopback(),
        ("http", Some(Host::Domain(name))) => name == "localhost",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Client;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    /// Answers each request, on a connection of its own, with the next of these bodies.
    async fn issuer(bodies: impl Fn(&str) -> Vec<(u16, String)>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let bodies = bodies(&address);
        tokio::spawn(async move {
            for (status, body) in bodies {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = [0; 4096];
                let _read = stream.read(&mut head).await.unwrap();
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        address
    }

    async fn fetched(issuer: &str) -> Result<Bytes, Fault> {
        let courier = Client::new(crate::Settings::default()).unwrap().courier();
        courier.key_set(issuer, Duration::from_secs(5)).await
    }

    #[tokio::test]
    async fn the_set_is_where_the_issuers_own_document_says() {
        let document =
            |named: String, at: &str| format!(r#"{{"issuer":"{named}","jwks_uri":"{at}/keys"}}"#);
        let good = issuer(|own| vec![(200, document(own.into(), own)), (200, "{}".into())]).await;
        assert_eq!(fetched(&good).await.unwrap(), "{}");
        let refused: [(&str, String); 5] = [
            ("another issuer", issuer(|own| vec![(200, document(format!("{own}/"), own))]).await),
            ("no `jwks_uri`", issuer(|own| vec![(200, format!(r#"{{"issuer":"{own}"}}"#))]).await),
            ("not acceptable JSON", issuer(|_| vec![(200, "<html>".into())]).await),
            ("302", issuer(|_| vec![(302, String::new())]).await),
            ("https", issuer(|own| vec![(200, document(own.into(), "http://keys.example"))]).await),
        ];
        for (why, issuer) in refused {
            let fault = fetched(&issuer).await.unwrap_err();
            assert_eq!(fault.code(), Code::IssuerUnavailable, "{why}");
            assert!(fault.detail().contains(why), "{why}: {fault}");
        }
        let fault = fetched("http://issuer.example").await.unwrap_err();
        assert!(fault.detail().contains("loopback only"), "{fault}");
    }
}
