//! `hooks`, and the `before:` and `after:` of actions.

use crate::{
    fields::{Fields, duration, is_word, items, text},
    limits,
    node::{Entry, Node},
    problems::{Problems, shown},
    read::Reading,
    references::Mention,
    schema::shapes,
    secrets, upstreams,
};
use model::{
    Name,
    declared::{After, Before, Hook},
};

pub(crate) fn read(_: &Name, entry: &Entry, reading: &mut Reading<'_>) -> Option<Hook> {
    let line = reading.line(entry);
    let problems = &mut reading.problems;
    let fields = Fields::open(&entry.value, entry.key.span, &shapes::HOOK, problems)?;
    let url = fields.get("url", problems).and_then(|entry| {
        let url = text(&entry.value, "the URL", problems)?;
        if let Err(why) = upstreams::url(url) {
            problems.add(entry.value.span, why, "write it as `https://pdp.example/evaluation`");
            return None;
        }
        Some(url.to_owned())
    });
    let within = match fields.get("within", problems) {
        None => limits::HOOK_DEFAULT,
        Some(entry) => duration(&entry.value, "`within`", limits::HOOK_MAX, problems)?,
    };
    let secret = fields.get("secret", problems).map(|entry| secrets::of_the_gate(entry, problems));
    let secret = match secret {
        None => None,
        Some(read) => Some(read?.0),
    };
    Some(Hook { url: url?, within, secret, line })
}

/// `before:` of an action.
pub(crate) fn before(entry: &Entry, reading: &mut Reading<'_>) -> Vec<Before> {
    let mut out = Vec::new();
    for item in items(entry, "`before`", &mut reading.problems) {
        let Some(said) = text(item, "a hook", &mut reading.problems) else { continue };
        let (kind, what) = said.split_once(':').map_or((said, None), |(a, b)| (a, Some(b)));
        let read = match (kind, what) {
            ("dry_run", None) => Some(Before::DryRun("dry_run".to_owned())),
            ("dry_run", Some(word)) if is_word(word) => Some(Before::DryRun(word.to_owned())),
            ("require", Some(word)) if is_word(word) => Some(Before::Require(word.to_owned())),
            ("pdp", Some(name)) => hook(item, name, reading).map(Before::Pdp),
            ("webhook", Some(name)) => hook(item, name, reading).map(Before::Webhook),
            _ => {
                let fix = "write `dry_run`, `pdp:HOOK`, `webhook:HOOK` or `require:ARGUMENT`";
                unknown(item, said, "before", fix, &mut reading.problems);
                None
            }
        };
        keep(&mut out, read, item, &mut reading.problems);
    }
    out
}

/// `after:` of an action.
pub(crate) fn after(entry: &Entry, reading: &mut Reading<'_>) -> Vec<After> {
    let mut out = Vec::new();
    for item in items(entry, "`after`", &mut reading.problems) {
        let Some(said) = text(item, "a hook", &mut reading.problems) else { continue };
        let (kind, what) = said.split_once(':').map_or((said, None), |(a, b)| (a, Some(b)));
        let share = |text: &str| {
            let percent: u8 = text.strip_suffix('%')?.parse().ok()?;
            (1..=100).contains(&percent).then_some(After::Sample(percent))
        };
        let read = match (kind, what) {
            ("mask", None) => Some(After::Mask(None)),
            ("mask", Some(pointer))
                if pointer.starts_with('/') && canonical::Pointer::parse(pointer).is_ok() =>
            {
                Some(After::Mask(Some(pointer.to_owned())))
            }
            ("notify", name) => hook(item, name.unwrap_or("default"), reading).map(After::Notify),
            ("sample", None) => Some(After::Sample(limits::SAMPLE_DEFAULT)),
            ("sample", Some(text)) if share(text).is_some() => share(text),
            _ => {
                let fix = "write `mask`, `mask:/pointer`, `notify:HOOK` or `sample:5%`";
                unknown(item, said, "after", fix, &mut reading.problems);
                None
            }
        };
        keep(&mut out, read, item, &mut reading.problems);
    }
    out
}

fn hook(item: &Node, name: &str, reading: &mut Reading<'_>) -> Option<Name> {
    let name = crate::fields::refused(item.span, name, Name::new, &mut reading.problems)?;
    reading.references.mention(Mention::Hook, &name, item.span);
    Some(name)
}

fn unknown(item: &Node, said: &str, key: &str, fix: &str, problems: &mut Problems) {
    problems.add(item.span, format!("`{}` is nothing that `{key}` knows", shown(said)), fix);
}

fn keep<T: PartialEq>(out: &mut Vec<T>, read: Option<T>, item: &Node, problems: &mut Problems) {
    let Some(read) = read else { return };
    if out.contains(&read) {
        problems.add(item.span, "this is here twice", "keep one of the two");
        return;
    }
    out.push(read);
}
