//! Cuts a batch's leaves apart even where one of them was altered.

use crate::{batch::Row, leaf::Leaf};
use model::record::RecordKind;

/// The leaves of a row. Where a leaf cannot be read, its length is told by its stored hash, or by the leaf after it.
pub(super) fn split(row: &Row) -> Vec<&[u8]> {
    let mut leaves = Vec::new();
    let mut rest = row.leaves.as_slice();
    let mut hashes = row.leaf_hashes();
    while !rest.is_empty() {
        let (leaf, after) = cut(rest, hashes.next());
        leaves.push(leaf);
        rest = after;
    }
    leaves
}

fn cut(rest: &[u8], hash: Option<tlog::Hash>) -> (&[u8], &[u8]) {
    let lengths = [Leaf::length(RecordKind::Opened), Leaf::length(RecordKind::Control)];
    let cuts = || lengths.iter().filter_map(|length| rest.split_at_checked(*length));
    let hashed = cuts().find(|(leaf, _)| hash == Some(tlog::leaf_hash(leaf)));
    let plausible = || cuts().find(|(_, after)| after.is_empty() || Leaf::decode(after).is_ok());
    hashed.or_else(plausible).or_else(|| cuts().next()).unwrap_or((rest, &[]))
}
