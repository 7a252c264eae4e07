//! Agents that come with a certificate over TLS: of Ambit's own authority, of a foreign trust domain, and of a
//! registered key.

use crate::tls::{Answer, Authority, Client, Pair, file, registered, self_signed};
use anyhow::{Context as _, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, SanType};
use serde_json::json;
use std::time::{Duration, Instant};
use testkit::process::{Ambit, Home, StandIn};

pub(crate) const FOREIGN_ID: &str = "spiffe://corp.example/ns/it/sa/reader";

/// The file of keys of `holder`.
const KEYS: &str = "holder.jwks";

fn config(api: &str) -> String {
    let agent = |name: &str, credentials: &str| {
        format!(
            "  {name}:\n    purpose: Read\n    owner: group:it\n    boundary: all\n    credentials: {credentials}\n"
        )
    };
    format!(
        "version: 1\nhumans: {{ people: {{ dana: {{ groups: [it] }} }} }}\nagents:\n{}{}{}{}upstreams:\n  api:\n    http: \
         http://{api}\n    actions:\n      ticket: {{ route: \"GET /tickets/{{id}}\", effect: read, risk: low, returns: [/id] }}\nboundaries:\n  \
         all: {{ upstreams: [api] }}\n",
        agent("reader", &format!("{{ proof: mtls, spiffe_id: \"{FOREIGN_ID}\" }}")),
        agent("other", "{ proof: mtls }"),
        agent("holder", &format!("{{ proof: mtls, keys: {KEYS} }}")),
        agent("plain", "{ proof: none }"),
    )
}

pub(crate) struct Stage {
    pub(crate) home: Home,
    pub(crate) ambit: Ambit,
    api: StandIn,
    client: Client,
    pub(crate) authority: Authority,
    pub(crate) corp: Authority,
    pub(crate) base: String,
    /// A key of `holder`, with a certificate that nobody signed but itself.
    pub(crate) registered: Pair,
    logs: tempfile::TempDir,
}

impl Stage {
    pub(crate) fn set() -> Result<Stage> {
        let logs = tempfile::tempdir()?;
        let api = StandIn::http(logs.path(), "api")?;
        let (authority, corp) = (Authority::new("Office CA")?, Authority::new("Corp CA")?);
        let server = authority.server()?;
        let certificate = file(logs.path(), "server.crt", &server.certificate)?;
        let key = file(logs.path(), "server.key", &server.key)?;
        let bundle = file(logs.path(), "corp.pem", &corp.pem())?;
        let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
        let home = Home::new(&config(&api.address))?.with_options(&[
            "--tls-cert",
            &text(&certificate),
            "--tls-key",
            &text(&key),
            "--trust-bundle",
            &format!("corp.example={}", text(&bundle)),
            "--trust-domain",
            "ambit.test",
        ]);
        let registered = registered_at(&home)?;
        let ambit = home.start()?;
        let client = Client::new(&authority)?;
        let base = home.front().replacen("http:", "https:", 1);
        Ok(Stage { home, ambit, api, client, authority, corp, base, registered, logs })
    }

    pub(crate) fn door(&self) -> String {
        format!("{}/http/api", self.base)
    }

    /// Asks for a token with a certificate.
    fn token(&mut self, client: &str, own: Option<&Pair>) -> Result<Answer> {
        let (url, door) = (format!("{}/oauth/token", self.base), self.door());
        let form =
            [("grant_type", "client_credentials"), ("client_id", client), ("resource", &door)];
        self.client.form(&url, &form, own)
    }

    fn read(&mut self, token: &str, own: Option<&Pair>) -> Result<u64> {
        let url = format!("{}/tickets/4711", self.door());
        let answer = self.client.get(&url, &format!("Bearer {token}"), own)?;
        Ok(answer.status)
    }

    pub(crate) fn reached(&self) -> usize {
        self.api.oracle.of("request").len()
    }

    /// A certificate of Ambit's authority for an agent, by the command.
    pub(crate) fn certified(&self, agent: &str) -> Result<Pair> {
        let key = KeyPair::generate()?;
        let csr = CertificateParams::default().serialize_request(&key)?.pem()?;
        let csr = file(self.logs.path(), "agent.csr", &csr)?;
        let csr = csr.to_string_lossy().into_owned();
        let certificate = self.home.done(&["agent", "cert", agent, "--csr", &csr])?;
        Ok(Pair { certificate, key: key.serialize_pem() })
    }
}

