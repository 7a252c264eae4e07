//! The vault of upstreams' secrets: set, listed, removed; each change a record without the value.

use super::usage;
use crate::{
    app::{App, Control, world},
    control::SecretText,
};
use model::{Name, Timestamp, UserName, declared::CredentialSource};
use serde_json::{Value, json};

/// Sets a secret: the next call to an upstream that names it carries the new one. It is given for the addresses that
/// these upstreams have now.
pub(super) async fn set(
    app: &App,
    name: &str,
    user: Option<String>,
    value: &SecretText,
) -> anyhow::Result<Value> {
    let (name, source) = named(name, user.as_deref())?;
    let value = value.trimmed().as_bytes();
    upstream::check_secret(&format!("secret:{name}"), value)
        .map_err(|error| usage(error.to_string()))?;
    let now = app.clock.now();
    let sealed = app.store.seal_secret(&name, value, now)?;
    let given = app.given_again(&source)?;
    // Whose it is stands in its row, and not in what is said of it.
    let reason = format!("secret `{source}` set");
    app.control(Control { what: "secret", reason, changes: vec![sealed, given] }).await?;
    if let Err(error) = app.know_upstreams(&world::declared(&app.store.state())?).await {
        // The secret is set; another upstream's may still be missing.
        tracing::warn!(%error, "the declared upstreams cannot be used");
    }
    Ok(json!({ "secret": name, "set": now.to_string(), "used_by": used_by(app, &source)? }))
}

/// Names and ages.
pub(super) fn list(app: &App) -> anyhow::Result<Value> {
    let now = app.clock.now();
    let row = |facts: store::SecretFacts| -> anyhow::Result<Value> {
        let (name, user) = match facts.name.split_once('/') {
            Some((name, user)) => (name, Some(user)),
            None => (facts.name.as_str(), None),
        };
        let (_, source) = named(name, user)?;
        let used_by = used_by(app, &source)?;
        Ok(json!({
            "name": facts.name,
            "set": facts.set.to_string(),
            "age": age(facts.set, now),
            "used_by": used_by.join(", "),
            "key": facts.key,
        }))
    };
    app.store.secrets().into_iter().map(row).collect()
}

/// Removes a secret; one that an upstream in force names only if that is forced.
pub(super) async fn rm(
    app: &App,
    name: &str,
    user: Option<String>,
    force: bool,
) -> anyhow::Result<Value> {
    let (name, source) = named(name, user.as_deref())?;
    if app.store.secret_stamp(&name).is_none() {
        return Err(usage(format!("the vault has no secret `{name}`; see `ambit secret list`")));
    }
    let used_by = used_by(app, &source)?;
    // Of one human only her own calls are refused then, which is what taking it away is for.
    if !used_by.is_empty() && !force && user.is_none() {
        return Err(usage(format!(
            "`{}` uses `secret:{name}`: apply an `ambit.yaml` without it first, or take it away at once with \
             `--force`, and calls are refused until it is set again",
            used_by.join("`, `")
        )));
    }
    let reason = format!("secret `{source}` removed");
    let changes = vec![app.store.remove_secret(&name)];
    app.control(Control { what: "secret", reason, changes }).await?;
    Ok(json!({ "removed": name, "used_by": used_by }))
}

/// The name in the vault, and the reference that leads there.
fn named(name: &str, user: Option<&str>) -> anyhow::Result<(String, CredentialSource)> {
    let name = Name::new(name).map_err(|error| usage(error.to_string()))?;
    let Some(user) = user else {
        return Ok((name.to_string(), CredentialSource::Secret(name)));
    };
    let user = UserName::new(user).map_err(|error| usage(error.to_string()))?;
    Ok((format!("{name}/{user}"), CredentialSource::SecretOfUser(name)))
}

/// The upstreams in force whose credential it is.
fn used_by(app: &App, source: &CredentialSource) -> anyhow::Result<Vec<String>> {
    let declared = world::declared(&app.store.state())?;
    let uses = |used: &Option<CredentialSource>| used.as_ref() == Some(source);
    let upstreams = declared.upstreams.iter().filter(|(_, upstream)| uses(&upstream.credential));
    Ok(upstreams.map(|(upstream, _)| upstream.to_string()).collect())
}

/// How long ago, in the largest whole unit.
fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.seconds().saturating_sub(since.seconds()).max(0);
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let (unit, letter) = units.into_iter().find(|(unit, _)| seconds >= *unit).unwrap_or((1, "s"));
    format!("{}{letter}", seconds / unit)
}

#[cfg(test)]
mod tests {
    use super::{Timestamp, age};

    #[test]
    fn ages_are_told_in_one_unit() {
        let check = |seconds, told| {
            let now = Timestamp::from_seconds(1_790_000_000);
            assert_eq!(age(now, now.after(model::Duration::seconds(seconds))), told);
        };
        check(0, "0s");
        check(59, "59s");
        check(60, "1m");
        check(7_199, "1h");
        check(86_400 * 40, "40d");
    }
}
