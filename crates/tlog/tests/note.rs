//! Checkpoints and signed notes, in both directions with another author's implementation
//! (`signed_note`, `tlog_tiles`).

#![expect(clippy::unwrap_used, reason = "what tests are made of cannot fail")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use signed_note::Verifier as _;
use tlog::note::{KeyError, open, sign};
use tlog::{Checkpoint, CheckpointError, NoteError, NoteSigner, NoteVerifier};

const TEXT: &str = "ambit.example/ledger\n42\nq6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=\n";

fn signer(name: &str, seed: u8) -> NoteSigner {
    NoteSigner::from_seed(name, &[seed; 32]).unwrap()
}

fn their_verifiers(keys: &[&NoteSigner]) -> signed_note::VerifierList {
    let verifier = |key: &&NoteSigner| {
        let vkey = key.verifier().to_string();
        Box::new(signed_note::StandardVerifier::new(&vkey).unwrap())
            as Box<dyn signed_note::Verifier>
    };
    signed_note::VerifierList::new(keys.iter().map(verifier).collect())
}

/// The oracle's signer of the same seed and name.
fn their_signer(ours: &NoteSigner, seed: u8) -> signed_note::StandardSigner {
    let vkey = ours.verifier().to_string();
    let (name, rest) = vkey.split_once('+').unwrap();
    let (id, _) = rest.split_once('+').unwrap();
    let key = STANDARD.encode([&[1], [seed; 32].as_slice()].concat());
    signed_note::StandardSigner::new(&format!("PRIVATE+KEY+{name}+{id}+{key}")).unwrap()
}

#[test]
fn they_open_ours() {
    let (log, witness) = (signer("ambit.example/ledger", 1), signer("witness.example", 2));
    let note = sign(TEXT, &[&log, &witness]).unwrap();
    let parsed = signed_note::Note::from_bytes(note.as_bytes()).unwrap();
    let (verified, unverified) = parsed.verify(&their_verifiers(&[&log, &witness])).unwrap();
    assert_eq!((verified.len(), unverified.len()), (2, 0));
    assert_eq!(parsed.text(), TEXT.as_bytes());
    let (verified, unverified) = parsed.verify(&their_verifiers(&[&witness])).unwrap();
    assert_eq!((verified.len(), unverified.len()), (1, 1));
}

#[test]
fn we_open_theirs() {
    let (log, other) = (signer("ambit.example/ledger", 1), signer("other.example", 2));
    let mut note = signed_note::Note::new(TEXT.as_bytes(), &[]).unwrap();
    note.add_sigs(&[&their_signer(&other, 2), &their_signer(&log, 1)]).unwrap();
    let opened = open(&note.to_bytes(), &[log.verifier().clone()]).unwrap();
    assert_eq!(opened.text(), TEXT);
    assert_eq!(opened.signers(), [log.verifier().clone()]);
    assert_eq!(opened.unknown(), 1);
}

#[test]
fn keys_agree() {
    for (name, seed) in [("a", 0), ("ambit.example/ledger", 7), ("ünïcode", 255)] {
        let ours = signer(name, seed);
        let vkey = ours.verifier().to_string();
        let theirs = signed_note::StandardVerifier::new(&vkey).unwrap();
        assert_eq!(theirs.name(), name);
        assert_eq!(NoteVerifier::parse(&vkey).as_ref(), Ok(ours.verifier()));
        assert!(!format!("{ours:?}").contains(&format!("{:?}", [seed; 32])));
    }
}

#[test]
fn pkcs8_gives_the_same_key_as_its_seed() {
    let prefix = hex::decode("302e020100300506032b657004220420").unwrap();
    let pkcs8 = [prefix.as_slice(), &[9; 32]].concat();
    let from_pkcs8 = NoteSigner::from_pkcs8("a", &pkcs8).unwrap();
    assert_eq!(from_pkcs8.verifier(), signer("a", 9).verifier());
    assert_eq!(NoteSigner::from_pkcs8("a", &pkcs8[1..]).err(), Some(KeyError::Private));
}

