//! Scoped keys: secrets of a day that buy bound tokens of one agent, and open no door (RFC 6749 §2.3.1, S19).

use crate::proof::token_digest;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use canonical::{Limits, Value, Writer};
use model::{ActionId, AgentName, Digest, Name, Network, Timestamp, UpstreamName};
use std::collections::BTreeSet;

/// How every scoped key begins, so that it is recognised wherever somebody left it.
const PREFIX: &str = "ambit_key_";
/// Hexadecimal digits of a key's id.
const ID_DIGITS: usize = 12;
/// Hexadecimal digits of its secret part: 256 random bits.
const SECRET_DIGITS: usize = 64;

/// What is kept of a scoped key; never the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopedKey {
    /// SHA-256 of the whole key.
    pub hash: Digest,
    /// When it was made.
    pub made: Timestamp,
    /// Its end, which no token that it bought outlives.
    pub until: Timestamp,
    /// Who made it.
    pub by: String,
    /// The actions that its tokens reach; with `upstreams` empty, too: all that its agent does.
    pub actions: BTreeSet<ActionId>,
    /// The upstreams of which they reach what the agent does.
    pub upstreams: BTreeSet<UpstreamName>,
    /// The networks that it and its tokens come from; empty: any.
    pub networks: Vec<Network>,
}

impl ScopedKey {
    /// The text of a new key, from random bytes.
    #[must_use]
    pub fn text(id: &[u8; 6], secret: &[u8; 32]) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        format!("{PREFIX}{}_{}", hex(id), hex(secret))
    }

    /// Whether a text begins like a key. Whoever shows one where it does not belong is told so.
    #[must_use]
    pub fn is_like(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// Whether a text is the id of a key.
    #[must_use]
    pub fn is_id(text: &str) -> bool {
        text.len() == ID_DIGITS && is_hex(text)
    }

    /// The id that a key's text names, if it has the form of one.
    #[must_use]
    pub fn id_of(text: &str) -> Option<&str> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let whole = ScopedKey::is_id(id) && secret.len() == SECRET_DIGITS && is_hex(secret);
        whole.then_some(id)
    }

    /// What is kept of a key's text.
    #[must_use]
    pub fn digest(text: &str) -> Digest {
        token_digest(text)
    }

    /// Whether a text is this key, in constant time.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        let found = ScopedKey::digest(text);
        verify_slices_are_equal(found.as_bytes(), self.hash.as_bytes()).is_ok()
    }

    /// Whether its tokens reach this action, if its agent does.
    #[must_use]
    pub fn covers(&self, action: &ActionId) -> bool {
        self.is_whole()
            || self.actions.contains(action)
            || self.upstreams.contains(&action.upstream)
    }

    /// Whether its tokens reach all that its agent does.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.actions.is_empty() && self.upstreams.is_empty()
    }

    /// Below which rows of control state an agent's keys stand.
    #[must_use]
    pub fn rows(agent: &AgentName) -> String {
        format!("scoped-key/{agent}/")
    }

    /// The row of one key.
    #[must_use]
    pub fn row(agent: &AgentName, id: &str) -> String {
        format!("scoped-key/{agent}/{id}")
    }

    /// The bytes of its row.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.begin_object();
        list(&mut writer, "actions", self.actions.iter().map(ToString::to_string));
        writer.field_str("by", &self.by).field_str("hash", &self.hash.to_string());
        writer.field_int("made", self.made.seconds());
        list(&mut writer, "networks", self.networks.iter().map(ToString::to_string));
        writer.field_int("until", self.until.seconds());
        list(&mut writer, "upstreams", self.upstreams.iter().map(ToString::to_string));
        writer.field_int("v", 1).end();
        // The members are in order and the numbers small, which is all that `finish` can object to.
        drop(writer.finish());
        out
    }

    /// Reads a row; anything else is `None`, which is no key.
    #[must_use]
    pub fn from_bytes(row: &[u8]) -> Option<ScopedKey> {
        let row = canonical::parse(row, &Limits::ARGUMENTS).ok()?;
        let number = |name: &str| row.get(name).and_then(Value::as_i64);
        let texts = |name: &str| {
            let all = row.get(name).and_then(Value::as_array)?;
            all.iter().map(Value::as_str).collect::<Option<Vec<_>>>()
        };
        if number("v") != Some(1) {
            return None;
        }
        Some(ScopedKey {
            hash: Digest::from_hex(row.get("hash")?.as_str()?)?,
            made: Timestamp::from_seconds(number("made")?),
            until: Timestamp::from_seconds(number("until")?),
            by: row.get("by")?.as_str()?.to_owned(),
            actions: read(texts("actions")?, |text| ActionId::parse(text).ok())?,
            upstreams: read(texts("upstreams")?, |text| Name::new(text).ok())?,
            networks: read::<Vec<_>, _>(texts("networks")?, |text| Network::parse(text).ok())?,
        })
    }
}

fn read<C: FromIterator<T>, T>(texts: Vec<&str>, one: impl Fn(&str) -> Option<T>) -> Option<C> {
    texts.into_iter().map(one).collect()
}

fn list<'a>(writer: &mut Writer<'a>, name: &'a str, items: impl Iterator<Item = String>) {
    let items: Vec<String> = items.collect();
    writer.field_array(name);
    for item in &items {
        writer.item_str(item);
    }
    writer.end();
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> ScopedKey {
        ScopedKey {
            hash: ScopedKey::digest(&ScopedKey::text(&[1; 6], &[2; 32])),
            made: Timestamp::from_seconds(10),
            until: Timestamp::from_seconds(20),
            by: "uid 7".into(),
            actions: [ActionId::parse("api.read").unwrap()].into(),
            upstreams: [Name::new("tools").unwrap()].into(),
            networks: vec![Network::parse("10.0.0.0/8").unwrap()],
        }
    }

    #[test]
    fn a_row_keeps_all_but_the_key() {
        let text = ScopedKey::text(&[1; 6], &[2; 32]);
        assert_eq!(ScopedKey::id_of(&text), Some("010101010101"));
        let row = key().to_bytes();
        assert_eq!(
            String::from_utf8(row.clone()).unwrap(),
            format!(
                r#"{{"actions":["api.read"],"by":"uid 7","hash":"{}","made":10,"networks":["10.0.0.0/8"],"until":20,"upstreams":["tools"],"v":1}}"#,
                key().hash
            )
        );
        assert_eq!(ScopedKey::from_bytes(&row), Some(key()));
        assert!(!String::from_utf8(row).unwrap().contains("0202"));
        assert_eq!(ScopedKey::from_bytes(br#"{"v":2}"#), None);
    }

    #[test]
    fn only_the_very_key_fits_and_covers_its_scope() {
        let key = key();
        assert!(key.fits(&ScopedKey::text(&[1; 6], &[2; 32])));
        assert!(!key.fits(&ScopedKey::text(&[1; 6], &[3; 32])));
        let covers = |action: &str| key.covers(&ActionId::parse(action).unwrap());
        assert!(covers("api.read") && covers("tools.echo") && !covers("api.write"));
        let text = ScopedKey::text(&[1; 6], &[2; 32]);
        let (first, last) = (text.get(1..).unwrap(), text.get(..text.len() - 1).unwrap());
        for wrong in [first, last, &text.to_uppercase(), ""] {
            assert_eq!(ScopedKey::id_of(wrong), None, "{wrong}");
        }
    }
}
