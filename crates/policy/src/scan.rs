//! The naive way to decide: every policy, every time. Slices must decide the same, and this is what
//! they are compared with, in tests and in measurements.

use crate::call::Call;
use crate::compiled::Compiled;
use crate::decide::{Ruling, evaluate_with};
use crate::facts::{Facts, Subject};
use crate::reads::Reads;
use crate::rule::Rule;
use crate::slice::{Conditions, RuleSet};
use cedar_policy::PolicyId;
use std::sync::Arc;

/// All policies as they are stated, in one set.
pub struct Scan {
    set: RuleSet,
}

impl Compiled {
    /// All policies in one set.
    #[must_use]
    pub fn scan(&self) -> Scan {
        let numbered = self.published.rules.iter().enumerate().map(|(at, rule)| {
            // Variants of one guard share their id, and a set does not.
            let resolved = rule.stated.new_id(PolicyId::new(at.to_string()));
            Arc::new(Rule { resolved, ..Rule::clone(rule) })
        });
        let rules: Vec<_> = numbered.collect();
        let conditions = Conditions { reads: Reads::everything(), ..Conditions::of(&rules) };
        let conditions = Arc::new(conditions);
        Scan { set: RuleSet { rules: rules.into(), ordinary: Arc::clone(&conditions), conditions } }
    }
}

impl Scan {
    /// How many policies there are.
    #[must_use]
    pub fn policies(&self) -> usize {
        self.set.rules.len()
    }

    /// The same as [`crate::evaluate`], over all policies.
    #[must_use]
    pub fn evaluate(&self, subject: &Subject, call: &Call, facts: &Facts) -> Ruling {
        evaluate_with(&self.set, subject, call, facts)
    }
}