#[test]
fn malformed_verifier_keys_are_refused() {
    let good = signer("name", 1).verifier().to_string();
    assert!(NoteVerifier::parse(&good).is_ok());
    let key = good.split('+').nth(2).unwrap();
    let id = good.split('+').nth(1).unwrap();
    let other_algorithm = STANDARD.encode([&[4], [0; 32].as_slice()].concat());
    for (vkey, expected) in [
        (String::new(), KeyError::Form),
        (format!("name+{id}"), KeyError::Form),
        (format!("name+{id}+!"), KeyError::Form),
        (format!("name+{id}+"), KeyError::Form),
        (format!("name+{id}+{}", STANDARD.encode([1; 32])), KeyError::Form),
        (format!("+{id}+{key}"), KeyError::Name),
        (format!("na me+{id}+{key}"), KeyError::Name),
        (format!("nam\u{7}e+{id}+{key}"), KeyError::Name),
        (format!("nane+{id}+{key}"), KeyError::Id),
        (format!("name+{}+{key}", id.to_uppercase()), KeyError::Id),
        (format!("name+{id}+{other_algorithm}"), KeyError::Algorithm),
    ] {
        assert_eq!(NoteVerifier::parse(&vkey), Err(expected), "{vkey}");
    }
    for name in ["", "a b", "a+b", "a\nb", "a\u{a0}b", "a\tb"] {
        assert_eq!(NoteSigner::from_seed(name, &[0; 32]).err(), Some(KeyError::Name), "{name:?}");
    }
}

#[test]
fn what_cannot_be_signed_is_refused() {
    let key = signer("a", 1);
    for text in ["", "a", "a\r\n", "a\u{0}\n"] {
        assert_eq!(sign(text, &[&key]), Err(NoteError::Text), "{text:?}");
    }
    assert_eq!(sign("a\n", &[]), Err(NoteError::NoSigner));
    assert_eq!(sign(&format!("{}\n", "a".repeat(65_536)), &[&key]), Err(NoteError::TooLong));
    let blank_lines = sign("a\n\n\nb\n\n", &[&key]).unwrap();
    assert_eq!(
        open(blank_lines.as_bytes(), &[key.verifier().clone()]).unwrap().text(),
        "a\n\n\nb\n\n"
    );
}

/// Each malformed note beside the well-formed one it was made from.
#[test]
fn malformed_notes_are_refused() {
    let key = signer("a", 1);
    let good = sign(TEXT, &[&key]).unwrap();
    let line = good.rsplit("\n\n").next().unwrap();
    let known = [key.verifier().clone()];
    assert!(open(good.as_bytes(), &known).is_ok());
    let check = |note: &[u8], expected: &str| {
        let error = open(note, &known).unwrap_err().to_string();
        assert!(error.contains(expected), "{error} for {:?}", String::from_utf8_lossy(note));
        let theirs = signed_note::Note::from_bytes(note)
            .is_ok_and(|note| note.verify(&their_verifiers(&[&key])).is_ok());
        assert!(!theirs, "the oracle believes {:?}", String::from_utf8_lossy(note));
    };
    check(b"", "blank line");
    check(b"\xff", "UTF-8");
    check(TEXT.as_bytes(), "blank line");
    check(format!("{TEXT}\n").as_bytes(), "signature line");
    check(good.trim_end().as_bytes(), "signature line");
    check(good.replace("42", "4\t2").as_bytes(), "control");
    check(good.replace("— ", "- ").as_bytes(), "no signature");
    check(good.replace("— a ", "— a+b ").as_bytes(), "no signature");
    check(good.replace("— a ", "— ").as_bytes(), "no signature");
    check(format!("{good}\n{line}").as_bytes(), "altered");
    check(format!("{good}x\n").as_bytes(), "no signature");
    check(format!("{TEXT}\n— a AAAAAA==\n").as_bytes(), "no signature");
    check(good.replace("42", "43").as_bytes(), "altered");
    check(good.replace("— a ", "— b ").as_bytes(), "none of the known");
    check("a".repeat(65_537).as_bytes(), "longer");
    let few: String = std::iter::repeat_n("— b AAAAAAAA\n", 63).collect();
    assert_eq!(open(format!("{TEXT}\n{few}{line}").as_bytes(), &known).unwrap().unknown(), 63);
    let many: String = std::iter::repeat_n("— b AAAAAAAA\n", 64).collect();
    let error = open(format!("{TEXT}\n{many}{line}").as_bytes(), &known).unwrap_err();
    assert_eq!(error, NoteError::Malformed("it has too many signatures"));
    // A key of the same name, and one that signed twice, count once or not at all.
    let same_name = signer("a", 2);
    let both = sign(TEXT, &[&same_name, &key, &key]).unwrap();
    let opened = open(both.as_bytes(), &known).unwrap();
    assert_eq!((opened.signers().len(), opened.unknown()), (1, 1));
}

