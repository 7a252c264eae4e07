//! The crate `openidconnect`, with `oauth2` below it, over TLS: another author's types read what the gate says, and another
//! author's Ed25519 signs what the agents say.
//!
//! Where the crate has no type of its own, the test does what its user would do:
//!
//! - Discovery. `discover_async` knows `openid-configuration` only, and insists on an authorization endpoint, subject types
//!   and ID tokens. No human logs in at Ambit, so that it serves RFC 8414 alone: the document is read into the crate's URL
//!   types by hand.
//! - `private_key_jwt`. The crate knows client secrets; the assertion is an extra parameter.
//! - DPoP. It belongs to the HTTP client, which the crate takes from its user: that one proves, and follows the nonce.
//! - Token exchange. Each of the crate's requests has its own `grant_type`: the form is written by hand, and the crate reads
//!   the answer.
//! - Access tokens. The crate verifies ID tokens; an RFC 9068 token has all of their claims, and its `typ` is allowed.

use crate::stage::Stage;
use anyhow::{Context as _, Result, anyhow, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as Connections, connect::HttpConnector},
    rt::TokioExecutor,
};
use openidconnect::{
    AccessToken, AdditionalClaims, AuthType, Client, ClientId, DiscoveryError,
    EmptyExtraTokenFields, EndpointNotSet, EndpointSet, ExtraTokenFields, HttpClientError,
    HttpRequest, HttpResponse, IdToken, IdTokenFields, IntrospectionUrl, IssuerUrl,
    JsonWebKeySetUrl, JsonWebTokenType, OAuth2TokenResponse as _, PrivateSigningKey as _,
    RequestTokenError, RevocationUrl, StandardErrorResponse, StandardTokenIntrospectionResponse,
    StandardTokenResponse, TokenIntrospectionResponse as _, TokenUrl,
    core::{
        CoreAuthDisplay, CoreAuthPrompt, CoreEdDsaPrivateSigningKey, CoreErrorResponseType,
        CoreGenderClaim, CoreIdTokenVerifier, CoreJsonWebKey, CoreJsonWebKeySet,
        CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreProviderMetadata,
        CoreRevocableToken, CoreRevocationErrorResponse, CoreTokenType,
    },
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};
use testkit::proof::{b64, unix_now};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// What RFC 8414 says, in the crate's types.
#[derive(Debug, Deserialize)]
struct Metadata {
    issuer: IssuerUrl,
    token_endpoint: TokenUrl,
    jwks_uri: JsonWebKeySetUrl,
    introspection_endpoint: IntrospectionUrl,
    revocation_endpoint: RevocationUrl,
    id_token_signing_alg_values_supported: Option<Value>,
}

/// What a token says beyond an ID token.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Says {
    client_id: String,
    cnf: Value,
    act: Option<Value>,
    chain: Option<Value>,
}

impl AdditionalClaims for Says {}
impl ExtraTokenFields for Says {}

/// What the answer to an exchange says beyond a token.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Exchanged {
    issued_token_type: String,
}

impl ExtraTokenFields for Exchanged {}

type Algorithm = CoreJwsSigningAlgorithm;
type Encryption = CoreJweContentEncryptionAlgorithm;
type Access = IdToken<Says, CoreGenderClaim, Encryption, Algorithm>;
type Fields<E> = IdTokenFields<Says, E, CoreGenderClaim, Encryption, Algorithm>;
type Refused = StandardErrorResponse<CoreErrorResponseType>;
/// What introspection says: of a token that is not active, nothing.
type Told = StandardTokenIntrospectionResponse<Asked, CoreTokenType>;
type OAuth = Client<
    Says,
    CoreAuthDisplay,
    CoreGenderClaim,
    Encryption,
    CoreJsonWebKey,
    CoreAuthPrompt,
    Refused,
    StandardTokenResponse<Fields<EmptyExtraTokenFields>, CoreTokenType>,
    Told,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
    EndpointSet,
    EndpointSet,
    EndpointNotSet,
>;

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Asked {
    cnf: Option<Value>,
    chain: Option<Value>,
}

impl ExtraTokenFields for Asked {}

type Failure = HttpClientError<io::Error>;

