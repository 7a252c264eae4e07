//! Every limit of this crate, with the reason for its number.

use model::Duration;

/// LIMIT: longest access token that is read. Most of ours have about 700 bytes, one that names a hundred actions some
/// 5,000; hyper's header limit is above it, and a megabyte of base64 must not reach the parser.
pub const TOKEN_BYTES: usize = 8 * 1024;

/// LIMIT: agents in one chain of delegations, the acting one included (S20): each is checked on every request, and a
/// longer chain is one that nobody reads any more.
pub const CHAIN_AGENTS: usize = 4;

/// LIMIT: actions that one token names; what is longer does not fit into a token.
pub const DETAILED_ACTIONS: usize = 256;

/// LIMIT: agents that may exchange one token; they stand in each token of the agent that lists them.
pub const MAY_ACT: usize = 16;

/// LIMIT: longest proof of possession. An ES256 proof with its key and `ath` has about 600 bytes;
/// clients that add claims of their own stay far below.
pub const PROOF_BYTES: usize = 4 * 1024;

/// LIMIT: longest client assertion; as for tokens, since it has the same form.
pub const ASSERTION_BYTES: usize = 4 * 1024;

/// LIMIT: longest token of a foreign issuer. Those of Kubernetes and GitHub have 1 to 2 KiB; ID tokens with many groups
/// come near to 6 KiB.
pub const FOREIGN_BYTES: usize = 8 * 1024;

/// LIMIT: bytes of one of its decoded parts; `kubernetes.io` nests three deep.
pub(crate) const FOREIGN_PART: canonical::Limits =
    canonical::Limits { bytes: 8 * 1024, depth: 8, members: 1_024 };

/// LIMIT: longest subject of a foreign issuer; GitHub's, with long names of branches, are the longest in use.
pub const SUBJECT_BYTES: usize = 512;

/// LIMIT: keys of one foreign issuer; the largest providers publish fewer than ten.
pub const FOREIGN_KEYS: usize = 64;

/// LIMIT: bytes of a foreign issuer's JWK set, whose keys may bring their chains of certificates.
pub const FOREIGN_JWKS_BYTES: usize = 256 * 1024;

/// LIMIT: as above, with room for members that are not read.
pub(crate) const FOREIGN_JWKS: canonical::Limits =
    canonical::Limits { bytes: FOREIGN_JWKS_BYTES, depth: 8, members: 8_192 };

/// LIMIT: bits of an RSA modulus, whole bytes: below is too weak (RFC 7518 §3.3), above costs too much time for each.
pub(crate) const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;

/// LIMIT: certificates that a peer may send; X.509-SVIDs have one or two authorities between them and the bundle.
pub(crate) const CHAIN: usize = 8;

/// LIMIT: bytes of a certificate signing request in PEM; one for a P-256 key has about 500.
pub const CSR_BYTES: usize = 8 * 1024;

/// LIMIT: life of Ambit's own certificate authority: a year, after which its key is another one.
pub const AUTHORITY_LIFE: Duration = Duration::seconds(366 * 24 * 3_600);

/// LIMIT: life of an agent's certificate (X.509-SVID): a working day's half, so that who is revoked is soon nobody
/// even to those who look at the certificate alone.
pub const CERTIFICATE_LIFE: Duration = Duration::seconds(4 * 3_600);

/// LIMIT: bytes of one decoded header or claims part; below the limit of the whole.
pub(crate) const PART: canonical::Limits =
    canonical::Limits { bytes: 8 * 1024, depth: 7, members: 512 };

/// LIMIT: longest `jti` of a proof or assertion. Clients send UUIDs (36) or 256 bits in base64url
/// (43); it is hashed, never stored.
pub const JTI_BYTES: usize = 256;

/// LIMIT: longest target URL of a proof; longer paths are refused by the listener.
pub const URL_BYTES: usize = 2 * 1024;

/// LIMIT: clocks of issuer, gate and client may differ by this much: `iat` and `nbf` may lie so far
/// ahead, and an assertion's `exp` so far behind. An access token's `exp` has no leeway.
pub const LEEWAY: Duration = Duration::seconds(5);

/// LIMIT: default life of an access token where nothing is declared.
pub const DEFAULT_TOKEN_LIFE: Duration = Duration::seconds(15 * 60);

/// LIMIT: no access token lives longer, whatever is declared, and a longer one is refused even if
/// our key signed it: what a person revokes must not outlive a coffee break elsewhere.
pub const MAX_TOKEN_LIFE: Duration = Duration::seconds(60 * 60);

/// LIMIT: a proof is fresh for this long after its `iat` (RFC 9449 §11.1 asks for "a relatively
/// brief period"): slow networks need seconds, a stolen log line needs minutes.
pub const PROOF_AGE: Duration = Duration::seconds(60);

/// LIMIT: a nonce is given out for this long, and taken for as long again (S9). A client that keeps one nonce is asked
/// for a new one at most twice a minute, and a proof made in advance is of no use a minute later.
pub const NONCE_BUCKET: Duration = Duration::seconds(30);

/// LIMIT: the use of a proof is remembered for this long beyond its freshness, so that a request
/// admitted at the last moment still meets the memory when its record commits. Whoever presents a
/// proof commits its use within this span.
pub const PROOF_COMMIT_WITHIN: Duration = Duration::seconds(60);

/// LIMIT: longest life of a client assertion. Clients that cannot set it use one hour; it is single
/// use, so that a long life costs memory, not safety.
pub const ASSERTION_LIFE: Duration = Duration::seconds(60 * 60);

/// LIMIT: the use of an assertion is remembered for this long beyond its `exp`; covers the leeway
/// and the time until its record commits.
pub const ASSERTION_COMMIT_WITHIN: Duration = Duration::seconds(60);

/// LIMIT: keys of one issuer that may be valid or announced at once: the current one, the next one,
/// and those that overlap after rotations in quick succession.
pub const VERIFICATION_KEYS: usize = 16;

/// LIMIT: keys in one agent's JWKS: one per running instance on a small fleet.
pub const AGENT_KEYS: usize = 64;

/// LIMIT: bytes of one agent's JWKS; 64 keys with all their optional members.
pub(crate) const JWKS: canonical::Limits =
    canonical::Limits { bytes: 128 * 1024, depth: 6, members: 4_096 };
