//! What of the context a policy reads, so that no more is built.
//!
//! INVARIANT: a policy that is evaluated finds every attribute that it can name; a mistake here
//! leaves one out, which is an evaluation error, and an error denies.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the syntax tree of Cedar is marked as growing, so each match on it has a rest"
)]

use cedar_policy::pst::{Clause, Expr, Policy, Var};
use std::collections::BTreeSet;

/// The attributes of the context, as the schema has them.
const NAMES: [&str; 13] = [
    "approved",
    "args",
    "args_opaque",
    "development",
    "edge",
    "extra",
    "hour",
    "intent_ok",
    "now_ms",
    "served",
    "task",
    "user",
    "weekday",
];

/// The bit of an attribute; all bits for one that there is not.
fn bit(name: &str) -> u16 {
    NAMES.iter().position(|known| *known == name).map_or(u16::MAX, |at| 1 << at)
}

/// Names of context attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    /// Attributes of the context itself, a bit for each of [`NAMES`]: decisions look many of them up.
    names: u16,
    /// Arguments.
    pub(crate) arguments: BTreeSet<String>,
    /// `context` as a whole: everything.
    pub(crate) context: bool,
    /// `context.args` as a whole.
    pub(crate) all_arguments: bool,
}

impl Reads {
    /// Everything that there is.
    pub(crate) fn everything() -> Reads {
        Reads { context: true, all_arguments: true, ..Reads::default() }
    }

    /// What a policy's clauses read.
    pub(crate) fn of_policy(policy: &Policy) -> Reads {
        let clauses = policy.body().clauses().iter();
        clauses
            .map(|clause| Reads::of(clause_expression(clause)))
            .fold(Reads::default(), Reads::and)
    }

    /// What an expression reads.
    pub(crate) fn of(expression: &Expr) -> Reads {
        expression.reduce(&read, &Reads::and, Reads::default())
    }

    /// Both.
    pub(crate) fn and(mut self, mut other: Reads) -> Reads {
        self.names |= other.names;
        self.arguments.append(&mut other.arguments);
        self.context |= other.context;
        self.all_arguments |= other.all_arguments;
        self
    }

    /// Whether this attribute of the context is read.
    pub(crate) fn name(&self, name: &str) -> bool {
        self.context || self.names & bit(name) != 0
    }

    /// Whether this argument is read.
    pub(crate) fn argument(&self, name: &str) -> bool {
        self.context || self.all_arguments || self.arguments.contains(name)
    }

    fn one(name: &str) -> Reads {
        let all_arguments = name == "args";
        Reads { names: bit(name), all_arguments, ..Reads::default() }
    }

    fn one_argument(name: &str) -> Reads {
        let arguments = BTreeSet::from([name.to_owned()]);
        Reads { names: bit("args"), arguments, ..Reads::default() }
    }
}

/// The expression of a clause.
pub(crate) fn clause_expression(clause: &Clause) -> &Expr {
    match clause {
        Clause::When(expression) | Clause::Unless(expression) => expression,
    }
}

/// Whether an expression is `context.NAME`.
pub(crate) fn is_context(expression: &Expr, name: &str) -> bool {
    matches!(expression, Expr::GetAttr { expr, attr }
        if attr.as_str() == name && matches!(**expr, Expr::Var(Var::Context)))
}

/// Whether an expression is `context.args.NAME`, and which.
pub(crate) fn argument_of(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::GetAttr { expr, attr } if is_context(expr, "args") => Some(attr.as_str()),
        _ => None,
    }
}

/// What a node reads if it is a path into the context; `None` to look at its parts.
fn read(node: &Expr) -> Option<Reads> {
    match node {
        Expr::Var(Var::Context) => Some(Reads::everything()),
        Expr::GetAttr { expr, attr } if is_context(expr, "args") => {
            Some(Reads::one_argument(attr.as_str()))
        }
        Expr::GetAttr { expr, attr } if matches!(**expr, Expr::Var(Var::Context)) => {
            Some(Reads::one(attr.as_str()))
        }
        Expr::HasAttr { expr, attrs } if is_context(expr, "args") => {
            Some(Reads::one_argument(attrs.head.as_str()))
        }
        Expr::HasAttr { expr, attrs } if matches!(**expr, Expr::Var(Var::Context)) => {
            match (attrs.head.as_str(), attrs.tail.first()) {
                ("args", Some(argument)) => Some(Reads::one_argument(argument.as_str())),
                (name, _) => Some(Reads::one(name)),
            }
        }
        _ => None,
    }
}
