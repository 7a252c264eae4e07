//! Bytes that must never change: another program or a later version reads them.

use tlog::map::Map;
use tlog::note::{open, sign};
use tlog::{Checkpoint, Frontier, NoteSigner, NoteVerifier, Tile, leaf_hash, node_hash};

fn frontier() -> Frontier {
    let mut frontier = Frontier::new();
    for leaf in [b"a".as_slice(), b"b", b"c", b"d", b"e", b"f", b"g"] {
        frontier.append(leaf_hash(leaf));
    }
    frontier
}

#[test]
fn hashes() {
    // The test vectors of RFC 6962 implementations: an empty leaf, and the node over two of them.
    let empty = leaf_hash(b"");
    assert_eq!(
        hex::encode(empty),
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    );
    assert_eq!(
        hex::encode(node_hash(&empty, &empty)),
        "fe43d66afa4a9a5c4f9c9da89f4ffb52635c8f342e7ffb731d68e36c5982072a"
    );
}

#[test]
fn frontier_version_1() {
    assert_eq!(
        hex::encode(frontier().root()),
        "4ae191939f548d9934740b88dea2c5cb89bb8870fc4505cd79dec6bbfaaee9cb"
    );
    assert_eq!(
        hex::encode(frontier().to_bytes()),
        "01000000000000000733376a3bd63e9993708a84ddfe6c28ae58b83505dd1fed711bd924ec5a6239f0918566184c9d5be235ad2b6dd60828f5cec14fc409f02f7db8647009ec6da5885aeb196e83598231b45c61f3e0c5a0fda49b0d4f86a6db5f893aacccf514fa99"
    );
}

#[test]
fn map_version_1() {
    let map: Map = (0..5_u8).map(|n| (leaf_hash(&[n]), [n; 32])).collect();
    assert_eq!(
        hex::encode(map.root()),
        "4d316a4f91ae40b35ca898eb5700f47fe7cb467ca4a7cc447049e6fa4162a822"
    );
    assert_eq!(
        hex::encode(map.prove(&leaf_hash(&[3])).to_bytes()),
        "0101583c7dfb7b3055d99465544032a571e10a134b1b6f769422bbb71fd7fa167a5d030303030303030303030303030303030303030303030303030303030303030383474ae8ae7979f5f79d97830b71f236eeae227f43ddf95023f321a7a466d7c60000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000074d25ada5fb26c2a749267d1cbd970f1164592d9c4a9a6ed0ca0f4995230e0ca"
    );
    assert_eq!(
        hex::encode(map.prove(&leaf_hash(&[9])).to_bytes()),
        "0101fcf0a6c700dd13e274b6fba8deea8dd9b26e4eedde3495717cac8408c9c5177f0202020202020202020202020202020202020202020202020202020202020202175036ab840809f62f381425a21aa0363f6ff5ce64e04c5139465b883b73d899cb8268c139ba94660a91b1a3919ad5b1d8228c83accb5a7213ca72d9c355b7eb"
    );
}

#[test]
fn checkpoint_note() {
    let signer = NoteSigner::from_seed("ambit.example/ledger", &[1; 32]).unwrap();
    let checkpoint = Checkpoint::new("ambit.example/ledger", 7, frontier().root()).unwrap();
    let note = sign(&checkpoint.to_string(), &[&signer]).unwrap();
    assert_eq!(
        note,
        "ambit.example/ledger\n\
        7\n\
        SuGRk59UjZk0dAuI3qLFy4m7iHD8RQXNed7Gu/qu6cs=\n\
        \n\
        — ambit.example/ledger cMhK4lYFCkF29LJVnD1qKPJZ97hQHYOIbx3ymjmypwYxKOBNhhzNQBBsQHp78AO9zP5dwO8D2b1w4bGHZDJkIWyZ6Ak=\n"
    );
    let vkey = "ambit.example/ledger+70c84ae2+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c";
    assert_eq!(signer.verifier().to_string(), vkey);
    assert!(open(note.as_bytes(), &[NoteVerifier::parse(vkey).unwrap()]).is_ok());
}

/// The example of the Go checksum database's documentation: a key and a note made by Go.
#[test]
fn a_note_made_by_go() {
    let vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let note = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    let opened = open(note.as_bytes(), &[NoteVerifier::parse(vkey).unwrap()]).unwrap();
    assert_eq!(opened.signers().len(), 1);
}

#[test]
fn tile_paths() {
    let paths: Vec<String> = Tile::growth(0, 70_000).iter().map(Tile::path).collect();
    assert_eq!(paths.first().map(String::as_str), Some("tile/0/000"));
    assert_eq!(
        paths[paths.len() - 4..],
        ["tile/0/273.p/112", "tile/1/000", "tile/1/001.p/17", "tile/2/000.p/1"]
    );
    assert_eq!(Tile::new(3, 1_234_067, 256).unwrap().path(), "tile/3/x001/x234/067");
}
