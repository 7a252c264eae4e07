//! Who else answers for an agent, where it belongs, what it is made of, and who reviews its changes.

use crate::{
    agents::owner,
    fields::{Fields, duration, name, refused, refused_path, text},
    limits,
    node::{Entry, Node},
    problems::Problems,
    schema::shapes,
};
use model::{
    Name, NameError, PartyName,
    declared::Governance,
    manifest::{Review, Rule},
};

pub(crate) fn read(fields: &Fields<'_>, problems: &mut Problems) -> Option<Governance> {
    let mut out = Governance::default();
    let mut sound = true;
    if let Some(entry) = fields.get("sponsor", problems) {
        out.sponsor = owner(&entry.value, "`sponsor`", problems);
        sound &= out.sponsor.is_some();
    }
    if let Some(entry) = fields.get("environment", problems) {
        out.environment = name(&entry.value, "`environment`", problems);
        sound &= out.environment.is_some();
    }
    if let Some(entry) = fields.get("manifest", problems) {
        out.manifest = text(&entry.value, "`manifest`", problems).and_then(|path| {
            let what = ("the manifest", "copilot.lock");
            refused_path(entry.value.span, path, what, problems)?;
            Some(path.to_owned())
        });
        sound &= out.manifest.is_some();
    }
    if let Some(entry) = fields.get("review", problems) {
        out.review = review(entry, problems);
        sound &= out.review.is_some();
    }
    sound.then_some(out)
}

/// What is not stated, the owner reviews.
fn review(entry: &Entry, problems: &mut Problems) -> Option<Review> {
    let fields = Fields::open(&entry.value, entry.key.span, &shapes::REVIEW, problems)?;
    let mut sound = true;
    let mut rule_of = |key: &'static str, problems: &mut Problems| {
        let Some(entry) = fields.get(key, problems) else { return Rule::Owner };
        let read = rule(&entry.value, key, problems);
        sound &= read.is_some();
        read.unwrap_or(Rule::Owner)
    };
    let mut out = Review {
        tools: rule_of("tools", problems),
        integrations: rule_of("integrations", problems),
        model: rule_of("model", problems),
        prompt: rule_of("prompt", problems),
        image: rule_of("image", problems),
        every: None,
    };
    if let Some(entry) = fields.get("every", problems) {
        out.every = duration(&entry.value, "`every`", limits::REVIEW_MAX, problems);
        sound &= out.every.is_some();
    }
    sound.then_some(out)
}

/// `auto`, `notify`, `owner`, a group's bare name, `group:NAME` or `user:NAME`.
fn rule(node: &Node, key: &str, problems: &mut Problems) -> Option<Rule> {
    let text = text(node, &format!("`{key}`"), problems)?;
    match text {
        "auto" => Some(Rule::Auto),
        "notify" => Some(Rule::Notify),
        "owner" => Some(Rule::Owner),
        other => refused(node.span, other, party, problems).map(Rule::Party),
    }
}

fn party(text: &str) -> Result<PartyName, NameError> {
    let party = match text.split_once(':') {
        None => Name::new(text).map(PartyName::Group)?,
        Some(_) => PartyName::parse(text)?,
    };
    match party {
        PartyName::Issuer(_) => {
            Err(NameError::Form { name: text.into(), form: "`user:NAME` or `group:NAME`" })
        }
        party => Ok(party),
    }
}
