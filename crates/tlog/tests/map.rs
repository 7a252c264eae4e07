//! The sparse Merkle map against a plain sorted map, and its proofs.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what tests are made of cannot fail"
)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use tlog::Hash;
use tlog::map::{EMPTY_ROOT, Map, MapProof, MapProofError};

/// Keys that meet in many of their first bits, as hashed ones seldom do.
fn key(seed: u8) -> Hash {
    let mut key = [0; 32];
    key[0] = seed & 0x80;
    key[1] = seed & 0x0F;
    key[31] = seed;
    key
}

fn value(seed: u8) -> Hash {
    [seed; 32]
}

/// The definition of the root, written down directly.
fn root_by_definition(entries: &BTreeMap<Hash, Hash>) -> Hash {
    fn sha256(parts: &[&[u8]]) -> Hash {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &parts.concat());
        digest.as_ref().try_into().unwrap()
    }
    fn over(entries: &[(Hash, Hash)], depth: usize) -> Hash {
        match entries {
            [] => [0; 32],
            [(key, value)] => sha256(&[&[2], key, value]),
            _ => {
                let right = |key: &Hash| key[depth / 8] >> (7 - depth % 8) & 1 == 1;
                let (ones, zeros): (Vec<_>, Vec<_>) =
                    entries.iter().copied().partition(|(key, _)| right(key));
                sha256(&[&[3], &over(&zeros, depth + 1), &over(&ones, depth + 1)])
            }
        }
    }
    over(&entries.iter().map(|(k, v)| (*k, *v)).collect::<Vec<_>>(), 0)
}

proptest! {
    #[test]
    fn the_root_depends_on_the_set_alone(steps in prop::collection::vec((any::<u8>(), any::<u8>(), 0..3_u8), 0..60)) {
        let mut model = BTreeMap::new();
        let mut map = Map::new();
        for (k, v, what) in steps {
            if what == 0 {
                prop_assert_eq!(map.remove(&key(k)), model.remove(&key(k)));
            } else {
                prop_assert_eq!(map.insert(key(k), value(v)), model.insert(key(k), value(v)));
            }
            prop_assert_eq!(map.len(), model.len());
            prop_assert_eq!(map.root(), root_by_definition(&model));
        }
        let built: Map = model.iter().map(|(k, v)| (*k, *v)).collect();
        prop_assert_eq!(built.root(), map.root());
        let reversed: Map = model.iter().rev().map(|(k, v)| (*k, *v)).collect();
        prop_assert_eq!(reversed.root(), map.root());
        for (k, v) in &model {
            prop_assert_eq!(map.get(k), Some(v));
        }
        for (k, _) in model.clone() {
            map.remove(&k);
        }
        prop_assert_eq!(map.root(), EMPTY_ROOT);
        prop_assert!(map.is_empty());
    }

    #[test]
    fn proofs_say_what_the_map_says(keys in prop::collection::btree_set(any::<u8>(), 0..40), asked: u8) {
        let map: Map = keys.iter().map(|k| (key(*k), value(*k))).collect();
        let proof = map.prove(&key(asked));
        let expected = keys.contains(&asked).then(|| value(asked));
        prop_assert_eq!(proof.verify(&map.root(), &key(asked)), Ok(expected));
        let bytes = proof.to_bytes();
        prop_assert_eq!(MapProof::from_bytes(&bytes), Ok(proof.clone()));
        // The same proof says nothing else under another root.
        let mut other = map.clone();
        other.insert(key(asked), value(asked).map(|byte| !byte));
        prop_assert!(proof.verify(&other.root(), &key(asked)).is_err());
    }

    /// No altered proof turns presence into absence, absence into presence, or one value into
    /// another.
    #[test]
    fn altered_proofs_never_lie(
        keys in prop::collection::btree_set(any::<u8>(), 1..40),
        asked: u8,
        at: prop::sample::Index,
        to: u8,
        cut in 0..3_usize,
    ) {
        let map: Map = keys.iter().map(|k| (key(*k), value(*k))).collect();
        let truth = keys.contains(&asked).then(|| value(asked));
        let mut bytes = map.prove(&key(asked)).to_bytes();
        let at = at.index(bytes.len());
        bytes[at] = to;
        bytes.truncate(bytes.len() - 32 * cut.min(bytes.len() / 32));
        if let Ok(said) = MapProof::from_bytes(&bytes).and_then(|p| p.verify(&map.root(), &key(asked))) {
            prop_assert_eq!(said, truth);
        }
    }
}

/// A leaf of another key that stands elsewhere proves nothing about this one.
#[test]
fn absence_by_a_leaf_elsewhere_is_refused() {
    let (here, there) = ([0x00; 32], [0xFF; 32]);
    let map: Map = [(here, value(1)), (there, value(2))].into_iter().collect();
    let mut near = here;
    near[31] = 1;
    assert_eq!(map.prove(&near).verify(&map.root(), &near), Ok(None));
    assert_eq!(map.prove(&there).verify(&map.root(), &near), Err(MapProofError::Path));
    assert_eq!(map.prove(&here).verify(&map.root(), &there), Err(MapProofError::Path));
}

#[test]
fn malformed_proofs_are_refused() {
    let good = Map::new().prove(&[1; 32]).to_bytes();
    assert_eq!(good, [1, 0]);
    assert_eq!(MapProof::from_bytes(&good).unwrap().verify(&EMPTY_ROOT, &[1; 32]), Ok(None));
    let mut cases = vec![vec![], vec![1], vec![2, 0], vec![1, 2], vec![1, 0, 0], vec![1, 1]];
    cases.push([[1, 1].as_slice(), &[0; 32]].concat());
    cases.push([[1, 0].as_slice(), &[0; 32 * 257]].concat());
    for bytes in cases {
        assert_eq!(MapProof::from_bytes(&bytes), Err(MapProofError::Malformed));
    }
    assert!(MapProof::from_bytes(&[[1, 0].as_slice(), &[0; 32 * 256]].concat()).is_ok());
}

#[test]
fn keys_that_differ_in_the_last_bit_only() {
    let (even, mut odd) = ([7; 32], [7; 32]);
    odd[31] = 6;
    let mut map: Map = [(even, value(1)), (odd, value(2)), (even, value(3))].into_iter().collect();
    assert_eq!((map.len(), map.get(&even)), (2, Some(&value(3))));
    assert_eq!(map.prove(&odd).verify(&map.root(), &odd), Ok(Some(value(2))));
    let mut alone = Map::new();
    alone.insert(odd, value(2));
    map.remove(&even);
    assert_eq!(map.root(), alone.root());
}
