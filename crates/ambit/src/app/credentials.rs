//! For which addresses upstreams' secrets were given: a changed scheme, host or port gets nothing until a person says so.
//!
//! A secret that is declared for the first time is given for the places that the same state declares. The rows outlive
//! the upstreams that named them, so that nothing is gained by removing one and declaring it again elsewhere.

use super::{App, Control};
use crate::ops::usage;
use anyhow::Context as _;
use canonical::Value;
use model::{
    UpstreamName,
    declared::{CredentialSource, Declared},
    record::StateChange,
};
use std::collections::BTreeSet;
use store::State;
use upstream::{Given, wanted};

/// The prefix of the rows: `credential/env:AMBIT_SECRET_TICKETS`.
const CREDENTIALS: &str = "credential/";

impl App {
    /// Takes over the addresses and credentials of declared upstreams; gives the names of those whose credential is
    /// withheld. What is given for the first time is recorded before it is lent.
    pub(crate) async fn know_upstreams(
        &self,
        declared: &Declared,
    ) -> anyhow::Result<Vec<UpstreamName>> {
        let state = self.store.state();
        let fresh = wanted(&declared.upstreams)
            .into_iter()
            .map(|(source, origins)| (format!("{CREDENTIALS}{source}"), origins))
            .filter(|(key, _)| !state.rows.contains_key(key));
        let changes: Vec<StateChange> = fresh.map(|(key, origins)| row(key, &origins)).collect();
        if !changes.is_empty() {
            let reason = "credentials declared for the first time".to_owned();
            self.record(Control { what: "credential", reason, changes }).await?;
        }
        let given = given(&self.store.state())?;
        self.gate.know_upstreams(declared, given.clone()).map_err(|errors| {
            let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("no upstream was taken over: {}", told.join("; "))
        })?;
        let withheld = withheld(declared, &given);
        for (name, source, origin) in &withheld {
            if self.told.first(format!("credential {source} {origin}")) {
                tracing::warn!(upstream = %name, "`{source}` was not given for `{origin}`, so it is not sent there and calls are refused: if the address is right, `ambit upstream credential {name} --confirm`");
            }
        }
        Ok(withheld.into_iter().map(|(name, ..)| name).collect())
    }

    /// For which addresses secrets were given.
    pub(crate) fn given(&self) -> anyhow::Result<Given> {
        given(&self.store.state())
    }

    /// Where an upstream's credential was given for, and whether that is where it is now.
    pub(crate) fn credential(&self, name: &UpstreamName) -> anyhow::Result<serde_json::Value> {
        let state = self.store.state();
        let declared = super::world::declared(&state)?;
        let (source, origin) = asked(&declared, name)?;
        let given = given(&state)?.remove(&source).unwrap_or_default();
        Ok(serde_json::json!({
            "upstream": name.as_str(),
            "credential": source,
            "address": origin,
            "given_for": given,
            "withheld": !given.contains(&origin),
        }))
    }

    /// The change that gives a source for exactly the places where the applied state names it: whoever sets its secret
    /// gives it again. Named nowhere, it is given to the state that names it first.
    pub(crate) fn given_again(&self, source: &CredentialSource) -> anyhow::Result<StateChange> {
        let declared = super::world::declared(&self.store.state())?;
        let key = format!("{CREDENTIALS}{source}");
        let origins = wanted(&declared.upstreams).remove(&source.to_string());
        Ok(match origins {
            Some(origins) => row(key, &origins),
            None => StateChange { key, value: None },
        })
    }

    /// Gives an upstream's credential for the address that it has in the applied state.
    pub(crate) async fn give_credential(&self, name: &UpstreamName) -> anyhow::Result<()> {
        let state = self.store.state();
        let declared = super::world::declared(&state)?;
        let (source, origin) = asked(&declared, name)?;
        let declared_for = wanted(&declared.upstreams).remove(&source).unwrap_or_default();
        // Places that no upstream names any more are let go.
        let mut origins = given(&state)?.remove(&source).unwrap_or_default();
        origins.retain(|origin| declared_for.contains(origin));
        if origins.insert(origin.clone()) {
            let reason = format!("`{source}` given for `{origin}` (`{name}`)");
            let changes = vec![row(format!("{CREDENTIALS}{source}"), &origins)];
            self.record(Control { what: "credential", reason, changes }).await?;
        }
        self.told.forget(&format!("credential {source} {origin}"));
        self.know_upstreams(&declared).await.map(drop)
    }
}

/// What is recorded of the secrets of this state.
fn given(state: &State) -> anyhow::Result<Given> {
    let rows = state.rows.range(CREDENTIALS.to_owned()..);
    rows.map_while(|(key, row)| Some((key.strip_prefix(CREDENTIALS)?, row)))
        .map(|(source, row)| {
            let value = canonical::parse(row, &canonical::Limits::ARGUMENTS)?;
            let origins = value.get("origins").and_then(Value::as_array);
            let origins =
                origins.with_context(|| format!("`{CREDENTIALS}{source}` has no origins"))?;
            let origins = origins.iter().filter_map(Value::as_str).map(str::to_owned);
            Ok((source.to_owned(), origins.collect()))
        })
        .collect()
}

fn row(key: String, origins: &BTreeSet<String>) -> StateChange {
    let origins = origins.iter().map(|origin| Value::from(origin.as_str())).collect();
    let value = gate::json::object([("origins", Value::Array(origins)), ("v", Value::Integer(1))]);
    StateChange { key, value: Some(value.to_bytes()) }
}

/// The secret that an upstream names, and where it would be sent to.
fn asked(declared: &Declared, name: &UpstreamName) -> anyhow::Result<(String, String)> {
    let upstream = declared.upstreams.get(name);
    let upstream = upstream.ok_or_else(|| usage(format!("no upstream `{name}` is declared")))?;
    let one = [(name.clone(), upstream.clone())].into();
    let asked = wanted(&one)
        .into_iter()
        .find_map(|(source, origins)| origins.into_iter().next().map(|origin| (source, origin)));
    asked.ok_or_else(|| usage(format!("`{name}` has no credential")))
}

fn withheld(declared: &Declared, given: &Given) -> Vec<(UpstreamName, String, String)> {
    let places = declared.upstreams.keys().filter_map(|name| {
        let (source, origin) = asked(declared, name).ok()?;
        Some((name.clone(), source, origin))
    });
    let is_given = |source: &str, origin: &str| {
        given.get(source).is_some_and(|origins| origins.contains(origin))
    };
    places.filter(|(_, source, origin)| !is_given(source, origin)).collect()
}
