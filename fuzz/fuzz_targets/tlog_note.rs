//! Any bytes as a note, a checkpoint, a verifier key, a tile path, a map proof and a frontier:
//! nothing panics, what is read has one spelling, and `signed_note` believes the same notes.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tlog::map::MapProof;
use tlog::note::{open, sign};
use tlog::{Bundle, Checkpoint, Frontier, NoteSigner, NoteVerifier, Tile};

static SIGNER: LazyLock<NoteSigner> =
    LazyLock::new(|| NoteSigner::from_seed("log", &[1; 32]).expect("a fixed key"));

fuzz_target!(|input: &[u8]| {
    note(input);
    if let Ok(text) = std::str::from_utf8(input) {
        if let Ok(checkpoint) = Checkpoint::parse(text) {
            assert_eq!(checkpoint.to_string(), text);
        }
        if let Ok(key) = NoteVerifier::parse(text) {
            assert_eq!(key.to_string(), text);
        }
        if let Some(tile) = Tile::parse(text) {
            assert_eq!(tile.path(), text);
        }
        if let Some(bundle) = Bundle::parse(text) {
            assert_eq!(bundle.path(), text);
        }
        if let Ok(note) = sign(text, &[&*SIGNER]) {
            let opened = open(note.as_bytes(), &[SIGNER.verifier().clone()]).expect("our own");
            assert_eq!(opened.text(), text);
        }
    }
    if let Ok(proof) = MapProof::from_bytes(input) {
        assert_eq!(proof.to_bytes(), input);
        assert!(proof.verify(&[1; 32], &[2; 32]).is_err());
    }
    if let Ok(frontier) = Frontier::from_bytes(input) {
        assert_eq!(frontier.to_bytes(), input);
        std::hint::black_box(frontier.root());
    }
});

/// The bytes behind a genuine note's text, and the bytes as a whole note.
fn note(input: &[u8]) {
    let genuine = sign("text\n", &[&*SIGNER]).expect("a fixed text");
    for note in [input.to_vec(), [genuine.as_bytes(), input].concat()] {
        let ours = open(&note, &[SIGNER.verifier().clone()]);
        let vkey = SIGNER.verifier().to_string();
        let known = signed_note::StandardVerifier::new(&vkey).expect("our own key");
        let known = signed_note::VerifierList::new(vec![Box::new(known)]);
        let theirs =
            signed_note::Note::from_bytes(&note).ok().filter(|note| note.verify(&known).is_ok());
        if let Ok(opened) = ours {
            let theirs = theirs.expect("what we believe they believe");
            assert_eq!(theirs.text(), opened.text().as_bytes());
        }
    }
}
