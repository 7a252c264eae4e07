//! The embedded vault: upstreams' secrets as rows of control state, sealed under the key-encryption key.
//!
//! A secret changes with its record in one transaction, and the root over all control state vouches for the sealed
//! row, so that an older value cannot be put back without the ledger saying so.

use crate::{error::StoreError, start::Store};
use ledger::{Entropy, Kek, Purpose};
use model::{Timestamp, record::StateChange};
use zeroize::Zeroizing;

/// The prefix of the rows: `secret/NAME`.
const PREFIX: &str = "secret/";
/// The first byte of a row.
const VERSION: u8 = 1;

/// What may be told of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFacts {
    /// Its name.
    pub name: String,
    /// When it was set.
    pub set: Timestamp,
    /// The key-encryption key that it is sealed under, by its name in hexadecimal.
    pub key: String,
}

/// A row, divided: version, name of the key, time, sealed value.
struct Row<'a> {
    key: [u8; 8],
    set: Timestamp,
    sealed: &'a [u8],
}

impl Store {
    /// The change that sets a secret. It takes effect once a control record with it is durable.
    pub fn seal_secret(
        &self,
        name: &str,
        value: &[u8],
        now: Timestamp,
    ) -> Result<StateChange, StoreError> {
        let row = seal(self.kek(), self.entropy(), name, value, now)?;
        Ok(StateChange { key: format!("{PREFIX}{name}"), value: Some(row) })
    }

    /// The change that removes a secret.
    #[must_use]
    pub fn remove_secret(&self, name: &str) -> StateChange {
        StateChange { key: format!("{PREFIX}{name}"), value: None }
    }

    /// A secret, opened; `None` if there is none with this name.
    pub fn secret(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let state = self.state();
        let row = state.rows.get(&format!("{PREFIX}{name}"));
        row.map(|row| open(self.kek(), name, row)).transpose()
    }

    /// A number that is another one after each change of the secret; `None` if there is none with this name.
    #[must_use]
    pub fn secret_stamp(&self, name: &str) -> Option<u64> {
        let state = self.state();
        let row = Row::read(state.rows.get(&format!("{PREFIX}{name}"))?)?;
        // The nonce, which is drawn anew each time.
        row.sealed.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
    }

    /// All secrets, by their names.
    #[must_use]
    pub fn secrets(&self) -> Vec<SecretFacts> {
        let state = self.state();
        let rows = state.rows.range(PREFIX.to_owned()..);
        rows.map_while(|(key, row)| Some((key.strip_prefix(PREFIX)?.to_owned(), Row::read(row))))
            .filter_map(|(name, row)| {
                let row = row?;
                Some(SecretFacts { name, set: row.set, key: shown(row.key) })
            })
            .collect()
    }
}

impl Row<'_> {
    fn read(bytes: &[u8]) -> Option<Row<'_>> {
        let (version, rest) = bytes.split_first()?;
        let (key, rest) = rest.split_first_chunk::<8>()?;
        let (set, sealed) = rest.split_first_chunk::<8>()?;
        let set = Timestamp(i64::from_be_bytes(*set));
        (*version == VERSION).then_some(Row { key: *key, set, sealed })
    }
}

/// What the seal is bound to beside the key: which secret, and since when.
fn bound(name: &str, set: Timestamp) -> String {
    format!("{PREFIX}{name}@{}", set.0)
}

fn seal(
    kek: &Kek,
    entropy: &dyn Entropy,
    name: &str,
    value: &[u8],
    now: Timestamp,
) -> Result<Vec<u8>, StoreError> {
    let sealed = kek.seal(Purpose::Secret, &bound(name, now), value, entropy)?;
    Ok([[VERSION].as_slice(), &kek.id(), &now.0.to_be_bytes(), &sealed].concat())
}

fn open(kek: &Kek, name: &str, row: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let damaged =
        |found: String| StoreError::Damaged { place: format!("the secret `{name}`"), found };
    let row = Row::read(row).ok_or_else(|| damaged("its form is not known".into()))?;
    if row.key != kek.id() {
        let (sealed, here) = (shown(row.key), shown(kek.id()));
        return Err(damaged(format!(
            "it is sealed under the key {sealed}, the one here is {here}"
        )));
    }
    kek.open(Purpose::Secret, &bound(name, row.set), row.sealed)
        .map_err(|_| damaged("its seal does not fit".into()))
}

fn shown(key: [u8; 8]) -> String {
    format!("{:016x}", u64::from_be_bytes(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting;

    impl Entropy for Counting {
        fn fill(&self, out: &mut [u8]) {
            out.fill(7);
        }
    }

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn kek(byte: u8) -> Kek {
        Kek::new(&[byte; 32]).unwrap()
    }

    #[test]
    fn the_form_of_a_row_stays_readable() {
        let row = seal(&kek(1), &Counting, "tickets", b"hunter2", NOW).unwrap();
        let hex: String = row.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, GOLDEN);
        assert_eq!(open(&kek(1), "tickets", &row).unwrap().as_slice(), b"hunter2");
    }

    const GOLDEN: &str = "011ca455c4b0d469ff00065bfeda25e000070707070707070707070707a922d3bb96d872cc34cac3b162003ff4f65f2de8d8042a";

    #[test]
    fn a_row_opens_only_as_what_it_is() {
        let row = seal(&kek(1), &Counting, "tickets", b"hunter2", NOW).unwrap();
        let fails = |kek: &Kek, name: &str, row: &[u8], why: &str| {
            let found = open(kek, name, row).unwrap_err().to_string();
            assert!(found.contains(why), "{found}");
            assert!(!found.contains("hunter2"));
        };
        fails(&kek(2), "tickets", &row, "the one here is");
        fails(&kek(1), "mail", &row, "does not fit");
        for at in 0..row.len() {
            let mut edited = row.clone();
            edited[at] ^= 1;
            assert!(open(&kek(1), "tickets", &edited).is_err(), "byte {at}");
        }
        fails(&kek(1), "tickets", &row[..12], "form is not known");
        let other = kek(1).seal(Purpose::Named, &bound("tickets", NOW), b"x", &Counting).unwrap();
        let moved = [&row[..17], &other].concat();
        fails(&kek(1), "tickets", &moved, "does not fit");
    }
}