/// The HTTP client that the crate is given; it trusts one authority.
#[derive(Clone)]
struct Web(Connections<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl Web {
    fn trusting(authority: &CertifiedIssuer<'_, KeyPair>) -> Result<Web> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.der().clone())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1();
        Ok(Web(Connections::builder(TokioExecutor::new()).build(https.build())))
    }

    async fn send(self, request: HttpRequest) -> Result<HttpResponse, Failure> {
        let failed = |error: &dyn std::error::Error| Failure::Other(error.to_string());
        let request = request.map(|body| Full::new(Bytes::from(body)));
        let (head, body) =
            self.0.request(request).await.map_err(|error| failed(&error))?.into_parts();
        let body = body.collect().await.map_err(|error| failed(&error))?.to_bytes();
        Ok(HttpResponse::from_parts(head, body.to_vec()))
    }
}

/// An agent with its key in the crate's hands.
struct Agent {
    name: &'static str,
    key: CoreEdDsaPrivateSigningKey,
    public: Value,
    thumbprint: String,
    issuer: String,
    web: Web,
    nonce: Mutex<Option<String>>,
}

impl Agent {
    fn of(stage: &Stage, name: &'static str, issuer: &str, web: &Web) -> Result<Agent> {
        let jwk: Value =
            serde_json::from_str(&stage.home.done(&["agent", "key", name, "--export", "jwk"])?)?;
        let member =
            |name: &str| -> Result<&str> { jwk.get(name).and_then(Value::as_str).context("a JWK") };
        // RFC 8410 section 7: a seed of 32 bytes behind a fixed header.
        let seed = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(member("d")?)?;
        let der =
            [b"\x30\x2e\x02\x01\0\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".as_slice(), &seed]
                .concat();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der)
        );
        let key = CoreEdDsaPrivateSigningKey::from_ed25519_pem(&pem, None)
            .map_err(|error| anyhow!(error))?;
        let public = json!({ "kty": "OKP", "crv": "Ed25519", "x": member("x")? });
        let thumbprint = member("kid")?.to_owned();
        let (issuer, web, nonce) = (issuer.to_owned(), web.clone(), Mutex::default());
        Ok(Agent { name, key, public, thumbprint, issuer, web, nonce })
    }

    fn sign(&self, header: &Value, claims: &Value) -> Result<String, Failure> {
        let input = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        let signature = self.key.sign(&Algorithm::EdDsa, input.as_bytes());
        let signature = signature.map_err(|error| Failure::Other(error.to_string()))?;
        Ok(format!("{input}.{}", b64(signature)))
    }

    fn assertion(&self) -> Result<String> {
        let now = unix_now();
        let header = json!({ "typ": "JWT", "alg": "EdDSA", "kid": self.thumbprint });
        let claims = json!({ "iss": self.name, "sub": self.name, "aud": self.issuer, "iat": now, "exp": now + 60,
            "jti": testkit::proof::unique()? });
        Ok(self.sign(&header, &claims)?)
    }

    /// What the crate calls for each request: with a proof, and once more if a nonce is asked for.
    async fn prove(&self, request: HttpRequest) -> Result<HttpResponse, Failure> {
        let mut answer = self.web.clone().send(self.with_proof(&request)?).await?;
        let nonce = answer.headers().get("dpop-nonce").and_then(|nonce| nonce.to_str().ok());
        if let Some(nonce) = nonce {
            *self.nonce.lock().unwrap_or_else(PoisonError::into_inner) = Some(nonce.to_owned());
        }
        if String::from_utf8_lossy(answer.body()).contains("use_dpop_nonce") {
            answer = self.web.clone().send(self.with_proof(&request)?).await?;
        }
        Ok(answer)
    }

    fn with_proof(&self, request: &HttpRequest) -> Result<HttpRequest, Failure> {
        let unique = testkit::proof::unique().map_err(|error| Failure::Other(error.to_string()))?;
        let header = json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": self.public });
        let mut claims = json!({ "htm": request.method().as_str(), "htu": request.uri().to_string(), "iat": unix_now(),
            "jti": unique });
        let shown = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        if let Some(token) = shown.and_then(|value| value.strip_prefix("DPoP ")) {
            claims["ath"] = b64(digest(&SHA256, token.as_bytes())).into();
        }
        if let Some(nonce) = &*self.nonce.lock().unwrap_or_else(PoisonError::into_inner) {
            claims["nonce"] = nonce.as_str().into();
        }
        let mut request = request.clone();
        let proof = self.sign(&header, &claims)?.try_into();
        request.headers_mut().insert("dpop", proof.map_err(http::Error::from)?);
        Ok(request)
    }

    fn client(&self, metadata: &Metadata, keys: &CoreJsonWebKeySet) -> OAuth {
        Client::new(ClientId::new(self.name.into()), metadata.issuer.clone(), keys.clone())
            .set_auth_type(AuthType::RequestBody)
            .set_introspection_url(metadata.introspection_endpoint.clone())
            .set_revocation_url(metadata.revocation_endpoint.clone())
            .set_token_uri(metadata.token_endpoint.clone())
    }
}

