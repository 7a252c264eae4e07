//! Where an upstream's credential goes: never to an address that it was not given for, never to Ambit itself, never to
//! a server that cannot show who it is.

use crate::{
    peers::{answer, listen},
    raw,
};
use anyhow::{Context as _, Result, ensure};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use testkit::process::{Home, StandIn, free_port};
use testkit::upstream::mcp::Era;

const SECRET: &str = "upstream-secret-77ab1";

type Seen = Arc<Mutex<Vec<String>>>;

fn config(upstreams: &str, names: &str) -> String {
    format!(
        "version: 1\nhumans:\n  people:\n    dana: {{ groups: [it] }}\nagents:\n  reader:\n    purpose: Read\n    owner: group:it\n    \
         boundary: all\n    credentials: {{ proof: none }}\nupstreams:\n{upstreams}boundaries:\n  all: {{ upstreams: [{names}] }}\n"
    )
}

fn http(name: &str, url: &str, credential: bool) -> String {
    let credential = if credential { "    credential: env:AMBIT_SECRET_BANK\n" } else { "" };
    format!(
        "  {name}:\n    http: {url}\n{credential}    actions:\n      fast: {{ route: GET /fast, effect: read, risk: low }}\n      \
         health: {{ route: GET /healthz, effect: read, risk: low }}\n"
    )
}

/// A server that notes what comes and answers as an API would.
fn server() -> Result<(String, Seen)> {
    let seen = Seen::default();
    let (address, _) = listen(Arc::clone(&seen), |stream, _| answer(stream, "200 OK", "", "{}"))?;
    Ok((address, seen))
}

fn count(seen: &Seen) -> usize {
    seen.lock().unwrap_or_else(PoisonError::into_inner).len()
}

fn heads(seen: &Seen) -> String {
    seen.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
}

/// A GET at an upstream's door by the one agent.
fn get(home: &Home, upstream: &str, path: &str) -> Result<raw::Back> {
    let token = home.token("reader", &home.http_door(upstream), &[])?;
    let address = home.front().replace("http://", "");
    let headers = [
        format!("host: {address}"),
        format!("authorization: Bearer {token}"),
        "connection: close".into(),
    ];
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let line = format!("GET /http/{upstream}/{path} HTTP/1.1");
    raw::send(&address, &raw::request(&line, &headers, ""), raw::PATIENCE)
}

#[test]
fn a_changed_address_gets_no_credential_until_it_is_given_again() -> Result<()> {
    let (bank, bank_seen) = server()?;
    let (evil, evil_seen) = server()?;
    let (good, bad) = (format!("http://{bank}"), format!("http://{evil}"));
    let home = Home::new(&config(&http("bank", &good, true), "bank"))?
        .with_secret("AMBIT_SECRET_BANK", SECRET);
    let ambit = home.start()?;
    ensure!(get(&home, "bank", "fast")?.status == 200);
    ensure!(heads(&bank_seen).contains(SECRET));
    let file = home.path().join("ambit.yaml");
    let apply = |text: String| -> Result<serde_json::Value> {
        std::fs::write(&file, text)?;
        home.json(&["apply"])
    };
    let other_name = format!("http://localhost:{}", bank.rsplit(':').next().unwrap_or_default());
    let attacks = [
        ("another port", config(&http("bank", &bad, true), "bank"), "bank"),
        ("another name of the host", config(&http("bank", &other_name, true), "bank"), "bank"),
        (
            "another upstream with the same secret",
            config(&(http("bank", &good, true) + &http("twin", &bad, true)), "bank, twin"),
            "twin",
        ),
        (
            "a map",
            config(
                &http("bank", &bad, true)
                    .replace("env:AMBIT_SECRET_BANK", "{ secret: env:AMBIT_SECRET_BANK }"),
                "bank",
            ),
            "bank",
        ),
    ];
    for (what, text, upstream) in attacks {
        // Removed and declared again elsewhere is changed too.
        apply(config(&http("nothing", &good, false), "nothing"))?;
        let applied = apply(text)?;
        ensure!(
            applied.pointer("/credentials_withheld/0").and_then(|name| name.as_str())
                == Some(upstream),
            "{what}: {applied}"
        );
        let before = count(&bank_seen);
        let back = get(&home, upstream, "fast")?;
        ensure!(
            back.status == 503 && back.text.contains("upstream_credential"),
            "{what}: {back:?}"
        );
        ensure!(
            count(&evil_seen) == 0 && count(&bank_seen) == before,
            "{what}: something was sent"
        );
    }
    // Back where it was given for, it goes at once: nothing was widened.
    apply(config(&http("bank", &good, true), "bank"))?;
    ensure!(get(&home, "bank", "fast")?.status == 200);
    // The twin: a person says that the new address is right.
    apply(config(&http("bank", &bad, true), "bank"))?;
    ensure!(get(&home, "bank", "fast")?.status == 503);
    let shown = home.json(&["upstream", "credential", "bank"])?;
    ensure!(shown.get("withheld") == Some(&true.into()), "{shown}");
    ensure!(get(&home, "bank", "fast")?.status == 503, "showing gives nothing");
    let shown = home.json(&["upstream", "credential", "bank", "--confirm"])?;
    ensure!(shown.get("withheld") == Some(&false.into()), "{shown}");
    ensure!(get(&home, "bank", "fast")?.status == 200);
    ensure!(heads(&evil_seen).contains(SECRET), "it is sent where it was given for");
    // A restart knows it too, and a change of the file while it is away is a change.
    ambit.stop()?;
    std::fs::write(&file, config(&http("bank", &good, true), "bank"))?;
    let before = count(&bank_seen);
    let mut ambit = home.start()?;
    ensure!(get(&home, "bank", "fast")?.status == 503 && count(&bank_seen) == before);
    wait(&mut ambit, "ambit upstream credential bank --confirm")?;
    Ok(())
}

