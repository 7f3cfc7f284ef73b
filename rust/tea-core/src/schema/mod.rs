//! JSON Schema (2020-12): the keywords that spec/schema.toml lists.

pub mod check;
pub mod gbnf;
pub mod held;
pub mod pattern;
pub mod satisfiable;
pub mod validate;

use std::cmp::Ordering;

use crate::limits::Budget;
use crate::spec::{Keyword, KEYWORDS};
use crate::template::compare;
use crate::value::Value;

/// The keyword of this name.
fn keyword(name: &str) -> Option<&'static Keyword> {
    KEYWORDS.iter().find(|keyword| keyword.name == name)
}

/// Whether two values are equal; a truth value equals no number.
fn same(left: &Value, right: &Value) -> bool {
    compare::same(left, right, &Budget::unlimited()).unwrap_or(false)
}

/// The order of two numbers; None where one is none.
fn order(left: &Value, right: &Value) -> Option<Ordering> {
    compare::numeric_order(left, right)
}
