//! Where upstream credentials come from: references only, and nothing that looks like a secret is shown.

use crate::{
    fields::{Fields, not_enforced, refused_path, text, word},
    node::{Entry, Node, Span, Value},
    problems::Problems,
    schema::shapes,
    sources::{Diagnostic, Sources},
};
use model::{
    Name,
    declared::{CredentialSource, Declared},
};

/// What is known about a referenced secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretState {
    /// It is there, and not empty.
    Present,
    /// The variable is not set, or there is no such file.
    Missing,
    /// It is there, and empty.
    Empty,
    /// It cannot be read; why, without its content.
    Unreadable(String),
    /// Nobody here can look: it is in a vault that only a gate opens.
    Unknown,
}

/// Looks secrets up, without giving them out.
pub trait SecretSource {
    /// Whether a secret is there.
    fn state(&self, source: &CredentialSource) -> SecretState;
}

/// Every referenced secret that is missing or empty, with the place of its reference.
#[must_use]
pub fn check_secrets(
    declared: &Declared,
    sources: &Sources,
    secrets: &dyn SecretSource,
) -> Vec<Diagnostic> {
    let upstreams = declared.upstreams.iter().filter_map(|(name, upstream)| {
        let place = (sources.credential(name), upstream.line);
        Some((format!("credential of `{name}`"), upstream.credential.as_ref()?, place))
    });
    let hooks = declared.hooks.iter().filter_map(|(name, hook)| {
        Some((format!("secret of hook `{name}`"), hook.secret.as_ref()?, (None, hook.line)))
    });
    let mut out = Vec::new();
    for (whose, credential, (mark, line)) in upstreams.chain(hooks) {
        let (what, fix) = match credential {
            CredentialSource::Env(name) => (
                format!("the environment variable `{name}`"),
                format!("set `{name}` in the environment of the gateway"),
            ),
            CredentialSource::File(path) => (
                format!("the file `{path}`"),
                format!("put the secret into `{path}` below the secrets directory"),
            ),
            // Whoever has none is refused when she is acted for.
            CredentialSource::SecretOfUser(_) => continue,
            CredentialSource::Secret(name) => (
                format!("the secret `{name}` of the vault"),
                format!("run `ambit secret set {name}` with the secret on standard input"),
            ),
        };
        let wrong = match secrets.state(credential) {
            SecretState::Present | SecretState::Unknown => continue,
            SecretState::Missing => "is missing".to_owned(),
            SecretState::Empty => "is empty".to_owned(),
            SecretState::Unreadable(why) => format!("cannot be read: {why}"),
        };
        let message = format!("the {whose} is not available: {what} {wrong}");
        out.push(match mark {
            Some(mark) => sources.in_file(sources.main(), mark, message, fix),
            None => sources.in_declared(line, message, fix),
        });
    }
    out
}

/// Reads `credential:`, as text or as a map, and gives the reference and its place.
pub(crate) fn credential(
    entry: &Entry,
    problems: &mut Problems,
) -> Option<(CredentialSource, Span)> {
    if !matches!(entry.value.value, Value::Map(_)) {
        return reference(&entry.value, problems);
    }
    if let Value::Map(members) = &entry.value.value
        && let Some(oauth) = members
            .iter()
            .find(|member| matches!(&member.key.value, Value::Text(t) if t == "oauth"))
    {
        not_enforced(oauth.key.span, "oauth", problems);
        return None;
    }
    let fields = Fields::open(&entry.value, entry.key.span, &shapes::CREDENTIAL, problems)?;
    let whose = [("service", false), ("user", true)];
    let of_user = match fields.get("as", problems) {
        Some(entry) => word(&entry.value, "whose credential it is", &whose, &[], problems)?,
        None => false,
    };
    let secret = fields.get("secret", problems)?;
    if !of_user {
        return reference(&secret.value, problems);
    }
    let found = text(&secret.value, "the secret", problems)?;
    let name = found.strip_prefix("secret:").and_then(|name| name.strip_suffix(EACH));
    match name.map(Name::new) {
        Some(Ok(name)) => Some((CredentialSource::SecretOfUser(name), secret.value.span)),
        Some(Err(_)) | None => {
            // Whoever wrote the secret itself here does not see it again.
            reference(&secret.value, problems)?;
            let message = "with `as: user` each human has a secret of her own";
            let fix = "write `secret: secret:NAME/{user}`, and give each with `ambit secret set NAME --for USER`";
            problems.add(secret.value.span, message, fix);
            None
        }
    }
}

/// A credential of the gate's own, which is nobody's.
pub(crate) fn of_the_gate(
    entry: &Entry,
    problems: &mut Problems,
) -> Option<(CredentialSource, Span)> {
    let (source, span) = credential(entry, problems)?;
    if matches!(source, CredentialSource::SecretOfUser(_)) {
        let message = "a hook is asked by the gateway and not for a human";
        problems.add(span, message, "write `secret:NAME`");
        return None;
    }
    Some((source, span))
}

