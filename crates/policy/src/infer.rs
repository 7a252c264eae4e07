//! What type an argument has, read from how policies use it, while no definition is pinned.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the syntax tree of Cedar is marked as growing, so each match on it has a rest"
)]

use crate::reads::argument_of;
use crate::shape::{Member, Shape};
use cedar_policy::pst::{BinaryOp, Expr, Literal, UnaryOp};
use std::collections::{BTreeMap, BTreeSet};

/// How policies use arguments.
#[derive(Debug, Default)]
pub(crate) struct Uses {
    shapes: BTreeMap<String, Shape>,
    read: BTreeSet<String>,
    asked: BTreeSet<String>,
}

impl Uses {
    /// Notes each use in an expression.
    pub(crate) fn note(&mut self, expression: &Expr) {
        let mut uses = Vec::new();
        collect(expression, &mut uses);
        for found in uses {
            match found {
                Use::Asked(name) => drop(self.asked.insert(name)),
                Use::Read(name) => drop(self.read.insert(name)),
                Use::As(name, shape) => drop(self.shapes.entry(name).or_insert(shape)),
            }
        }
    }

    /// The members: text where nothing says otherwise, always there where no policy asks.
    pub(crate) fn members(self) -> BTreeMap<String, Member> {
        let names: BTreeSet<_> = self.read.union(&self.asked).cloned().collect();
        let member = |name: String| {
            let shape = self.shapes.get(&name).cloned().unwrap_or(Shape::Text(None));
            let required = !self.asked.contains(&name);
            (name, Member { shape: Some(shape), required })
        };
        names.into_iter().map(member).collect()
    }
}

enum Use {
    /// `context.args has NAME`.
    Asked(String),
    /// `context.args.NAME`.
    Read(String),
    /// Used where only this type fits.
    As(String, Shape),
}

fn collect(node: &Expr, found: &mut Vec<Use>) {
    let mut typed = |expression: &Expr, shape: Shape| {
        if let Some(name) = argument_of(expression) {
            found.push(Use::As(name.to_owned(), shape));
        }
    };
    match node {
        Expr::HasAttr { expr, attrs } if crate::reads::is_context(expr, "args") => {
            found.push(Use::Asked(attrs.head.to_string()));
        }
        Expr::GetAttr { attr, .. } if argument_of(node).is_some() => {
            found.push(Use::Read(attr.to_string()));
        }
        Expr::UnaryOp { op: UnaryOp::Not, expr } => typed(expr, Shape::Truth),
        Expr::UnaryOp { op: UnaryOp::Neg, expr } => typed(expr, Shape::Whole),
        Expr::UnaryOp { op: UnaryOp::IsEmpty, expr } => typed(expr, texts()),
        Expr::BinaryOp { op, left, right } => {
            if let Some((one, other)) = operands(*op, left, right) {
                one.into_iter().for_each(|shape| typed(left, shape));
                other.into_iter().for_each(|shape| typed(right, shape));
            }
        }
        Expr::IfThenElse { cond, .. } => typed(cond, Shape::Truth),
        _ => {}
    }
    for part in parts(node) {
        collect(part, found);
    }
}

/// What the operands must be, if the operator says.
fn operands(op: BinaryOp, left: &Expr, right: &Expr) -> Option<(Option<Shape>, Option<Shape>)> {
    let both = |shape: Shape| Some((Some(shape.clone()), Some(shape)));
    match op {
        BinaryOp::Eq | BinaryOp::NotEq => Some((shape_of(right), shape_of(left))),
        BinaryOp::Less | BinaryOp::LessEq | BinaryOp::Greater | BinaryOp::GreaterEq => {
            both(Shape::Whole)
        }
        BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul => both(Shape::Whole),
        BinaryOp::And | BinaryOp::Or => both(Shape::Truth),
        BinaryOp::DecimalLessThan
        | BinaryOp::DecimalLessEq
        | BinaryOp::DecimalGreater
        | BinaryOp::DecimalGreaterEq => both(Shape::Decimal),
        BinaryOp::Contains => {
            let item = match left {
                Expr::Set(items) => items.first().and_then(|item| shape_of(item)),
                _ => None,
            };
            let list = shape_of(right).map_or_else(texts, |item| Shape::List(Box::new(item)));
            Some((Some(list), item))
        }
        BinaryOp::ContainsAll | BinaryOp::ContainsAny => Some((Some(texts()), Some(texts()))),
        _ => None,
    }
}

fn texts() -> Shape {
    Shape::List(Box::new(Shape::Text(None)))
}

fn shape_of(expression: &Expr) -> Option<Shape> {
    match expression {
        Expr::Literal(Literal::Bool(_)) => Some(Shape::Truth),
        Expr::Literal(Literal::Long(_)) => Some(Shape::Whole),
        Expr::Literal(Literal::String(_)) => Some(Shape::Text(None)),
        Expr::UnaryOp { op: UnaryOp::Decimal, .. } => Some(Shape::Decimal),
        Expr::Set(items) => {
            items.first().and_then(|item| shape_of(item)).map(|item| Shape::List(Box::new(item)))
        }
        _ => None,
    }
}

/// The expressions directly below a node.
pub(crate) fn parts(node: &Expr) -> Vec<&Expr> {
    match node {
        Expr::UnaryOp { expr, .. }
        | Expr::GetAttr { expr, .. }
        | Expr::HasAttr { expr, .. }
        | Expr::Like { expr, .. } => vec![expr],
        Expr::BinaryOp { left, right, .. } => vec![left, right],
        Expr::Is { expr, in_expr, .. } => {
            std::iter::once(&**expr).chain(in_expr.as_deref()).collect()
        }
        Expr::IfThenElse { cond, then_expr, else_expr } => vec![cond, then_expr, else_expr],
        Expr::Set(items) => items.iter().map(|item| &**item).collect(),
        Expr::Record(members) => members.values().map(|member| &**member).collect(),
        _ => Vec::new(),
    }
}
