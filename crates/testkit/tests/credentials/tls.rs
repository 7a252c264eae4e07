//! A client over TLS that shares nothing with Ambit (Node.js, OpenSSL), and the authorities of the test.

use anyhow::{Context as _, Result, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, SanType,
};
use serde_json::{Value, json};
use std::{
    io::{BufRead as _, BufReader, Lines, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};
use testkit::{process::installed, proof::b64};

/// A certificate with its key, in PEM.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// An authority that belongs to nobody here.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(name: &str) -> Result<Authority> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Ok(Authority(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// For the gate's listener.
    pub(crate) fn server(&self) -> Result<Pair> {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()])?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(&params)
    }

    /// For a workload.
    pub(crate) fn workload(&self, id: &str) -> Result<Pair> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(id.try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Result<Pair> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.0)?.pem();
        Ok(Pair { certificate, key: key.serialize_pem() })
    }
}

/// A key whose certificate nobody signed but itself.
pub(crate) fn self_signed() -> Result<Pair> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::default().self_signed(&key)?.pem();
    Ok(Pair { certificate, key: key.serialize_pem() })
}

/// The same, with the key's public half as a JWK.
pub(crate) fn registered() -> Result<(Pair, Value)> {
    let pair = self_signed()?;
    let key = KeyPair::from_pem(&pair.key)?;
    let point = key.public_key_raw();
    let (x, y) = (point.get(1..33).map(b64), point.get(33..65).map(b64));
    Ok((pair, json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y })))
}

/// Writes a file; gives its path.
pub(crate) fn file(dir: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = dir.join(name);
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u64,
    pub(crate) body: String,
    pub(crate) peer: String,
}

impl Answer {
    pub(crate) fn member(&self, name: &str) -> String {
        let json: Value = serde_json::from_str(&self.body).unwrap_or_default();
        json.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

/// The client; it trusts one authority.
pub(crate) struct Client {
    child: Child,
    requests: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    authority: String,
}

impl Client {
    pub(crate) fn new(authority: &Authority) -> Result<Client> {
        let mut command = Command::new("node");
        command.arg(installed("peers/ts/tls.mjs")?);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let requests = child.stdin.take().context("no input")?;
        let answers = BufReader::new(child.stdout.take().context("no output")?).lines();
        Ok(Client { child, requests, answers, authority: authority.pem() })
    }

    pub(crate) fn get(&mut self, url: &str, token: &str, own: Option<&Pair>) -> Result<Answer> {
        let headers = json!({ "authorization": token });
        self.exchange(json!({ "url": url, "headers": headers }), own)
    }

    pub(crate) fn form(
        &mut self,
        url: &str,
        form: &[(&str, &str)],
        own: Option<&Pair>,
    ) -> Result<Answer> {
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let headers = json!({ "content-type": "application/x-www-form-urlencoded" });
        let request = json!({ "url": url, "method": "POST", "headers": headers, "body": form });
        self.exchange(request, own)
    }

    fn exchange(&mut self, mut request: Value, own: Option<&Pair>) -> Result<Answer> {
        let members = request.as_object_mut().context("an object")?;
        members.insert("ca".into(), self.authority.as_str().into());
        if let Some(own) = own {
            members.insert("cert".into(), own.certificate.as_str().into());
            members.insert("key".into(), own.key.as_str().into());
        }
        writeln!(self.requests, "{request}")?;
        let line = self.answers.next().context("the client ended")??;
        let answer: Value = serde_json::from_str(&line)?;
        ensure!(answer.get("error").is_none(), "no answer: {answer}");
        let text = |name| answer.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let status = answer.get("status").and_then(Value::as_u64).context("no status")?;
        Ok(Answer { status, body: text("body"), peer: text("peer") })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