/// What stands for the human in the name of a secret.
const EACH: &str = "/{user}";

fn reference(node: &Node, problems: &mut Problems) -> Option<(CredentialSource, Span)> {
    let literal = "a credential is a reference, never the secret itself";
    let write = "put the secret into the vault with `ambit secret set NAME` and write `secret:NAME`, into \
                 a file below the secrets directory and write `file:NAME`, or into a variable and \
                 write `env:AMBIT_SECRET_NAME`";
    let Value::Text(text) = &node.value else {
        problems.add(node.span, literal, write);
        return None;
    };
    match text.split_once(':') {
        Some(("env", name)) => variable(node, name, problems),
        Some(("file", path)) => {
            refused_path(node.span, path, ("a secret's file", "file:tickets.token"), problems)?;
            Some((CredentialSource::File(path.into()), node.span))
        }
        Some(("secret", name)) => in_vault(node, name, problems),
        Some((scheme @ ("vault" | "k8s" | "oauth"), _)) => {
            not_enforced(node.span, &format!("{scheme}:"), problems);
            None
        }
        _ => {
            problems.add(node.span, literal, write);
            None
        }
    }
}

fn variable(node: &Node, name: &str, problems: &mut Problems) -> Option<(CredentialSource, Span)> {
    let plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let rest = name.strip_prefix("AMBIT_SECRET_").unwrap_or_default();
    if !rest.is_empty() && rest.chars().all(plain) {
        return Some((CredentialSource::Env(name.into()), node.span));
    }
    let suggestion = if !name.is_empty() && name.chars().all(plain) && name.len() <= 40 {
        format!("AMBIT_SECRET_{name}")
    } else {
        problems.mask(node.span);
        "AMBIT_SECRET_NAME".to_owned()
    };
    problems.add(
        node.span,
        "only variables that begin with `AMBIT_SECRET_` are read",
        format!("name the variable `{suggestion}` and write `env:{suggestion}`"),
    );
    None
}

fn in_vault(node: &Node, name: &str, problems: &mut Problems) -> Option<(CredentialSource, Span)> {
    if name.strip_suffix(EACH).is_some_and(|name| Name::new(name).is_ok()) {
        let message = "a secret of each human is stated as such";
        problems.add(
            node.span,
            message,
            "write `credential: { as: user, secret: secret:NAME/{user} }`",
        );
        return None;
    }
    if let Ok(name) = Name::new(name)
        && !looks_secret(name.as_str())
    {
        return Some((CredentialSource::Secret(name), node.span));
    }
    // Whoever wrote the secret itself after the colon does not see it again.
    problems.mask(node.span);
    problems.add(
        node.span,
        "a secret's name has lower-case letters, digits, `_` and `-`",
        "write `secret:NAME`, and give the secret itself to `ambit secret set NAME`",
    );
    None
}

/// How a scoped key begins (`identity::ScopedKey`).
const SCOPED_KEY: &str = "ambit_key_";
/// From so many characters on it is no word about keys.
const SCOPED_KEY_CHARS: usize = 24;

/// What is said where a scoped key stands.
pub(crate) const NO_SCOPED_KEY: (&str, &str) = (
    "a scoped key stands here: whoever reads the file has it",
    "remove it, take it back with `ambit revoke key ID`, and give it to its program alone",
);

/// Where scoped keys stand in a text, whole or cut.
pub(crate) fn scoped_keys(text: &str) -> impl Iterator<Item = Span> {
    text.match_indices(SCOPED_KEY).filter_map(|(start, _)| {
        let rest = text.get(start..).unwrap_or_default();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let length = end.unwrap_or(rest.len());
        (length >= SCOPED_KEY_CHARS).then_some(Span { start, length })
    })
}

/// Refuses a file that holds a scoped key, wherever it stands.
pub(crate) fn refuse_scoped_keys(text: &str, problems: &mut Problems) {
    for span in scoped_keys(text) {
        problems.mask(span);
        problems.add(span, NO_SCOPED_KEY.0, NO_SCOPED_KEY.1);
    }
}

/// Notes every part of the tree that looks like a secret, before anything is reported.
pub(crate) fn mask(node: &Node, under: &str, problems: &mut Problems) {
    // A fault for the fuzzer to find: what looks like a secret only by its text is shown.
    let sounds_only = cfg!(feature = "canary") && !sounds_secret(under);
    match &node.value {
        Value::Text(_) if sounds_only => {}
        Value::Text(text) => {
            if (sounds_secret(under) && !is_reference(text)) || looks_secret(text) {
                problems.mask(node.span);
            }
        }
        Value::Integer(_) | Value::Float(_) => {
            if sounds_secret(under) {
                problems.mask(node.span);
            }
        }
        Value::Null | Value::Boolean(_) => {}
        Value::List(items) => items.iter().for_each(|item| mask(item, under, problems)),
        Value::Map(entries) => {
            for entry in entries {
                mask(&entry.key, "", problems);
                // A key that is no text names nothing, and what stands under it is looked at all the same.
                let key = if let Value::Text(key) = &entry.key.value { key } else { "" };
                mask(&entry.value, key, problems);
            }
        }
    }
}