/// A gate with TLS, and a client that trusts its authority.
fn stage() -> Result<(Stage, Web, tempfile::TempDir)> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let server = CertificateParams::new(["127.0.0.1".to_owned()])?.signed_by(&key, &authority)?;
    let files = tempfile::tempdir()?;
    let (certificate, private) = (files.path().join("server.crt"), files.path().join("server.key"));
    std::fs::write(&certificate, server.pem())?;
    std::fs::write(&private, key.serialize_pem())?;
    let (certificate, private) = (certificate.to_string_lossy(), private.to_string_lossy());
    let stage = Stage::set_for_strangers(&["--tls-cert", &certificate, "--tls-key", &private])?;
    Ok((stage, Web::trusting(&authority)?, files))
}

async fn discover(base: &str, web: &Web) -> Result<(Metadata, CoreJsonWebKeySet)> {
    let send = |request| web.clone().send(request);
    let strict = CoreProviderMetadata::discover_async(IssuerUrl::new(base.into())?, &send).await;
    ensure!(
        matches!(&strict, Err(DiscoveryError::Response(status, ..)) if status.as_u16() == 404),
        "no provider of OpenID Connect: {strict:?}"
    );
    let url = format!("{base}/.well-known/oauth-authorization-server");
    let answer = web.clone().send(http::Request::get(url).body(Vec::new())?).await?;
    let metadata: Metadata = serde_json::from_slice(answer.body())?;
    ensure!(metadata.issuer.as_str() == base, "{metadata:?}");
    ensure!(metadata.id_token_signing_alg_values_supported.is_none(), "it promises no ID tokens");
    let keys = CoreJsonWebKeySet::fetch_async(&metadata.jwks_uri, &send).await?;
    ensure!(!keys.keys().is_empty(), "the crate reads no key of {}", *metadata.jwks_uri);
    Ok((metadata, keys))
}

