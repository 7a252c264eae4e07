//! The tree, its proofs and tiles, against another author's implementation (`tlog_tiles`).

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what tests are made of cannot fail"
)]

use std::cell::RefCell;
use std::collections::HashMap;

use proptest::prelude::*;
use tlog::{
    Bundle, BundleError, EMPTY_ROOT, Frontier, FrontierError, Hash, HashReader, MemoryTree,
    ProofError, ReadError, Tile, TileError, TileReader, leaf_hash, verify_consistency,
    verify_inclusion,
};
use tlog_tiles::{Error as OracleError, Hash as OracleHash, HashReader as _};

/// The oracle's own store of hashes, filled by the oracle.
#[derive(Default)]
struct Oracle(RefCell<Vec<OracleHash>>);

impl tlog_tiles::HashReader for Oracle {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<OracleHash>, OracleError> {
        let stored = self.0.borrow();
        Ok(indexes.iter().map(|index| stored[usize::try_from(*index).unwrap()]).collect())
    }
}

impl Oracle {
    fn of(size: u64) -> Self {
        let oracle = Self::default();
        for index in 0..size {
            let hashes = tlog_tiles::stored_hashes(index, &leaf(index), &oracle).unwrap();
            oracle.0.borrow_mut().extend(hashes);
        }
        oracle
    }
}

fn leaf(index: u64) -> Vec<u8> {
    let length = usize::try_from(index % 7).unwrap();
    [index.to_be_bytes().as_slice(), &vec![0xAB; length]].concat()
}

fn tree(size: u64) -> MemoryTree {
    (0..size).map(|index| leaf_hash(&leaf(index))).collect()
}

fn plain(hashes: Vec<OracleHash>) -> Vec<Hash> {
    hashes.into_iter().map(|hash| hash.0).collect()
}

#[test]
fn roots_agree_at_every_size() {
    let oracle = Oracle::of(600);
    let mut frontier = Frontier::new();
    assert_eq!(frontier.root(), EMPTY_ROOT);
    assert_eq!(frontier.root(), tlog_tiles::EMPTY_HASH.0);
    for size in 1..=600 {
        frontier.append(leaf_hash(&leaf(size - 1)));
        let expected = tlog_tiles::tree_hash(size, &oracle).unwrap().0;
        assert_eq!(frontier.root(), expected, "size {size}");
        assert_eq!(tlog::root(&tree(600), size).unwrap(), expected, "size {size} from the store");
    }
}

