//! What was generated, as a person reads it: policies in Cedar's text, grants as their data, types.

use crate::agent::{Grant, pattern_text};
use crate::compiled::Compiled;
use crate::guard::Guard;
use crate::schema;
use cedar_policy::SchemaFragment;
use model::Name;
use std::collections::BTreeMap;
use std::fmt::Write;

impl Compiled {
    /// The generated policies, the data of each agent's grants with its line, and the types that
    /// hand-written policies can use.
    #[must_use]
    pub fn generated(&self) -> String {
        let mut out = String::new();
        for guard in Guard::ALL {
            match guard {
                Guard::High | Guard::Approval => self.asking(guard, &mut out),
                Guard::Grant
                | Guard::Prohibited
                | Guard::Boundary
                | Guard::Data
                | Guard::UsersGroup
                | Guard::UsersOne
                | Guard::UsersIssuer
                | Guard::UsersNone
                | Guard::Intent
                | Guard::Rights
                | Guard::Extra => {
                    append(&mut out, format_args!("@id(\"{}\")\n{}\n\n", guard.id(), guard.text()));
                }
            }
        }
        self.grants(&mut out);
        let json = schema::generate(&self.published.declared, &self.published.catalog);
        let types = SchemaFragment::from_json_value(json).ok();
        let types = types.and_then(|fragment| fragment.to_cedarschema().ok());
        append(&mut out, format_args!("// The types that policies can use.\n"));
        for line in types.unwrap_or_default().lines() {
            append(&mut out, format_args!("// {line}\n"));
        }
        self.opaque(&mut out);
        out
    }

    /// One policy per approval rule, since the rule is an annotation.
    fn asking(&self, guard: Guard, out: &mut String) {
        let mut rules: BTreeMap<Name, Vec<String>> = BTreeMap::new();
        for entry in &self.published.catalog.entries {
            if entry.asking_guard() == Some(guard) {
                let action = entry.action_uid.to_string();
                rules.entry(entry.approval_rule()).or_default().push(action);
            }
        }
        for (rule, actions) in rules {
            let actions = actions.join(", ");
            append(
                out,
                format_args!(
                    "@id(\"{}\")\n@approval(\"{rule}\")\nforbid (principal, action in [{actions}], \
                     resource)\nunless {{ context.approved }};\n\n",
                    guard.id()
                ),
            );
        }
    }

    fn grants(&self, out: &mut String) {
        for agent in self.published.agents.values() {
            let at = format!("{}:{}", crate::DECLARED_PATH, agent.declared.line);
            append(
                out,
                format_args!("// agent {} ({at}), version {}\n", agent.name, agent.version),
            );
            if let Some(only) = &agent.declared.only {
                let only: Vec<_> = only.iter().map(pattern_text).collect();
                append(out, format_args!("//   only: {}\n", only.join(", ")));
            }
            let users = agent.declared.users.as_ref();
            let users = users.map_or_else(|| "nobody".to_owned(), ToString::to_string);
            if let Some(until) = agent.declared.observe_until {
                append(out, format_args!("//   observed, not held back, until {until}\n"));
            }
            append(out, format_args!("//   serves {users}\n//   can:\n"));
            for (number, grant) in agent.reach.actions.iter().zip(&agent.reach.grants) {
                let Some(entry) = self.published.catalog.at(*number) else { continue };
                let line = match grant {
                    Grant::No | Grant::Outside => continue,
                    Grant::Yes => "",
                    Grant::ByIntent => " (under a task of an intent that names it)",
                };
                append(out, format_args!("//     {} ({}){line}\n", entry.id, entry.action.risk));
            }
        }
        out.push('\n');
    }

    fn opaque(&self, out: &mut String) {
        for entry in &self.published.catalog.entries {
            let members = entry.arguments.members.iter();
            let opaque: Vec<_> = members
                .filter(|(_, member)| member.shape.is_none())
                .map(|(name, _)| name.as_str())
                .collect();
            if !opaque.is_empty() {
                let names = opaque.join(", ");
                append(out, format_args!("// opaque arguments of {}: {names}\n", entry.id));
            }
        }
    }
}

fn append(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a `String` cannot fail.
    out.write_fmt(text).unwrap_or_default();
}