fn wait(ambit: &mut testkit::process::Ambit, text: &str) -> Result<String> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let shown = ambit.terminal.shown();
        if shown.replace(['\r', '\n'], "").contains(text) {
            return Ok(shown);
        }
        ensure!(Instant::now() < end, "the terminal does not show `{text}`:\n{shown}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn ambit_itself_and_metadata_services_are_no_upstreams() -> Result<()> {
    let (bank, bank_seen) = server()?;
    // The ports are known before the file is written: they are the gate's own.
    let probe = Home::new("version: 1\n")?;
    let port = |url: String| url.rsplit(':').next().unwrap_or_default().to_owned();
    let (front, ops) = (port(probe.front()), port(probe.ops()));
    let bank_port = port(bank);
    let mut upstreams = String::new();
    let own = [
        ("front", format!("http://127.0.0.1:{front}")),
        ("ops", format!("http://127.0.0.1:{ops}")),
        ("name", format!("http://localhost:{ops}")),
        ("decimal", format!("http://2130706433:{ops}")),
        ("hex", format!("http://0x7f.1:{ops}")),
        ("octal", format!("http://0177.0.0.1:{ops}")),
        ("short", format!("http://127.1:{ops}")),
        ("mapped", format!("http://[::ffff:127.0.0.1]:{ops}")),
        ("zero", format!("http://0.0.0.0:{ops}")),
        ("six", format!("http://[::]:{ops}")),
        ("metadata", "http://169.254.169.254".to_owned()),
        ("metadata-six", "http://[fd00:ec2::254]".to_owned()),
        ("metadata-mapped", "http://[::ffff:169.254.169.254]".to_owned()),
    ];
    let twins = [
        ("bank", format!("http://127.0.0.1:{bank_port}")),
        ("bank-name", format!("http://localhost:{bank_port}")),
        ("bank-decimal", format!("http://2130706433:{bank_port}")),
        ("bank-mapped", format!("http://[::ffff:127.0.0.1]:{bank_port}")),
    ];
    for (name, url) in own.iter().chain(&twins) {
        upstreams.push_str(&http(name, url, false));
    }
    let names: Vec<&str> = own.iter().chain(&twins).map(|(name, _)| *name).collect();
    std::fs::write(probe.path().join("ambit.yaml"), config(&upstreams, &names.join(", ")))?;
    let home = probe;
    let ambit = home.start()?;
    for (name, url) in own {
        let began = Instant::now();
        let back = get(&home, name, "healthz")?;
        ensure!(
            back.status == 502 && back.text.contains("upstream_unreachable"),
            "{name} {url}: {back:?}"
        );
        ensure!(began.elapsed() < Duration::from_secs(4), "{name}: it was tried");
    }
    for (name, url) in twins {
        let before = count(&bank_seen);
        let back = get(&home, name, "healthz")?;
        ensure!(back.status == 200 && count(&bank_seen) == before + 1, "{name} {url}: {back:?}");
    }
    let shown = ambit.terminal.shown().replace(['\r', '\n'], "");
    ensure!(shown.contains("Ambit's own address") && shown.contains("metadata service"), "{shown}");
    Ok(())
}

/// A TLS server for `name`, signed by an authority of its own; its certificate authority as PEM.
fn tls_server(name: &str, seen: Seen) -> Result<(String, String)> {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = authority.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec![name.to_owned()])?.signed_by(&key, &issuer)?;
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der())
        .map_err(anyhow::Error::msg)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)?;
    let server = Arc::new(server);
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { continue };
            let Ok(connection) = rustls::ServerConnection::new(Arc::clone(&server)) else {
                continue;
            };
            let mut tls = rustls::StreamOwned::new(connection, stream);
            let mut head = [0; 4096];
            // Only what came through the handshake is seen: an alert is no request.
            if let Ok(count) = std::io::Read::read(&mut tls, &mut head) {
                let text =
                    String::from_utf8_lossy(head.get(..count).unwrap_or_default()).into_owned();
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                let body = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
                let _gone = std::io::Write::write_all(&mut tls, body.as_bytes()).is_err();
                tls.conn.send_close_notify();
                let _gone = std::io::Write::flush(&mut tls).is_err();
            }
        }
    });
    Ok((address, pem))
}