/// The same for comments, which are no part of the tree and stand in excerpts all the same.
pub(crate) fn mask_comments(text: &str, problems: &mut Problems) {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if let Some((before, comment)) = line.split_once('#') {
            let key = comment.split_once(':').map_or("", |(key, _)| key);
            let word = key.trim_end().rsplit(' ').next().unwrap_or_default();
            if sounds_secret(word) || comment.split_whitespace().any(looks_secret) {
                problems
                    .mask(Span { start: start + before.len(), length: line.len() - before.len() });
            }
        }
        start += line.len();
    }
}

/// The same for a file that is not YAML: by lines, and rather too much than too little.
pub(crate) fn mask_lines(text: &str, problems: &mut Problems) {
    let mut start = 0;
    let mut deeper_than = None;
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        let inside = deeper_than.is_some_and(|outer| indent > outer && !line.trim().is_empty());
        let key = line.split(':').next().unwrap_or_default();
        let value = line.split_once(':').map_or("", |(_, value)| value).trim();
        let word = key.rsplit([' ', '{', ',', '-', '"', '\'']).next().unwrap_or_default();
        let sounds = line.split([' ', '{', ',', '"', '\'', ':']).any(sounds_secret);
        if inside || (sounds && !is_reference(value)) || line.split_whitespace().any(looks_secret) {
            problems.mask(Span { start, length: line.len() });
        }
        if !inside && !line.trim().is_empty() {
            deeper_than = sounds_secret(word).then_some(indent);
        }
        start += line.len();
    }
}

fn sounds_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace('-', "_");
    let parts = ["secret", "passw", "token", "api_key", "apikey", "authorization", "private_key"];
    key == "credential" || parts.iter().any(|part| key.contains(part))
}

fn is_reference(text: &str) -> bool {
    let reference = text.trim().trim_matches(['"', '\'']);
    match reference.split_once(':') {
        Some(("env", name)) => name.starts_with("AMBIT_SECRET_"),
        Some(("secret", name)) => Name::new(name).is_ok(),
        Some((scheme, _)) => matches!(scheme, "file" | "vault" | "k8s" | "oauth"),
        None => reference.is_empty() || matches!(reference, "{" | "|" | ">"),
    }
}

/// The well-known beginnings of issued keys, wherever a word begins; credentials as headers have them; URLs with a
/// password in them.
pub(crate) fn looks_secret(text: &str) -> bool {
    let beginnings = [
        "sk-",
        "sk_",
        "pk_",
        "rk_",
        "ghp_",
        "gho_",
        "ghs_",
        "github_pat_",
        "glpat-",
        "xox",
        "AKIA",
        "ASIA",
        "AIza",
        "eyJ",
        "hvs.",
        SCOPED_KEY,
    ];
    let phrases = ["Bearer ", "bearer ", "Basic ", "-----BEGIN"];
    // A word begins after anything but a letter or a digit, also in the middle of an address.
    let word = |text: &str| {
        let end = text.find(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.')));
        end.unwrap_or(text.len())
    };
    let begins = |at: usize| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        !before.is_some_and(char::is_alphanumeric)
    };
    let issued = |beginning: &str| {
        let mut found = text.match_indices(beginning);
        found.any(|(at, _)| begins(at) && text.get(at..).map_or(0, word) >= 12)
    };
    let in_url = text.split_once("://").is_some_and(|(_, rest)| {
        rest.split(['/', '?', '#']).next().unwrap_or_default().contains('@')
    });
    in_url
        || (text.len() >= 12 && phrases.iter().any(|phrase| text.contains(phrase)))
        || beginnings.into_iter().any(issued)
}

#[cfg(test)]
mod tests {
    use super::looks_secret;

    #[test]
    fn a_key_is_seen_wherever_a_word_begins() {
        for text in [
            "sk-live-0123456789abcdef",
            "http:/- sk-live-0123456789abcdef",
            "x=ghp_0123456789abcdef",
            "[\"eyJhbGciOiJFZERTQSJ9",
            "- -sk-live-0123456789abcdef",
            "http://127.0.0.sk-live-0123456789abcdef",
            "the Bearer abcdefgh",
            "https://user:pass@host",
        ] {
            assert!(looks_secret(text), "{text}");
        }
        for text in
            ["helpdesk-agent-one", "task-list-of-today", "sk-short", "tickets.read", "risk: low"]
        {
            assert!(!looks_secret(text), "{text}");
        }
    }
}