/// The token's claims if the crate believes it for this audience.
fn verified(
    token: &str,
    audience: &str,
    metadata: &Metadata,
    keys: &CoreJsonWebKeySet,
) -> Result<Says> {
    let access: Access = token.parse()?;
    let verifier = CoreIdTokenVerifier::new_public_client(
        ClientId::new(audience.into()),
        metadata.issuer.clone(),
        keys.clone(),
    );
    let verifier = verifier.set_allowed_algs([Algorithm::EdDsa]);
    let verifier =
        verifier.set_allowed_jose_types([JsonWebTokenType::new("at+jwt".into()).normalize()?]);
    let claims = access.claims(&verifier, |_: Option<&openidconnect::Nonce>| Ok(()))?;
    Ok(claims.additional_claims().clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_in_rust_by_other_authors_does_it_too() -> Result<()> {
    let (stage, web, _files) = stage()?;
    let base = stage.home.front().replacen("http:", "https:", 1);
    let door = format!("{base}/http/api");
    let (metadata, keys) = discover(&base, &web).await?;
    let lead = Agent::of(&stage, "lead", &base, &web)?;
    let helper = Agent::of(&stage, "helper", &base, &web)?;
    let granted = grant(&lead, &metadata, &keys, &door).await?;
    let token = granted.access_token().secret();
    ensure!(*granted.token_type() == CoreTokenType::Extension("dpop".into()), "{granted:?}");
    ensure!(granted.expires_in().is_some_and(|life| life.as_secs() <= 120), "{granted:?}");
    let says = verified(token, &door, &metadata, &keys)?;
    ensure!(says.client_id == "lead" && says.cnf == json!({ "jkt": lead.thumbprint }), "{says:?}");
    // The crate sees what is wrong with one that is not for this door, or not of this issuer's keys.
    let elsewhere = verified(token, &base, &metadata, &keys).map_err(|error| error.to_string());
    ensure!(elsewhere.is_err_and(|error| error.contains("audience")));
    let strange =
        lead.sign(&json!({ "typ": "at+jwt", "alg": "EdDSA" }), &testkit::buyer::claims(token)?)?;
    let strange = verified(&strange, &door, &metadata, &keys).map_err(|error| error.to_string());
    ensure!(strange.is_err_and(|error| error.to_lowercase().contains("signature")));

    let acting = exchange(&helper, &metadata, token, &door).await?;
    ensure!(acting.extra_fields().extra_fields().issued_token_type == ACCESS_TOKEN, "{acting:?}");
    let acting = acting.access_token();
    let says = verified(acting.secret(), &door, &metadata, &keys)?;
    ensure!(says.act.as_ref().and_then(|act| act.get("sub")) == Some(&json!("helper")), "{says:?}");
    ensure!(call(&helper, &door, acting).await? == 200 && stage.reached() == 1);
    ends_by_revocation(&helper, &metadata, &keys, acting, &says).await?;
    let late = call(&helper, &door, acting).await?;
    ensure!(late == 403 && stage.reached() == 1, "it was revoked, and the door says {late}");
    Ok(())
}

async fn grant(
    agent: &Agent,
    metadata: &Metadata,
    keys: &CoreJsonWebKeySet,
    door: &str,
) -> Result<StandardTokenResponse<Fields<EmptyExtraTokenFields>, CoreTokenType>> {
    let client = agent.client(metadata, keys);
    let ask = |assertion| {
        let request = client.exchange_client_credentials().add_extra_param("resource", door);
        let request = request.add_extra_param("client_assertion_type", ASSERTION_TYPE);
        request.add_extra_param("client_assertion", assertion)
    };
    let prove = |request| agent.prove(request);
    // A refusal first: the crate reads RFC 6749 section 5.2 in it.
    let refused = ask("nonsense".to_owned()).request_async(&prove).await;
    let is_told = |error: &Refused| *error.error() == CoreErrorResponseType::InvalidClient;
    ensure!(
        matches!(&refused, Err(RequestTokenError::ServerResponse(error)) if is_told(error)),
        "{refused:?}"
    );
    ask(agent.assertion()?).request_async(&prove).await.context("no token")
}

async fn exchange(
    agent: &Agent,
    metadata: &Metadata,
    subject: &str,
    door: &str,
) -> Result<StandardTokenResponse<Fields<Exchanged>, CoreTokenType>> {
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", EXCHANGE)
        .append_pair("client_id", agent.name)
        .append_pair("client_assertion_type", ASSERTION_TYPE)
        .append_pair("client_assertion", &agent.assertion()?)
        .append_pair("subject_token", subject)
        .append_pair("subject_token_type", ACCESS_TOKEN)
        .append_pair("resource", door)
        .finish();
    let request = http::Request::post(metadata.token_endpoint.as_str());
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let answer = agent.prove(request.body(form.into_bytes())?).await?;
    serde_json::from_slice(answer.body())
        .with_context(|| String::from_utf8_lossy(answer.body()).into_owned())
}

async fn call(agent: &Agent, door: &str, token: &AccessToken) -> Result<u16> {
    let request = http::Request::get(format!("{door}/fast"));
    let request = request.header("authorization", format!("DPoP {}", token.secret()));
    Ok(agent.prove(request.body(Vec::new())?).await?.status().as_u16())
}

/// Asks about a token, revokes it, and asks again.
async fn ends_by_revocation(
    agent: &Agent,
    metadata: &Metadata,
    keys: &CoreJsonWebKeySet,
    token: &AccessToken,
    says: &Says,
) -> Result<()> {
    let client = agent.client(metadata, keys);
    let send = |request| agent.web.clone().send(request);
    let ask = async || -> Result<Told> {
        let request = client.introspect(token).set_token_type_hint("access_token");
        let request = request.add_extra_param("client_assertion_type", ASSERTION_TYPE);
        let request = request.add_extra_param("client_assertion", agent.assertion()?);
        request.request_async(&send).await.context("no introspection")
    };
    let told = ask().await?;
    ensure!(
        told.active() && told.client_id().is_some_and(|client| client.as_str() == agent.name),
        "{told:?}"
    );
    ensure!(told.extra_fields().cnf.as_ref() == Some(&says.cnf), "{told:?}");
    ensure!(told.extra_fields().chain == says.chain && says.chain.is_some(), "{told:?}");
    let request = client.revoke_token(CoreRevocableToken::AccessToken(token.clone()))?;
    let request = request.add_extra_param("client_assertion_type", ASSERTION_TYPE);
    let request = request.add_extra_param("client_assertion", agent.assertion()?);
    request.request_async(&send).await.context("no revocation")?;
    let told = ask().await?;
    ensure!(!told.active() && told.client_id().is_none(), "{told:?}");
    Ok(())
}
