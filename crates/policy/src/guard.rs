//! The generated policies: one grant, and the guardrails that tiers, boundaries and agents state.

use crate::reads::Reads;
use crate::rule::{Asking, Rule};
use cedar_policy::{Effect, Policy, PolicyId};

/// The version of the texts below; it is part of every digest of policies.
pub(crate) const TEMPLATE_VERSION: &str = "1";

/// One generated policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Guard {
    /// The one permit: grants are data.
    Grant,
    /// Prohibited actions are for nobody.
    Prohibited,
    /// What lies outside the agent's boundary.
    Boundary,
    /// Data classes that the boundary denies.
    Data,
    /// `high` asks.
    High,
    /// An `approval:` stated on a low or medium action asks.
    Approval,
    /// The agent serves the humans of one group.
    UsersGroup,
    /// The agent serves one human.
    UsersOne,
    /// The agent serves the humans of one issuer.
    UsersIssuer,
    /// The agent serves nobody and acts for itself.
    UsersNone,
    /// Under a task: only what its intent allows.
    Intent,
    /// What the human acted for may not do.
    Rights,
    /// Arguments that the schema does not name.
    Extra,
}

impl Guard {
    /// All, in the order of their numbers.
    pub(crate) const ALL: [Guard; 13] = [
        Guard::Grant,
        Guard::Prohibited,
        Guard::Boundary,
        Guard::Data,
        Guard::High,
        Guard::Approval,
        Guard::UsersGroup,
        Guard::UsersOne,
        Guard::UsersIssuer,
        Guard::UsersNone,
        Guard::Intent,
        Guard::Rights,
        Guard::Extra,
    ];

    /// The place in the list of rules.
    pub(crate) const fn number(self) -> u32 {
        self as u32
    }

    /// The id that reasons name.
    pub(crate) const fn id(self) -> &'static str {
        match self {
            Guard::Grant => "grant",
            Guard::Prohibited => "guard.prohibited",
            Guard::Boundary => "guard.boundary",
            Guard::Data => "guard.data",
            Guard::High => "guard.high",
            Guard::Approval => "guard.approval",
            Guard::UsersGroup | Guard::UsersOne | Guard::UsersIssuer | Guard::UsersNone => {
                "guard.users"
            }
            Guard::Intent => "guard.intent",
            Guard::Rights => "guard.rights",
            Guard::Extra => "guard.extra",
        }
    }

    /// Whether it forbids exactly where one native fact of the call does not hold: the user is served, the intent allows
    /// it, no argument is extra.
    pub(crate) const fn of_fact(self) -> bool {
        matches!(
            self,
            Guard::UsersGroup
                | Guard::UsersOne
                | Guard::UsersIssuer
                | Guard::UsersNone
                | Guard::Intent
                | Guard::Rights
                | Guard::Extra
        )
    }

    /// The policy's text, with the scope that it has among all policies.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Guard::Grant => {
                "permit (principal, action, resource)\nwhen { principal.can.contains(resource) };"
            }
            Guard::Prohibited => {
                "forbid (principal, action in Action::\"risk:prohibited\", resource);"
            }
            Guard::Boundary => {
                "forbid (principal, action, resource)\n\
                 unless { principal.upstreams.contains(resource.upstream) };"
            }
            Guard::Data => {
                "forbid (principal, action, resource)\n\
                 when { principal.deny_data.containsAny(resource.data) };"
            }
            Guard::High => {
                "forbid (principal, action in Action::\"risk:high\", resource)\n\
                 unless { context.approved };"
            }
            Guard::Approval => {
                "forbid (principal, action, resource)\n\
                 when { resource.asks }\n\
                 unless { context.approved };"
            }
            Guard::UsersGroup => {
                "forbid (principal, action, resource)\n\
                 when { principal has serves_group }\n\
                 unless { context has user && context.user.groups.contains(principal.serves_group) };"
            }
            Guard::UsersOne => {
                "forbid (principal, action, resource)\n\
                 when { principal has serves_user }\n\
                 unless { context has user && context.user.name == principal.serves_user };"
            }
            Guard::UsersIssuer => {
                "forbid (principal, action, resource)\n\
                 when { principal has serves_issuer }\n\
                 unless { context has user && context.user has issuer && context.user.issuer == principal.serves_issuer };"
            }
            Guard::UsersNone => {
                "forbid (principal, action, resource)\n\
                 when { principal.autonomous && context has user };"
            }
            Guard::Intent => "forbid (principal, action, resource)\nunless { context.intent_ok };",
            Guard::Rights => "forbid (principal, action, resource)\nunless { context.entitled };",
            Guard::Extra => {
                "forbid (principal, action, resource)\nunless { context.extra.isEmpty() };"
            }
        }
    }

    /// What a human is told.
    pub(crate) const fn sentence(self) -> &'static str {
        match self {
            Guard::Grant => "the action is granted",
            Guard::Prohibited => "the action is prohibited for every agent",
            Guard::Boundary => "the action lies outside the agent's boundary",
            Guard::Data => "the agent's boundary denies a data class that the action touches",
            Guard::High => "a high action needs a human's approval",
            Guard::Approval => "the catalog asks for a human's approval of this action",
            Guard::UsersGroup | Guard::UsersOne | Guard::UsersIssuer => {
                "the agent does not serve this user"
            }
            Guard::UsersNone => "the agent acts for itself only, and a user was named",
            Guard::Intent => "the task's intent does not allow this action with these arguments",
            Guard::Rights => "the user acted for has no right to this action",
            Guard::Extra => "an argument is not in the action's schema",
        }
    }

    /// The same decision where all else was resolved when the slice was made: scope and the
    /// conditions on data that cannot change afterwards.
    const fn resolved(self) -> &'static str {
        match self {
            Guard::High | Guard::Approval => {
                "forbid (principal, action, resource) unless { context.approved };"
            }
            Guard::UsersGroup | Guard::UsersOne | Guard::UsersIssuer | Guard::UsersNone => {
                "forbid (principal, action, resource) unless { context.served };"
            }
            // Only granted slices have it.
            Guard::Grant => "permit (principal, action, resource);",
            // Only slices that they stop have them.
            Guard::Boundary | Guard::Data => "forbid (principal, action, resource);",
            Guard::Prohibited | Guard::Intent | Guard::Rights | Guard::Extra => self.text(),
        }
    }

    /// The rule, ready for slices and explanations.
    pub(crate) fn rule(self) -> Rule {
        let id = PolicyId::new(self.id());
        #[expect(clippy::expect_used, reason = "constant texts, each parsed by a test")]
        let parse = |text| Policy::parse(Some(id.clone()), text).expect("generated policies parse");
        let resolved = parse(self.resolved());
        #[expect(clippy::expect_used, reason = "constant texts, each converted by a test")]
        let reads = Reads::of_policy(&resolved.to_pst().expect("generated policies convert"));
        Rule {
            id: self.id().to_owned(),
            path: crate::GENERATED_PATH.to_owned(),
            line: 0,
            sentence: self.sentence().to_owned(),
            asking: match self {
                Guard::High | Guard::Approval => Asking::OfAction,
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
                | Guard::Extra => Asking::Nobody,
            },
            effect: if self == Guard::Grant { Effect::Permit } else { Effect::Forbid },
            text: self.text().to_owned(),
            stated: parse(self.text()),
            resolved,
            reads,
        }
    }
}
