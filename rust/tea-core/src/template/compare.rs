//! Equality, order, and what a loop over a value sees.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::errors::Error;
use crate::limits::Budget;
use crate::value::numbers::compare_mixed;
use crate::value::Value;

/// Whether two values are equal; a truth value equals no number.
pub(crate) fn same(left: &Value, right: &Value, budget: &Budget) -> Result<bool, Error> {
    budget.charge(1)?;
    if left.is_null() || right.is_null() {
        return Ok(left.is_null() && right.is_null());
    }
    if let (Some(left), Some(right)) = (left.as_list(), right.as_list()) {
        if left.len() != right.len() {
            return Ok(false);
        }
        for (left, right) in left.iter().zip(right) {
            if !same(left, right, budget)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    Ok(match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Text(left), Value::Text(right)) => {
            budget.charge_text(left.len().min(right.len()))?;
            left == right
        }
        (Value::Map(left), Value::Map(right)) => {
            if left.len() != right.len() || !left.keys().all(|key| right.contains_key(key)) {
                return Ok(false);
            }
            for (key, value) in left.iter() {
                if !right.get(key).map_or(Ok(false), |other| same(value, other, budget))? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Absent(left), Value::Absent(right)) => left.null == right.null,
        (Value::Loop(left), Value::Loop(right)) => Arc::ptr_eq(left, right),
        _ => numeric_order(left, right) == Some(Ordering::Equal),
    })
}

/// The order of two numbers; None where one of the two is none.
pub(crate) fn numeric_order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(right)),
        (Value::Float(left), Value::Float(right)) => left.partial_cmp(right),
        (Value::Int(left), Value::Float(right)) => compare_mixed(*left, *right),
        (Value::Float(left), Value::Int(right)) => {
            compare_mixed(*right, *left).map(Ordering::reverse)
        }
        _ => None,
    }
}

/// Whether `left` is less than `right`: numbers, texts, or false before true.
///
/// # Errors
/// `TemplateError` where the two have no order.
pub(super) fn before(left: &Value, right: &Value, budget: &Budget) -> Result<bool, Error> {
    budget.charge(1)?;
    if left.is_number() && right.is_number() {
        return Ok(numeric_order(left, right) == Some(Ordering::Less));
    }
    match (left, right) {
        (Value::Text(left), Value::Text(right)) => {
            budget.charge_text(left.len().min(right.len()))?;
            Ok(left < right)
        }
        (Value::Bool(left), Value::Bool(right)) => Ok(left < right),
        (Value::Absent(absent), _) | (_, Value::Absent(absent)) => Err(absent.error()),
        _ => Err(Error::template(format!(
            "cannot order {} and {}",
            left.describe(),
            right.describe()
        ))),
    }
}

/// What a loop over `value` sees: elements, keys of a map, characters of a text.
///
/// # Errors
/// `TemplateError` where it is null, missing, a number or a truth value.
pub(super) fn elements(value: &Value, path: &str, budget: &Budget) -> Result<Vec<Value>, Error> {
    let items: Vec<Value> = match value.require(path)? {
        Value::Text(text) => {
            budget.charge(crate::value::text::length(text))?;
            return Ok(text
                .chars()
                .map(|each| Value::text(each.encode_utf8(&mut [0; 4])))
                .collect());
        }
        Value::Map(map) => map.keys().cloned().map(Value::Text).collect(),
        Value::List(items) | Value::Group(items) => items.to_vec(),
        other => {
            let path = if path.is_empty() { "the value" } else { path };
            return Err(Error::template(format!("{path} is {}, not a list", other.describe())));
        }
    };
    budget.charge(items.len())?;
    Ok(items)
}

/// Whether `value` is an element, a key or a part of `container`.
pub(super) fn contains(container: &Value, value: &Value, budget: &Budget) -> Result<bool, Error> {
    match container.require("")? {
        Value::Text(text) => match value.require("")? {
            Value::Text(part) => {
                budget.charge_text(text.len())?;
                Ok(text.contains(&**part))
            }
            other => Err(Error::template(format!("cannot look for {} in text", other.describe()))),
        },
        Value::Map(map) => Ok(value.as_text().is_some_and(|key| map.contains_key(key))),
        other => any_same(&elements(other, "", budget)?, value, budget),
    }
}

pub(super) fn any_same(items: &[Value], value: &Value, budget: &Budget) -> Result<bool, Error> {
    for item in items {
        if same(item, value, budget)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Put pairs of a key and an item in the order of the keys; equal ones keep theirs.
///
/// A merge sort of our own: the order of values can fail, and then it is no order.
pub(super) fn sorted(
    mut pairs: Vec<(Value, Value)>,
    reverse: bool,
    budget: &Budget,
) -> Result<Vec<(Value, Value)>, Error> {
    if pairs.len() < 2 {
        return Ok(pairs);
    }
    let second = sorted(pairs.split_off(pairs.len() / 2), reverse, budget)?;
    let first = sorted(pairs, reverse, budget)?;
    let mut merged = Vec::with_capacity(first.len() + second.len());
    let mut first = first.into_iter().peekable();
    let mut second = second.into_iter().peekable();
    while let (Some((left, _)), Some((right, _))) = (first.peek(), second.peek()) {
        let takes_second =
            if reverse { before(left, right, budget)? } else { before(right, left, budget)? };
        merged.extend(if takes_second { second.next() } else { first.next() });
    }
    merged.extend(first);
    merged.extend(second);
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(values: Vec<Value>) -> Vec<(Value, Value)> {
        let numbered = values.into_iter().enumerate();
        numbered.map(|(number, key)| (key, Value::Int(number as i128))).collect()
    }

    fn order(values: Vec<Value>, reverse: bool) -> Result<Vec<i128>, String> {
        let pairs = sorted(keys(values), reverse, &Budget::unlimited());
        let numbers = pairs.map(|all| all.iter().filter_map(|(_, item)| item.as_int()).collect());
        numbers.map_err(|error| error.message)
    }

    #[test]
    fn equal_elements_keep_their_order_in_both_directions() {
        let values = || vec![Value::Int(2), Value::Float(1.0), Value::Int(1), Value::Int(2)];
        assert_eq!(order(values(), false), Ok(vec![1, 2, 0, 3]));
        assert_eq!(order(values(), true), Ok(vec![0, 3, 1, 2]));
    }

    #[test]
    fn values_without_an_order_are_an_error() {
        let wrong = order(vec![Value::Int(1), Value::text("a")], false);
        assert_eq!(wrong, Err("cannot order text and a whole number".into()));
    }

    #[test]
    fn a_truth_value_equals_no_number() {
        let budget = Budget::unlimited();
        assert!(!same(&Value::Bool(true), &Value::Int(1), &budget).unwrap());
        assert!(same(&Value::Int(1), &Value::Float(1.0), &budget).unwrap());
        assert!(same(&Value::Null, &Value::null_at("x"), &budget).unwrap());
        assert!(!same(&Value::Null, &Value::missing("x"), &budget).unwrap());
    }
}
