//! The tree of a template: what the parser gave, checked, with the paths that messages name.

use std::rc::Rc;

use super::filters::function::Function;
use crate::value::Value;

/// A part of a template.
pub(super) enum Statement {
    Text(String),
    Emit(Expression),
    For(Box<For>),
    If { test: Expression, then: Vec<Statement>, otherwise: Vec<Statement> },
    Set(Target, Expression),
    SetBlock(Target, Vec<Statement>),
}

pub(super) struct For {
    pub target: Target,
    pub items: Expression,
    pub filter: Option<Expression>,
    pub body: Vec<Statement>,
    pub otherwise: Vec<Statement>,
}

/// What is assigned to: a name, or names for the elements of a list.
pub(super) enum Target {
    Name(Rc<str>),
    Each(Vec<Target>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Remainder,
}

impl Sign {
    pub fn text(self) -> &'static str {
        match self {
            Sign::Add => "+",
            Sign::Subtract => "-",
            Sign::Multiply => "*",
            Sign::Divide => "/",
            Sign::FloorDivide => "//",
            Sign::Remainder => "%",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum LoopMethod {
    Cycle,
    Changed,
}

pub(super) struct Arguments {
    pub values: Vec<Expression>,
    pub names: Vec<(Rc<str>, Expression)>,
}

pub(super) enum Expression {
    Constant(Value),
    Name(Rc<str>),
    List(Vec<Expression>),
    Map(Vec<(Expression, Expression)>),
    Choice { test: Box<Expression>, then: Box<Expression>, otherwise: Option<Box<Expression>> },
    Not(Box<Expression>),
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
    Compare(Box<Expression>, Vec<(Comparison, Expression)>),
    Calculate(Box<Expression>, Sign, Box<Expression>),
    Negate(Box<Expression>),
    Concat(Box<Expression>, Box<Expression>),
    Member(Box<Expression>, Box<Expression>),
    Slice(Box<Expression>, Box<[Option<Expression>; 3]>),
    Range(Vec<Expression>),
    Method(Box<Expression>, Rc<str>, Vec<Expression>),
    LoopCall(LoopMethod, Vec<Expression>),
    Filter(Box<Expression>, Function, Arguments),
    Test(Box<Expression>, Function, Arguments),
}

impl Expression {
    /// The text that names its value in messages.
    pub fn path(&self) -> String {
        match self {
            Expression::Name(name) => name.to_string(),
            Expression::Member(value, key) => match &**key {
                Expression::Constant(Value::Text(key)) => format!("{}.{key}", value.path()),
                Expression::Constant(key) => {
                    format!("{}[{}]", value.path(), crate::value::json::write(key, None))
                }
                _ => format!("{}[…]", value.path()),
            },
            _ => "the value".into(),
        }
    }
}
