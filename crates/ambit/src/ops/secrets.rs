//! The vault of upstreams' secrets: set, listed, removed; each change a record without the value.

use super::usage;
use crate::{
    app::{App, Control, world},
    control::SecretText,
};
use model::{Name, Timestamp, declared::CredentialSource};
use serde_json::{Value, json};

/// Sets a secret: the next call to an upstream that names it carries the new one. It is given for the addresses that
/// these upstreams have now.
pub(super) async fn set(app: &App, name: &str, value: &SecretText) -> anyhow::Result<Value> {
    let name = named(name)?;
    let value = value.trimmed().as_bytes();
    upstream::check_secret(&format!("secret:{name}"), value)
        .map_err(|error| usage(error.to_string()))?;
    let now = app.clock.now();
    let sealed = app.store.seal_secret(name.as_str(), value, now)?;
    let given = app.given_again(&CredentialSource::Secret(name.clone()))?;
    let reason = format!("secret `{name}` set");
    app.control(Control { what: "secret", reason, changes: vec![sealed, given] }).await?;
    if let Err(error) = app.know_upstreams(&world::declared(&app.store.state())?).await {
        // The secret is set; another upstream's may still be missing.
        tracing::warn!(%error, "the declared upstreams cannot be used");
    }
    Ok(json!({ "secret": name.as_str(), "set": now.to_string(), "used_by": used_by(app, &name)? }))
}

/// Names and ages.
pub(super) fn list(app: &App) -> anyhow::Result<Value> {
    let now = app.clock.now();
    let row = |facts: store::SecretFacts| -> anyhow::Result<Value> {
        let used_by = used_by(app, &Name::new(&facts.name)?)?;
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
pub(super) async fn remove(app: &App, name: &str, force: bool) -> anyhow::Result<Value> {
    let name = named(name)?;
    if app.store.secret_stamp(name.as_str()).is_none() {
        return Err(usage(format!("the vault has no secret `{name}`; see `ambit secret list`")));
    }
    let used_by = used_by(app, &name)?;
    if !used_by.is_empty() && !force {
        return Err(usage(format!(
            "`{}` uses `secret:{name}`: apply an `ambit.yaml` without it first, or take it away at once with \
             `--force`, and calls are refused until it is set again",
            used_by.join("`, `")
        )));
    }
    let reason = format!("secret `{name}` removed");
    let changes = vec![app.store.remove_secret(name.as_str())];
    app.control(Control { what: "secret", reason, changes }).await?;
    Ok(json!({ "removed": name.as_str(), "used_by": used_by }))
}

fn named(name: &str) -> anyhow::Result<Name> {
    Name::new(name).map_err(|error| usage(error.to_string()))
}

/// The upstreams in force whose credential it is.
fn used_by(app: &App, name: &Name) -> anyhow::Result<Vec<String>> {
    let declared = world::declared(&app.store.state())?;
    let uses = |source: &Option<CredentialSource>| matches!(source, Some(CredentialSource::Secret(used)) if used == name);
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