proptest! {
    #[test]
    fn notes_agree_both_ways(text in "[a-zA-Z0-9 äé—\n]{0,60}\n", seed: u8) {
        let key = signer("log", seed);
        let ours = sign(&text, &[&key]).unwrap();
        let mut theirs = signed_note::Note::new(text.as_bytes(), &[]).unwrap();
        theirs.add_sigs(&[&their_signer(&key, seed)]).unwrap();
        // Ed25519 signs deterministically: the same bytes.
        prop_assert_eq!(ours.as_bytes(), theirs.to_bytes());
        let opened = open(ours.as_bytes(), &[key.verifier().clone()]).unwrap();
        prop_assert_eq!(opened.text(), text);
    }

    #[test]
    fn one_changed_byte_is_never_believed_with_another_text(at: prop::sample::Index, to: u8) {
        let key = signer("log", 3);
        let mut note = sign(TEXT, &[&key]).unwrap().into_bytes();
        let at = at.index(note.len());
        note[at] = to;
        if let Ok(opened) = open(&note, &[key.verifier().clone()]) {
            prop_assert_eq!(opened.text(), TEXT);
        }
    }

    #[test]
    fn checkpoints_agree(origin in "[a-z./]{1,20}", size: u64, root: [u8; 32], lines in prop::collection::vec("[a-z ]{1,9}", 0..3)) {
        let theirs = tlog_tiles::Checkpoint::new(
            &origin, size, tlog_tiles::Hash(root), &lines.iter().map(|l| format!("{l}\n")).collect::<String>(),
        ).unwrap();
        let body = String::from_utf8(theirs.to_bytes()).unwrap();
        let ours = Checkpoint::parse(&body).unwrap();
        prop_assert_eq!((ours.origin(), ours.size(), ours.root()), (origin.as_str(), size, &root));
        prop_assert_eq!(ours.extensions(), lines);
        prop_assert_eq!(ours.to_string(), body);
    }
}

#[test]
fn malformed_checkpoints_are_refused() {
    let good = Checkpoint::parse(TEXT).unwrap();
    assert_eq!(
        (good.origin(), good.size(), good.root()),
        ("ambit.example/ledger", 42, &[0xAB; 32])
    );
    assert_eq!(good.to_string(), TEXT);
    for (from, to, expected) in [
        ("ambit.example/ledger", "", CheckpointError::Origin),
        ("ambit", "am\u{7f}bit", CheckpointError::Origin),
        ("42", "042", CheckpointError::Size),
        ("42", "+42", CheckpointError::Size),
        ("42", "-1", CheckpointError::Size),
        ("42", "", CheckpointError::Size),
        ("42", "18446744073709551616", CheckpointError::Size),
        ("q6s=", "q6s", CheckpointError::Root),
        ("q6ur", "", CheckpointError::Root),
        ("q6s=\n", "q6s=", CheckpointError::Lines),
        ("q6s=\n", "q6s=\n\n", CheckpointError::Lines),
        ("q6s=\n", "q6s=\n\nx\n", CheckpointError::Lines),
    ] {
        assert_eq!(Checkpoint::parse(&TEXT.replace(from, to)), Err(expected), "{from} {to}");
    }
    assert_eq!(Checkpoint::parse(""), Err(CheckpointError::Lines));
    assert_eq!(Checkpoint::new("a\nb", 1, [0; 32]), Err(CheckpointError::Origin));
}
