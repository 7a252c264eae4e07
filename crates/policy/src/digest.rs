//! Digests of what is published, and of whom a revocation names.

use aws_lc_rs::digest::{Context, SHA256, digest};
use model::Digest;

fn of(output: &aws_lc_rs::digest::Digest) -> Digest {
    let mut bytes = [0_u8; 32];
    for (slot, byte) in bytes.iter_mut().zip(output.as_ref()) {
        *slot = *byte;
    }
    Digest(bytes)
}

/// SHA-256 of these bytes.
pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    of(&digest(&SHA256, bytes))
}

/// What a revocation or a limit names: SHA-256 of `ambit-subject-v1`, a zero byte, the kind, a
/// zero byte and the name.
///
/// Kinds: `agent`, `version`, `owner`, `instance`, `task`, `token`, `user`, `upstream`, `action`,
/// `effect`, `tenant`, and `all` with the name `*`. No kind
/// contains a zero byte, so two subjects never share their bytes.
#[must_use]
pub fn subject_digest(kind: &str, name: &str) -> Digest {
    let mut context = Context::new(&SHA256);
    context.update(b"ambit-subject-v1\0");
    context.update(kind.as_bytes());
    context.update(b"\0");
    context.update(name.as_bytes());
    of(&context.finish())
}
