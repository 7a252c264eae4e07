//! Which client asks: its token, bound to its key, for this API alone.

use super::{audience, origin, problem::Problem};
use crate::app::App;
use gate::wire::credential::single;
use http::{header::AUTHORIZATION, request::Parts};
use identity::{ClientCaller, ClientPresented, Nonces};
use model::{Code, Digest, Name, Timestamp, declared};
use policy::{everything, subject_digest};

/// An authenticated client that is declared and not stopped.
pub(super) struct Client {
    pub(super) name: Name,
    pub(super) declared: declared::Client,
    /// The control revision that it was looked up at.
    pub(super) revision: u64,
    /// Its proof, to be used up by the record of what is answered.
    pub(super) proof: (Digest, Timestamp),
    /// Whose revocation takes the answer back.
    pub(super) subjects: Vec<Digest>,
}

/// Authenticates a request.
pub(super) fn authenticate(app: &App, head: &Parts) -> Result<Client, Problem> {
    let stranger = |code| {
        app.gate.count_stranger(code);
        Problem::stranger(code)
    };
    let world = app.gate.world();
    let shown = single(&head.headers, AUTHORIZATION.as_str()).and_then(|text| text.split_once(' '));
    let (scheme, token) = shown.ok_or_else(|| stranger(Code::CredentialMissing))?;
    let proof = single(&head.headers, "dpop").ok_or_else(|| stranger(Code::ProofInvalid))?;
    if !scheme.eq_ignore_ascii_case("DPoP") {
        return Err(stranger(Code::ProofInvalid));
    }
    let url = format!("{}{}", origin(app), head.uri.path());
    let presented = ClientPresented {
        issuer: &app.gate.settings().issuer,
        audience: &audience(app),
        token: token.trim(),
        proof,
        method: head.method.as_str(),
        url: &url,
        nonces: Nonces::None,
    };
    let caller = ClientCaller::verify(&presented, &world.keys, app.clock.now());
    let caller = caller.map_err(|error| stranger(error.code()))?;
    let name = caller.client().clone();
    let subjects = vec![
        subject_digest("client", name.as_str()),
        subject_digest("token", &caller.token().to_string()),
        everything(),
    ];
    if subjects.iter().any(|subject| app.gate.is_revoked(subject)) {
        return Err(stranger(Code::Revoked));
    }
    let declared = world.compiled.declared().clients.get(&name).cloned();
    let declared = declared.ok_or_else(|| stranger(Code::CredentialInvalid))?;
    Ok(Client { name, declared, revision: world.revision, proof: caller.proof_use(), subjects })
}