#[test]
fn nothing_is_sent_to_a_server_that_cannot_show_who_it_is() -> Result<()> {
    let seen: [Seen; 3] = std::array::from_fn(|_| Seen::default());
    let [good_seen, wrong_seen, unknown_seen] = &seen;
    let (good, good_pem) = tls_server("localhost", Arc::clone(good_seen))?;
    let (wrong, wrong_pem) = tls_server("bank.example", Arc::clone(wrong_seen))?;
    let (unknown, _) = tls_server("localhost", Arc::clone(unknown_seen))?;
    let (plain, plain_seen) = server()?;
    let at = |address: &str| {
        format!("https://localhost:{}", address.rsplit(':').next().unwrap_or_default())
    };
    let text = [
        ("good", at(&good)),
        ("wrong", at(&wrong)),
        ("unknown", at(&unknown)),
        ("plain", at(&plain)),
    ]
    .map(|(name, url)| http(name, &url, true))
    .concat();
    let home = Home::new(&config(&text, "good, wrong, unknown, plain"))?;
    let trusted = home.path().join("authorities.pem");
    std::fs::write(&trusted, format!("{good_pem}{wrong_pem}"))?;
    let home = home
        .with_secret("AMBIT_SECRET_BANK", SECRET)
        .with_secret("SSL_CERT_FILE", trusted.to_str().context("a path")?);
    let _ambit = home.start()?;
    for (what, seen) in [("wrong", wrong_seen), ("unknown", unknown_seen), ("plain", &plain_seen)] {
        let back = get(&home, what, "fast")?;
        ensure!(
            back.status == 502 && back.text.contains("upstream_unreachable"),
            "{what}: {back:?}"
        );
        ensure!(
            !heads(seen).contains("GET") && !heads(seen).contains(SECRET),
            "{what}: {}",
            heads(seen)
        );
        let back = get(&home, "good", "fast")?;
        ensure!(back.status == 200, "twin of {what}: {back:?}");
    }
    ensure!(heads(good_seen).contains(SECRET));
    Ok(())
}

#[test]
fn a_tool_that_was_never_seen_is_said_to_be_unseen() -> Result<()> {
    let logs = tempfile::tempdir()?;
    let tools = StandIn::mcp(logs.path(), "tools", Era::Modern)?;
    let mcp = |name: &str, address: &str| {
        format!(
            "  {name}:\n    mcp: http://{address}/mcp\n    actions:\n      echo: {{ effect: read, risk: low }}\n      ghost: {{ effect: read, risk: low }}\n"
        )
    };
    let nowhere = format!("127.0.0.1:{}", free_port()?);
    let home = Home::new(&config(
        &(mcp("tools", &tools.address) + &mcp("away", &nowhere)),
        "tools, away",
    ))?;
    let mut ambit = home.start()?;
    let shown = wait(&mut ambit, "`tools` has no tool `ghost`")?;
    ensure!(shown.matches("has no tool").count() == 1, "{shown}");
    let call = |upstream: &str, tool: &str| -> Result<raw::Back> {
        let token = home.token("reader", &home.mcp_door(upstream), &[])?;
        let message = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":{{"text":"x"}},"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
        );
        let address = home.front().replace("http://", "");
        let headers = [
            format!("host: {address}"),
            format!("authorization: Bearer {token}"),
            "content-type: application/json".into(),
            "accept: application/json, text/event-stream".into(),
            "mcp-protocol-version: 2026-07-28".into(),
            "mcp-method: tools/call".into(),
            format!("mcp-name: {tool}"),
            format!("content-length: {}", message.len()),
            "connection: close".into(),
        ];
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        raw::send(
            &address,
            &raw::request(&format!("POST /mcp/{upstream} HTTP/1.1"), &headers, &message),
            raw::PATIENCE,
        )
    };
    for (upstream, tool) in [("tools", "ghost"), ("away", "echo")] {
        let back = call(upstream, tool)?;
        ensure!(
            back.text.contains("AMB2008") && !back.text.contains("AMB2005"),
            "{upstream}.{tool}: {back:?}"
        );
    }
    ensure!(
        call("tools", "echo")?.text.contains("\"isError\":false")
            || call("tools", "echo")?.status == 200
    );
    ensure!(!tools.oracle.calls("echo").is_empty() && tools.oracle.calls("ghost").is_empty());
    Ok(())
}
