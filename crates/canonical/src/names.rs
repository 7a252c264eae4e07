//! How member names are ordered (RFC 8785 section 3.2.3) and which of them a lenient reader would
//! take for one another.

use std::cmp::Ordering;

use crate::limits::PAIRWISE_MEMBERS;

/// Whether some reader may take the two names for the same member: equal, or equal but for case.
///
/// The relation is coarser than Unicode simple case folding (which Go's `encoding/json` uses), as
/// it also joins what other readers join: `ß` and `ss`, dotless `ı` and `i`. Use it for names of
/// query and form parameters too.
#[must_use]
pub fn collide(left: &str, right: &str) -> bool {
    // A fault for the fuzzer to find: case makes a difference.
    if cfg!(feature = "canary") {
        return left == right;
    }
    if left.is_ascii() && right.is_ascii() {
        left.eq_ignore_ascii_case(right)
    } else {
        folded(left).eq(folded(right))
    }
}

/// The order of RFC 8785: by UTF-16 code units.
///
/// It is the order of the UTF-8 bytes but where a character beyond U+FFFF (first byte F0 and
/// above, a surrogate pair D800.. in UTF-16) meets one of U+E000..U+FFFF (first byte EE or EF).
pub(crate) fn order(left: &str, right: &str) -> Ordering {
    let mut pairs = left.bytes().zip(right.bytes());
    match pairs.find(|(a, b)| a != b) {
        Some((0xEE..=0xEF, 0xF0..)) => Ordering::Greater,
        Some((0xF0.., 0xEE..=0xEF)) => Ordering::Less,
        Some((a, b)) => a.cmp(&b),
        None => left.len().cmp(&right.len()),
    }
}

/// The first place at which a name collides with an earlier one: (earlier, later), `later` being
/// the smallest such index for few names, any for many.
pub(crate) fn collision<T>(members: &[(String, T)]) -> Option<(usize, usize)> {
    if members.len() <= PAIRWISE_MEMBERS { pairwise(members) } else { by_hash(members) }
}

fn pairwise<T>(members: &[(String, T)]) -> Option<(usize, usize)> {
    let ascii = members.iter().all(|(name, _)| name.is_ascii());
    for (later, (name, _)) in members.iter().enumerate() {
        let same = |(other, _): &(String, T)| {
            if ascii && !cfg!(feature = "canary") {
                name.eq_ignore_ascii_case(other)
            } else {
                collide(name, other)
            }
        };
        if let Some(earlier) = members.iter().take(later).position(same) {
            return Some((earlier, later));
        }
    }
    None
}

/// Sorts by hash and, where hashes meet, by the folded names themselves, so that names made to
/// collide cost a sort and nothing more.
fn by_hash<T>(members: &[(String, T)]) -> Option<(usize, usize)> {
    let mut keys: Vec<(u64, usize, &str)> = members
        .iter()
        .enumerate()
        .map(|(index, (name, _))| (fold_hash(name), index, name.as_str()))
        .collect();
    keys.sort_unstable_by(|a, b| {
        a.0.cmp(&b.0).then_with(|| fold_order(a.2, b.2)).then_with(|| a.1.cmp(&b.1))
    });
    keys.iter()
        .zip(keys.iter().skip(1))
        .filter(|(a, b)| a.0 == b.0 && collide(a.2, b.2))
        .map(|(a, b)| (a.1, b.1))
        .min_by_key(|(_, later)| *later)
}

fn fold_order(left: &str, right: &str) -> Ordering {
    folded(left).cmp(folded(right))
}

/// FNV-1a over the folded name; equal for names that collide.
fn fold_hash(name: &str) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let step = |hash: u64, unit: u32| (hash ^ u64::from(unit)).wrapping_mul(PRIME);
    if name.is_ascii() {
        name.bytes().fold(OFFSET, |hash, byte| step(hash, u32::from(byte.to_ascii_lowercase())))
    } else {
        folded(name).fold(OFFSET, |hash, unit| step(hash, u32::from(unit)))
    }
}

/// Lower, upper, lower: the first step brings `ẞ` to `ß`, the second joins `ſ`, `ς`, `ı` with
/// their kin, the third gives one form.
fn folded(name: &str) -> impl Iterator<Item = char> {
    name.chars()
        .flat_map(char::to_lowercase)
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
}
