//! An issuer that changes its keys, and one that goes away.

use super::*;
use crate::Client;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

const KEY: &str =
    r#"{"kty":"OKP","crv":"Ed25519","x":"1UIH2hlJd9z0atv-wrwudbUtWopCGE_t_cAAJPDj6No"}"#;

/// Answers while `up` is not zero; counts the sets that it gave.
async fn issuer(up: Arc<AtomicUsize>, given: Arc<AtomicUsize>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = format!("http://{}", listener.local_addr().unwrap());
    let address = own.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 4096];
            let read = stream.read(&mut head).await.unwrap();
            let head = String::from_utf8_lossy(&head[..read]).into_owned();
            let body = if head.contains("/.well-known/") {
                format!(r#"{{"issuer":"{own}","jwks_uri":"{own}/keys"}}"#)
            } else {
                given.fetch_add(1, Ordering::SeqCst);
                format!(r#"{{"keys":[{KEY}]}}"#)
            };
            let status = if up.load(Ordering::SeqCst) == 0 { 503 } else { 200 };
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn keys_are_kept_renewed_and_not_believed_for_ever() {
    let (up, given) = (Arc::new(AtomicUsize::new(1)), Arc::new(AtomicUsize::new(0)));
    let issuer = issuer(Arc::clone(&up), Arc::clone(&given)).await;
    let issuers = Issuers::new(Client::new(crate::Settings::default()).unwrap().courier());
    let clock = AtomicI64::new(1_795_000_000);
    let asked = async |need: Need, later: i64| {
        clock.fetch_add(later, Ordering::SeqCst);
        let now = || Timestamp::from_seconds(clock.load(Ordering::SeqCst));
        (issuers.keys(&issuer, need, now).await.is_ok(), given.load(Ordering::SeqCst))
    };
    assert_eq!(asked(Need::Fresh, 0).await, (true, 1));
    assert_eq!(asked(Need::Fresh, 9).await, (true, 1));
    assert_eq!(asked(Need::Newer, 0).await, (true, 1), "strangers do not make it ask again");
    assert_eq!(asked(Need::Newer, 1).await, (true, 2), "the issuer may have changed its keys");
    assert_eq!(asked(Need::Fresh, 299).await, (true, 2));
    assert_eq!(asked(Need::Fresh, 1).await, (true, 3));
    up.store(0, Ordering::SeqCst);
    assert!(asked(Need::Fresh, 300).await.0, "an issuer that is away stops nobody");
    assert!(asked(Need::Fresh, 3_299).await.0);
    assert!(!asked(Need::Fresh, 1).await.0, "for an hour");
    up.store(1, Ordering::SeqCst);
    assert!(!asked(Need::Fresh, 8).await.0, "it was asked a moment ago");
    assert!(asked(Need::Fresh, 1).await.0);
}

#[tokio::test]
async fn many_at_once_ask_once() {
    let (up, given) = (Arc::new(AtomicUsize::new(1)), Arc::new(AtomicUsize::new(0)));
    let issuer = issuer(up, Arc::clone(&given)).await;
    let issuers = Issuers::new(Client::new(crate::Settings::default()).unwrap().courier());
    let now = || Timestamp::from_seconds(1_795_000_000);
    let all =
        futures_util::future::join_all((0..16).map(|_| issuers.keys(&issuer, Need::Fresh, now)));
    assert!(all.await.iter().all(Result::is_ok));
    assert_eq!(given.load(Ordering::SeqCst), 1);
}
