//! Every limit of this crate, with the reason for its number.

use model::Duration;

/// LIMIT: longest request body. An assertion has at most 4 KiB, a resource 2 KiB, an exchange brings two tokens of 8 KiB
/// and the actions that it asks for; the form's percent-encoding may triple what is not base64url.
pub const BODY_BYTES: usize = 48 * 1024;

/// LIMIT: parameters in one form; an exchange uses twelve.
pub const PARAMETERS: usize = 32;

/// LIMIT: longest resource or task parameter that a refusal's record repeats; longer ones are cut.
pub const RECORDED_BYTES: usize = 512;

/// LIMIT: life of a token that is bound to nothing (S19): whoever copies it may use it until then.
pub const BEARER_LIFE: Duration = Duration::seconds(5 * 60);

/// LIMIT: how often a one-time code may be tried: a slip of the pen, and no guessing of 128 bits.
pub const ENROL_TRIES: u8 = 5;

/// LIMIT: life of a client's token for the control API: it is bought for a burst of openings, and bound.
pub const CLIENT_LIFE: Duration = Duration::seconds(5 * 60);

/// LIMIT: refusals of one kind that are recorded per hour of a workload whose assertion may be used again: without its
/// key it shows nobody, so that who copied it could fill the ledger. More are counted like those of strangers.
pub const PINNED_REFUSALS: u32 = 60;

/// LIMIT: how often a grant is decided again because someone was revoked or frozen meanwhile. Each
/// round needs another revocation in the same millisecond.
pub const DECISIONS: usize = 3;

/// LIMIT: how long clients may keep the key set and the metadata. A new key is announced longer
/// than this before it signs.
pub const CACHE_SECONDS: u32 = 300;