/// Makes the key of `holder`, and the file that names it.
fn registered_at(home: &Home) -> Result<Pair> {
    let (pair, jwk) = registered()?;
    file(home.path(), KEYS, &json!({ "keys": [jwk] }).to_string())?;
    Ok(pair)
}

#[test]
fn a_certificate_buys_a_token_that_only_its_holder_can_use() -> Result<()> {
    let mut stage = Stage::set()?;
    let own = stage.certified("reader")?;
    let other = stage.certified("other")?;
    let bought = stage.token("reader", Some(&own))?;
    ensure!(bought.status == 200, "{bought:?}");
    ensure!(bought.member("token_type") == "Bearer", "{bought:?}");
    let token = bought.member("access_token");
    let before = stage.reached();
    // The twin first: with its certificate it reads.
    ensure!(stage.read(&token, Some(&own))? == 200);
    ensure!(stage.reached() == before + 1);
    let thieves = [
        ("no certificate", None),
        ("another agent's certificate", Some(other.clone())),
        ("nobody's certificate", Some(self_signed()?)),
    ];
    for (title, certificate) in thieves {
        ensure!(stage.read(&token, certificate.as_ref())? == 401, "{title}");
    }
    ensure!(stage.reached() == before + 1, "nothing of it reached the upstream");
    // A bearer token needs no certificate, and a certificate does no harm to it.
    let bearer = stage.home.token("plain", &stage.door(), &[])?;
    ensure!(stage.read(&bearer, None)? == 200);
    ensure!(stage.read(&bearer, Some(&other))? == 200);

    // Who is revoked buys no more and reads no more, whatever certificate it holds.
    stage.home.done(&["revoke", "agent", "reader", "--reason", "test"])?;
    ensure!(stage.read(&token, Some(&own))? != 200);
    ensure!(stage.token("reader", Some(&own))?.status == 400);
    stage.ambit.stop()
}

#[test]
fn certificates_that_are_refused_at_the_token_endpoint() -> Result<()> {
    let mut stage = Stage::set()?;
    let own = stage.certified("reader")?;
    let foreign = stage.corp.workload(FOREIGN_ID)?;
    let stranger = Authority::new("Nobody's CA")?;
    let rows = [
        ("none", "reader", None),
        ("another agent's", "other", Some(own.clone())),
        ("self-signed", "reader", Some(self_signed()?)),
        ("of an unknown authority", "reader", Some(stranger.workload(FOREIGN_ID)?)),
        (
            "of a foreign authority for Ambit's own domain",
            "reader",
            Some(stage.corp.workload("spiffe://ambit.test/agent/reader")?),
        ),
        (
            "of another workload",
            "reader",
            Some(stage.corp.workload("spiffe://corp.example/ns/it/sa/reader2")?),
        ),
        (
            "of the listener's own authority",
            "reader",
            Some(stage.authority.workload("spiffe://ambit.test/agent/reader")?),
        ),
        ("of a foreign workload, for an agent that is not it", "other", Some(foreign.clone())),
    ];
    for (title, client, certificate) in rows {
        let refused = stage.token(client, certificate.as_ref())?;
        ensure!(refused.status == 401, "{title}: {refused:?}");
        ensure!(refused.member("error") == "invalid_client", "{title}: {refused:?}");
    }
    ensure!(stage.token("reader", Some(&own))?.status == 200);
    // The foreign trust domain's workload is the agent, and its token is bound to that very certificate.
    let bought = stage.token("reader", Some(&foreign))?;
    ensure!(bought.status == 200, "{bought:?}");
    let token = bought.member("access_token");
    ensure!(stage.read(&token, Some(&foreign))? == 200);
    ensure!(stage.read(&token, Some(&own))? == 401, "another certificate of the same agent");
    stage.ambit.stop()
}