#[test]
fn every_proof_of_small_trees_agrees() {
    let oracle = Oracle::of(40);
    let tree = tree(40);
    for size in 1..=40 {
        let root = tlog::root(&tree, size).unwrap();
        for index in 0..size {
            let ours = tlog::inclusion(&tree, index, size).unwrap();
            let theirs = plain(tlog_tiles::prove_record(size, index, &oracle).unwrap());
            assert_eq!(ours, theirs, "leaf {index} of {size}");
            verify_inclusion(&leaf_hash(&leaf(index)), index, size, &ours, &root).unwrap();
        }
        for old in 1..=size {
            let ours = tlog::consistency(&tree, old, size).unwrap();
            let theirs = plain(tlog_tiles::prove_tree(size, old, &oracle).unwrap());
            assert_eq!(ours, theirs, "{old} to {size}");
            let old_root = tlog::root(&tree, old).unwrap();
            verify_consistency(old, &old_root, size, &root, &ours).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn proofs_of_larger_trees_agree(size in 1..3_000_u64, at: prop::sample::Index) {
        let index = at.index(usize::try_from(size).unwrap()) as u64;
        let (oracle, tree) = (Oracle::of(size), tree(size));
        let root = tree.root();
        prop_assert_eq!(root, tlog_tiles::tree_hash(size, &oracle).unwrap().0);

        let proof = tree.inclusion(index).unwrap();
        prop_assert_eq!(&proof, &plain(tlog_tiles::prove_record(size, index, &oracle).unwrap()));
        let leaf = leaf_hash(&leaf(index));
        let theirs = |root: Hash, proof: &[Hash]| {
            let proof = proof.iter().map(|hash| OracleHash(*hash)).collect();
            tlog_tiles::check_record(&proof, size, OracleHash(root), index, OracleHash(leaf))
        };
        prop_assert_eq!(verify_inclusion(&leaf, index, size, &proof, &root), Ok(()));
        prop_assert!(theirs(root, &proof).is_ok());

        let old = index + 1;
        let proof = tree.consistency(old).unwrap();
        prop_assert_eq!(&proof, &plain(tlog_tiles::prove_tree(size, old, &oracle).unwrap()));
        let old_root = tlog::root(&tree, old).unwrap();
        prop_assert_eq!(verify_consistency(old, &old_root, size, &root, &proof), Ok(()));
    }

    /// Whatever is changed in a proof, both verifiers say the same, and neither believes it.
    #[test]
    fn altered_proofs_are_refused_by_both(
        size in 2..300_u64,
        at: prop::sample::Index,
        hash_at: prop::sample::Index,
        bit in 0..8_u32,
        how in 0..5_u8,
    ) {
        let index = at.index(usize::try_from(size).unwrap()) as u64;
        let tree = tree(size);
        let mut proof = tree.inclusion(index).unwrap();
        let (mut claimed_index, mut claimed_size) = (index, size);
        match how {
            0 => { let i = hash_at.index(proof.len()); proof[i][3] ^= 1 << bit; }
            1 => { proof.pop(); }
            2 => proof.push([7; 32]),
            3 => claimed_index ^= 1 << bit,
            _ => claimed_size += 1 << bit,
        }
        let leaf = leaf_hash(&leaf(index));
        let ours = verify_inclusion(&leaf, claimed_index, claimed_size, &proof, &tree.root());
        let theirs = claimed_index < claimed_size && tlog_tiles::check_record(
            &proof.iter().map(|hash| OracleHash(*hash)).collect(),
            claimed_size,
            OracleHash(tree.root()),
            claimed_index,
            OracleHash(leaf),
        ).is_ok();
        prop_assert_eq!(ours.is_ok(), theirs);
        // RFC 6962 does not bind the size: a larger one may have the same path.
        prop_assert!(how == 4 || ours.is_err());
    }

    #[test]
    fn altered_consistency_is_refused(
        size in 2..300_u64,
        at: prop::sample::Index,
        hash_at: prop::sample::Index,
        how in 0..5_u8,
    ) {
        let old = 1 + at.index(usize::try_from(size - 1).unwrap()) as u64;
        let tree = tree(size);
        let mut proof = tree.consistency(old).unwrap();
        let (mut old_root, mut root) = (tlog::root(&tree, old).unwrap(), tree.root());
        match how {
            0 => { let i = hash_at.index(proof.len()); proof[i][0] ^= 1; }
            1 => { proof.pop(); }
            2 => proof.push([7; 32]),
            3 => old_root[0] ^= 1,
            _ => root[0] ^= 1,
        }
        prop_assert!(verify_consistency(old, &old_root, size, &root, &proof).is_err());
    }

    #[test]
    fn tiles_of_a_growth_agree(old in 0..200_000_u64, by in 0..200_000_u64) {
        let ours: Vec<String> = Tile::growth(old, old + by).iter().map(Tile::path).collect();
        let theirs: Vec<String> = tlog_tiles::Tile::new_tiles(8, old, old + by)
            .iter()
            .map(|tile| tile.path().replacen("tile/8/", "tile/", 1))
            .collect();
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn tile_paths_agree_and_read_back(level in 0..=5_u8, index: u64, width in 1..=256_u16) {
        let tile = Tile::new(level, index, width).unwrap();
        let oracle = tlog_tiles::Tile::new(8, level, index, u32::from(width), false);
        prop_assert_eq!(tile.path(), oracle.path().replacen("tile/8/", "tile/", 1));
        prop_assert_eq!(Tile::parse(&tile.path()), Some(tile));
        let bundle = Bundle::new(index, width).unwrap();
        prop_assert_eq!(Bundle::parse(&bundle.path()), Some(bundle));
    }

    #[test]
    fn bundles_read_back(entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..=256)) {
        let bundle = Bundle::new(0, u16::try_from(entries.len()).unwrap()).unwrap();
        let bytes = bundle.encode(&entries).unwrap();
        prop_assert_eq!(bundle.decode(&bytes).unwrap(), entries);
        prop_assert_eq!(bundle.decode(&bytes[..bytes.len() - 1]).is_err(), true);
    }
}

/// A log that grew in steps publishes just the tiles by which a stranger computes every root, and
/// the oracle reads the same bytes.
#[test]
fn published_tiles_give_every_published_root() {
    let sizes = [0, 1, 255, 256, 257, 700, 65_536, 65_900, 70_001];
    let tree = tree(70_001);
    let mut published: HashMap<String, Vec<u8>> = HashMap::new();
    for step in sizes.windows(2) {
        for tile in Tile::growth(step[0], step[1]) {
            let bytes = tile.read(&tree).unwrap();
            assert!(published.insert(tile.path(), bytes).is_none(), "{} twice", tile.path());
        }
    }
    let fetch = |tile: &Tile| published.get(&tile.path()).cloned().ok_or("not published");
    for size in sizes {
        let reader = TileReader::new(size, fetch);
        let root = tlog::root(&tree, size).unwrap();
        assert_eq!(tlog::root(&reader, size), Ok(root), "size {size}");
        for index in [0, size / 2, size.saturating_sub(1)].into_iter().filter(|i| *i < size) {
            let proof = tlog::inclusion(&reader, index, size).unwrap();
            verify_inclusion(&leaf_hash(&leaf(index)), index, size, &proof, &root).unwrap();
        }
    }
    let oracle = Oracle::of(700);
    for tile in tlog_tiles::Tile::new_tiles(8, 257, 700) {
        let path = tile.path().replacen("tile/8/", "tile/", 1);
        assert_eq!(published[&path], tile.read_data(&oracle).unwrap(), "{path}");
    }
    assert_eq!(oracle.read_hashes(&[0]).unwrap()[0].0, leaf_hash(&leaf(0)));
}

#[test]
fn damaged_tiles_are_named() {
    let reader = TileReader::new(10, |_: &Tile| Ok::<_, ()>(vec![0; 31]));
    let path = "tile/0/000.p/10".to_owned();
    assert_eq!(reader.hash(0, 3), Err(TileError::Length { path: path.clone(), width: 10 }));
    let reader = TileReader::new(10, |_: &Tile| Err("gone"));
    assert_eq!(reader.hash(0, 3), Err(TileError::Fetch { path, source: "gone" }));
    for (level, index) in [(0, 10), (3, 1), (8, 0), (63, 0), (255, 9), (0, u64::MAX)] {
        let reader = TileReader::new(10, |_: &Tile| Ok::<_, ()>(vec![0; 320]));
        assert_eq!(reader.hash(level, index), Err(TileError::Range { level, index, size: 10 }));
    }
}

#[test]
fn only_one_spelling_of_a_path_is_read() {
    for path in ["tile/0/001", "tile/5/x001/x234/067", "tile/0/000.p/255", "tile/1/x001/000.p/1"] {
        assert_eq!(Tile::parse(path).map(|tile| tile.path()).as_deref(), Some(path));
    }
    for path in [
        "",
        "tile/0/",
        "tile/0/1",
        "tile/0/0001",
        "tile/00/001",
        "tile/6/001",
        "tile/0/001.p/0",
        "tile/0/001.p/256",
        "tile/0/001.p/01",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/x001/x002",
        "tile/0/x001",
        "tile/0/+01",
        "tile/entries/001",
        "tile/-1/001",
        "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        "/tile/0/001",
        "tile/0/001/",
    ] {
        assert_eq!(Tile::parse(path), None, "{path}");
    }
    assert_eq!(Tile::new(6, 0, 1), None);
    assert_eq!(Tile::new(0, 0, 0), None);
    assert_eq!(Tile::new(0, 0, 257), None);
}

#[test]
fn bundles_have_their_width_and_whole_entries() {
    let bundle = Bundle::new(0, 2).unwrap();
    assert_eq!(bundle.encode(&[b"ab".as_slice(), b""]), Ok(vec![0, 2, b'a', b'b', 0, 0]));
    let width = |found| BundleError::Width { found, width: 2 };
    assert_eq!(bundle.encode(&[b"ab"]), Err(width(1)));
    assert_eq!(bundle.decode(&[0, 0]), Err(width(1)));
    assert_eq!(bundle.decode(&[0, 0, 0, 0, 0, 0]), Err(width(3)));
    assert_eq!(bundle.decode(&[0, 0, 0, 3, 1, 2]), Err(BundleError::Truncated));
    assert_eq!(bundle.decode(&[0, 0, 0]), Err(BundleError::Truncated));
    let long = vec![0; 65_536];
    assert_eq!(bundle.encode(&[&long, &long]), Err(BundleError::Entry(65_536)));
    assert!(bundle.encode(&[&long[1..], &long[1..]]).is_ok());
    let growth: Vec<String> = Bundle::growth(255, 600).iter().map(Bundle::path).collect();
    assert_eq!(growth, ["tile/entries/000", "tile/entries/001", "tile/entries/002.p/88"]);
}

#[test]
fn what_is_outside_the_tree_is_refused() {
    let tree = tree(5);
    assert_eq!(tree.inclusion(5), Err(ReadError::Range { asked: 5, size: 5 }));
    assert_eq!(tree.consistency(6), Err(ReadError::Range { asked: 6, size: 5 }));
    let range = Err(ProofError::Range { asked: 5, size: 5 });
    assert_eq!(verify_inclusion(&[0; 32], 5, 5, &[], &[0; 32]), range);
    let range = Err(ProofError::Range { asked: 6, size: 5 });
    assert_eq!(verify_consistency(6, &[0; 32], 5, &[0; 32], &[]), range);
    // Nothing to prove, but the roots are compared.
    assert_eq!(verify_consistency(5, &[1; 32], 5, &[1; 32], &[]), Ok(()));
    assert_eq!(verify_consistency(5, &[1; 32], 5, &[2; 32], &[]), Err(ProofError::Root));
    assert_eq!(verify_consistency(0, &EMPTY_ROOT, 5, &[2; 32], &[]), Ok(()));
    assert_eq!(verify_consistency(0, &[1; 32], 5, &[2; 32], &[]), Err(ProofError::OldRoot));
    let length = Err(ProofError::Length);
    assert_eq!(verify_consistency(5, &[1; 32], 5, &[1; 32], &[[0; 32]]), length);
    let endless = vec![[0; 32]; 100_000];
    assert_eq!(verify_inclusion(&[0; 32], 1, u64::MAX, &endless, &[0; 32]), length);
    assert_eq!(verify_consistency(3, &[0; 32], u64::MAX, &[0; 32], &endless), length);
    assert_eq!(verify_consistency(3, &[0; 32], u64::MAX, &[0; 32], &[]), length);
    assert!(verify_inclusion(&[0; 32], u64::MAX - 1, u64::MAX, &[[0; 32]; 64], &[0; 32]).is_err());
}

#[test]
fn a_frontier_resumes_from_its_bytes() {
    let mut frontier = Frontier::new();
    for index in 0..300 {
        let bytes = frontier.to_bytes();
        frontier = Frontier::from_bytes(&bytes).unwrap();
        assert_eq!(frontier.append(leaf_hash(&leaf(index))), index);
    }
    assert_eq!(frontier.root(), tree(300).root());

    let bytes = frontier.to_bytes();
    assert_eq!(Frontier::from_bytes(&[]), Err(FrontierError::Version));
    assert_eq!(Frontier::from_bytes(&[&[2], &bytes[1..]].concat()), Err(FrontierError::Version));
    for cut in 1..bytes.len() {
        assert_eq!(Frontier::from_bytes(&bytes[..cut]), Err(FrontierError::Length), "cut {cut}");
    }
    assert_eq!(
        Frontier::from_bytes(&[bytes.as_slice(), &[0; 32]].concat()),
        Err(FrontierError::Length)
    );
}
