//! SHA-256 over parts, and the digest that names who is revoked.

use aws_lc_rs::digest::{Context, SHA256};
use model::Digest;

/// SHA-256 of the parts one after the other.
pub(crate) fn sha256(parts: &[&[u8]]) -> Digest {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0_u8; 32];
    out.copy_from_slice(context.finish().as_ref());
    Digest(out)
}

/// Names a subject of revocation: SHA-256 of `ambit-subject-v1`, a zero byte, the kind, a zero byte, the name.
///
/// Kinds are `agent`, `client`, `version`, `owner`, `instance`, `task`, `token`, `user`, `upstream`, `action`, `effect`, `tenant`
/// and `all` (with the name `*`). The same digest comes
/// from a control key `frozen/<kind>/<name>` or `revoked/<kind>/<name>`, or from `stopped/<cause>/<kind>/<name>`, which the
/// registry writes.
#[must_use]
pub fn subject_digest(kind: &str, name: &str) -> Digest {
    sha256(&[b"ambit-subject-v1\0", kind.as_bytes(), b"\0", name.as_bytes()])
}

/// The subject that a control key freezes or revokes, if it is such a key.
#[must_use]
pub fn revoked_subject(key: &str) -> Option<Digest> {
    let by_a_person = key.strip_prefix("frozen/").or_else(|| key.strip_prefix("revoked/"));
    let by_the_registry = || key.strip_prefix("stopped/")?.split_once('/').map(|(_, rest)| rest);
    let rest = by_a_person.or_else(by_the_registry)?;
    let (kind, name) = rest.split_once('/')?;
    Some(subject_digest(kind, name))
}