#[test]
fn a_request_that_asks_for_more_gets_a_certificate_for_its_key_alone() -> Result<()> {
    let mut stage = Stage::set()?;
    let key = KeyPair::generate()?;
    let mut greedy = CertificateParams::default();
    greedy.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    greedy.distinguished_name.push(DnType::CommonName, "other");
    greedy.subject_alt_names = vec![SanType::URI("spiffe://ambit.test/agent/other".try_into()?)];
    let csr = file(stage.logs.path(), "greedy.csr", &greedy.serialize_request(&key)?.pem()?)?;
    let csr = csr.to_string_lossy().into_owned();
    let certificate = stage.home.done(&["agent", "cert", "reader", "--csr", &csr])?;
    let own = Pair { certificate: certificate.clone(), key: key.serialize_pem() };
    ensure!(stage.token("other", Some(&own))?.status == 401, "the name that it asked for");
    ensure!(stage.token("reader", Some(&own))?.status == 200, "the name that it got");
    // What it signs is nobody's.
    let below = {
        let issuer = rcgen::Issuer::new(greedy, key);
        let mut params = CertificateParams::default();
        params.subject_alt_names =
            vec![SanType::URI("spiffe://ambit.test/agent/other".try_into()?)];
        let key = KeyPair::generate()?;
        let leaf = params.signed_by(&key, &issuer)?.pem();
        Pair { certificate: format!("{leaf}{certificate}"), key: key.serialize_pem() }
    };
    ensure!(stage.token("other", Some(&below))?.status == 401);
    stage.ambit.stop()
}

#[test]
fn the_listeners_certificate_changes_without_a_restart() -> Result<()> {
    let mut stage = Stage::set()?;
    let url = format!("{}/.well-known/oauth-authorization-server", stage.base);
    let first = stage.client.get(&url, "", None)?;
    ensure!(first.status == 200 && first.body.contains("mtls_endpoint_aliases"), "{first:?}");
    let (certificate, key) = ("server.crt", "server.key");
    // What cannot be used changes nothing.
    file(stage.logs.path(), certificate, "sesame")?;
    std::thread::sleep(Duration::from_secs(1));
    ensure!(stage.client.get(&url, "", None)?.peer == first.peer);
    let next = stage.authority.server()?;
    file(stage.logs.path(), key, &next.key)?;
    file(stage.logs.path(), certificate, &next.certificate)?;
    let end = Instant::now() + Duration::from_secs(20);
    while stage.client.get(&url, "", None)?.peer == first.peer {
        ensure!(Instant::now() < end, "the old certificate is still shown");
        std::thread::sleep(Duration::from_millis(50));
    }
    stage.ambit.stop()
}

#[test]
fn files_that_cannot_be_used_are_named_at_the_start() -> Result<()> {
    let logs = tempfile::tempdir()?;
    let server = Authority::new("Office CA")?.server()?;
    let other = Authority::new("Office CA")?.server()?;
    let place = |name: &str, text: &str| -> Result<String> {
        Ok(file(logs.path(), name, text)?.to_string_lossy().into_owned())
    };
    let certificate = place("server.crt", &server.certificate)?;
    let key = place("server.key", &server.key)?;
    let other = place("other.key", &other.key)?;
    let empty = place("empty.pem", "")?;
    let refused = |options: &[&str], told: &str| -> Result<()> {
        let home = Home::new(&config("127.0.0.1:1"))?.with_options(options);
        registered_at(&home)?;
        let mut ambit =
            home.spawn(std::process::Command::new(testkit::process::built("ambit")?))?;
        ensure!(home.wait_ready(&mut ambit).is_err(), "it started: {options:?}");
        let told = ambit.terminal.wait_for(told, 0, Duration::from_secs(10));
        told.map(drop).with_context(|| format!("{options:?}"))
    };
    refused(&["--tls-cert", &certificate, "--tls-key", &other], "cannot be used together")?;
    refused(&["--tls-cert", &empty, "--tls-key", &key], "no certificate in PEM")?;
    refused(&["--tls-cert", &certificate, "--tls-key", &empty], "no private key in PEM")?;
    refused(&["--tls-cert", "/nowhere.crt", "--tls-key", &key], "`--tls-cert /nowhere.crt`")?;
    refused(&["--tls-cert", &certificate], "--tls-key")?;
    refused(&["--base-url", "https://gate.example"], "`--tls-cert`")?;
    let own = format!("ambit.internal={certificate}");
    let tls = ["--tls-cert", &certificate, "--tls-key", &key, "--trust-bundle", &own];
    refused(&tls, "own trust domain")
}
