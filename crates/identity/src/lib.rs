//! Who acts: mints and checks access tokens (RFC 9068), proofs of possession (RFC 9449) and client
//! assertions (RFC 7523), and turns a checked credential into evidence.
//!
//! INVARIANT: an [`Actor`] exists only if a token was signed by a key of this issuer, is meant for
//! this audience, is alive at `now`, and, where it is bound, came with a fresh proof by its key.
//!
//! The key decides the algorithm, never the header: a key is looked up by issuer, type and `kid`,
//! and brings the one algorithm that it is for. Header and claims are read as I-JSON, so that a
//! name that comes twice refuses the credential.
//!
//! Deliberately absent: IO, a clock, randomness, revocation, the memory of used proofs (handed out
//! as [`Actor::proof_use`] for the record that must hold it), and tasks (they live in `policy`).
#![deny(missing_docs, clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]

mod actor;
mod agent_key;
mod agent_keys;
mod assertion;
mod authority;
mod certificate;
mod claims;
mod client_token;
mod compact;
mod credential;
mod delegation;
mod foreign;
mod introspection;
mod key;
pub mod limits;
mod nonce;
mod proof;
mod scoped_key;
mod secret;
mod signing;
mod signoff;
mod target;
mod token;
mod verification;

pub use actor::{Actor, Presented, Scheme};
pub use agent_key::{AgentKey, AssertionClaims, ProofClaims};
pub use agent_keys::{AgentKeys, AgentKeysError};
pub use assertion::{ClientAssertion, verify_client_assertion};
pub use authority::{Authority, AuthorityError, Signed, SigningRequest};
pub use certificate::{Certificate, CertificateError, PeerCertificate, Trust};
pub use client_token::{ClientCaller, ClientGrant, ClientPresented};
pub use credential::{Credential, CredentialError};
pub use delegation::{
    DETAIL_TYPE, Delegation, DetailsError, chain_of, read_details, write_chain, write_details,
};
pub use foreign::{
    Expected, Foreign, ForeignKeys, ForeignKeysError, Workload, stated_issuer, verify_foreign,
};
pub use key::{Algorithm, KeyError, PublicKey};
pub use nonce::{NonceKey, Nonces};
pub use proof::{Proof, ProofTarget, verify_proof};
pub use scoped_key::ScopedKey;
pub use signing::{Grant, MintError, SigningKey};
pub use signoff::{Signoff, SignoffClaims, verify_signoff};
pub use token::{Binding, Verified};
pub use verification::{Validity, VerificationKeys};

/// Makes aws-lc the one provider of `jsonwebtoken` for this process. Every constructor of a key
/// calls it, so that no order of calls can meet a missing provider; a second call does nothing.
pub fn install_crypto() {
    // A refusal means that a provider is installed already, and there is only this one.
    jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default().unwrap_or_default();
}
