//! When two values are the same.

use tea_core::value::Value;

/// Whether two values are equal and of the same JSON types: 1, 1.0 and true all differ.
#[must_use]
pub fn same(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        (Value::Map(left), Value::Map(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(key, value)| right.get(key).is_some_and(|other| same(value, other)))
        }
        (Value::List(left), Value::List(right)) => {
            left.len() == right.len() && left.iter().zip(right.iter()).all(|(a, b)| same(a, b))
        }
        (Value::Null, Value::Null) => true,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Int(left), Value::Int(right)) => left == right,
        (Value::Float(left), Value::Float(right)) => left == right,
        (Value::Text(left), Value::Text(right)) => left == right,
        _ => false,
    }
}

/// The same, but 1 and 1.0 are equal.
#[must_use]
pub fn alike(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        (Value::Map(left), Value::Map(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(key, value)| right.get(key).is_some_and(|other| alike(value, other)))
        }
        (Value::List(left), Value::List(right)) => {
            left.len() == right.len() && left.iter().zip(right.iter()).all(|(a, b)| alike(a, b))
        }
        (left, right) if left.is_number() && right.is_number() => {
            left.as_number() == right.as_number()
        }
        (left, right) => same(left, right),
    }
}
