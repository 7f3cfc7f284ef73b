//! The operators, paths and methods of template expressions.

use std::sync::atomic::Ordering;
use std::sync::Arc;

use super::compare::{before, contains, same};
use super::tree::{Comparison, Sign};
use crate::errors::Error;
use crate::limits::{check_integer, Budget, MAX_RANGE};
use crate::value::numbers::{float_floor_division, floor_division, true_division};
use crate::value::text;
use crate::value::{Absent, Loop, Value};

/// `value.key` or `value[key]`; what is null or missing is an `Absent` of `path`.
pub(super) fn member(value: &Value, key: &Value, path: &str) -> Result<Value, Error> {
    if let Value::Absent(absent) = key {
        return Err(absent.error());
    }
    let found = match (value, key) {
        (Value::Map(map), Value::Text(key)) => map.get(key).cloned(),
        (Value::Loop(each), Value::Text(key)) => loop_member(each, key),
        (Value::Group(pair), Value::Text(key)) => match &**key {
            "grouper" => pair.first().cloned(),
            "list" => pair.get(1).cloned(),
            _ => None,
        },
        (Value::List(items) | Value::Group(items), Value::Int(index)) => {
            position(*index, items.len()).and_then(|index| items.get(index).cloned())
        }
        (Value::Text(text), Value::Int(index)) => position(*index, text::length(text))
            .and_then(|index| text.chars().nth(index))
            .map(|each| Value::text(each.encode_utf8(&mut [0; 4]))),
        _ => None,
    };
    Ok(match found {
        Some(Value::Null) => Value::null_at(path),
        Some(value) => value,
        None => Value::missing(path),
    })
}

/// The place of an element, counted from the end where `index` is negative.
fn position(index: i128, length: usize) -> Option<usize> {
    let length = length as i128;
    let index = if index < 0 { index + length } else { index };
    if (0..length).contains(&index) {
        usize::try_from(index).ok()
    } else {
        None
    }
}

fn loop_member(each: &Loop, key: &str) -> Option<Value> {
    let (index, length) = (each.index.load(Ordering::Relaxed), each.items.len());
    let count = |number: usize| Some(Value::Int(number as i128));
    let neighbour = |item: Option<&Value>, message: &'static str| {
        let absent = Absent { path: String::new(), null: false, message: Some(message) };
        Some(item.cloned().unwrap_or_else(|| Value::Absent(Arc::new(absent))))
    };
    match key {
        "index" => count(index + 1),
        "index0" => count(index),
        "revindex" => count(length - index),
        "revindex0" => count(length - index - 1),
        "first" => Some(Value::Bool(index == 0)),
        "last" => Some(Value::Bool(index + 1 == length)),
        "length" => count(length),
        "depth" => count(1),
        "depth0" => count(0),
        "previtem" => {
            let before = index.checked_sub(1).and_then(|index| each.items.get(index));
            neighbour(before, "there is no previous item")
        }
        "nextitem" => neighbour(each.items.get(index + 1), "there is no next item"),
        _ => None,
    }
}

/// `value[start:stop:step]` of a list or a text.
pub(super) fn slice(
    value: &Value,
    bounds: [Value; 3],
    path: &str,
    budget: &Budget,
) -> Result<Value, Error> {
    let [start, stop, step] = bounds.map(|bound| match bound {
        Value::Int(number) => Ok(Some(number)),
        bound if bound.is_null() => Ok(None),
        _ => Err(Error::template("the bounds of a slice must be whole numbers")),
    });
    let (start, stop, step) = (start?, stop?, step?.unwrap_or(1));
    if step == 0 {
        return Err(Error::template("the step of a slice must not be 0"));
    }
    match value {
        Value::Text(text) => {
            budget.charge_text(text::length(text))?;
            let characters: Vec<char> = text.chars().collect();
            let places = places(start, stop, step, characters.len());
            Ok(Value::text(places.map(|place| characters[place]).collect::<String>()))
        }
        Value::List(items) | Value::Group(items) => {
            let places = places(start, stop, step, items.len());
            let part: Vec<Value> = places.map(|place| items[place].clone()).collect();
            budget.charge(part.len())?;
            Ok(Value::list(part))
        }
        other => {
            let other = other.require(path)?;
            Err(Error::template(format!("cannot slice {}", other.describe())))
        }
    }
}

/// The places that a slice takes of `length` elements.
fn places(
    start: Option<i128>,
    stop: Option<i128>,
    step: i128,
    length: usize,
) -> impl Iterator<Item = usize> {
    let length = length as i128;
    let (lowest, highest) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let bound = |given: Option<i128>, otherwise: i128| match given {
        None => otherwise,
        Some(given) if given < 0 => given.saturating_add(length).max(lowest),
        Some(given) => given.min(highest),
    };
    let (first, last) = if step > 0 { (lowest, highest) } else { (highest, lowest) };
    let (mut next, stop) = (bound(start, first), bound(stop, last));
    std::iter::from_fn(move || {
        let more = if step > 0 { next < stop } else { next > stop };
        let place = usize::try_from(next).ok().filter(|_| more)?;
        next = next.saturating_add(step);
        Some(place)
    })
}

/// `left ~ right`, of texts already.
pub(super) fn concat(left: &str, right: &str, budget: &Budget) -> Result<Value, Error> {
    budget.check_text(text::length(left) + text::length(right))?;
    Ok(Value::text(format!("{left}{right}")))
}

/// `left sign right` for `+ - * / // %`.
pub(super) fn calculate(
    left: &Value,
    sign: Sign,
    right: &Value,
    budget: &Budget,
) -> Result<Value, Error> {
    let (left, right) = (left.require("")?, right.require("")?);
    match (left, sign, right) {
        (Value::Int(left), _, Value::Int(right)) => return whole(*left, sign, *right),
        (Value::Text(left), Sign::Add, Value::Text(right)) => {
            return concat(left, right, budget);
        }
        _ => {}
    }
    if let (Some(left), Some(right)) = (left.as_number(), right.as_number()) {
        return fraction(left, sign, right);
    }
    if let (Some(left), Sign::Add, Some(right)) = (left.as_list(), sign, right.as_list()) {
        budget.charge(left.len() + right.len())?;
        return Ok(Value::list([left, right].concat()));
    }
    if sign == Sign::Multiply {
        let (value, times) = if right.is_number() { (left, right) } else { (right, left) };
        if let Some(repeated) = repeat(value, times, budget)? {
            return Ok(repeated);
        }
    }
    let hint = match sign == Sign::Add && (left.as_text().is_some() || right.as_text().is_some()) {
        true => "join texts with ~",
        false => "",
    };
    let (left, sign, right) = (left.describe(), sign.text(), right.describe());
    Err(Error::template(format!("cannot calculate {left} {sign} {right}")).hint(hint))
}

fn repeat(value: &Value, times: &Value, budget: &Budget) -> Result<Option<Value>, Error> {
    let Some(times) = times.as_int() else { return Ok(None) };
    let times = usize::try_from(times.max(0)).unwrap_or(usize::MAX);
    if let Some(text) = value.as_text() {
        budget.check_text(text::length(text).saturating_mul(times))?;
        let times = if text.is_empty() { 0 } else { times };
        return Ok(Some(Value::text(text.repeat(times))));
    }
    let Some(items) = value.as_list() else { return Ok(None) };
    budget.charge(items.len().saturating_mul(times))?;
    let times = if items.is_empty() { 0 } else { times };
    Ok(Some(Value::list(vec![items; times].concat())))
}

fn too_large() -> Error {
    Error::template("the number is too large")
}

fn whole(left: i128, sign: Sign, right: i128) -> Result<Value, Error> {
    if matches!(sign, Sign::Divide | Sign::FloorDivide | Sign::Remainder) && right == 0 {
        return Err(Error::template("division by zero"));
    }
    let number = match sign {
        Sign::Add => left.saturating_add(right),
        Sign::Subtract => left.saturating_sub(right),
        Sign::Multiply => left.saturating_mul(right),
        Sign::Divide => {
            let quotient = true_division(left, right);
            return if quotient.is_finite() {
                Ok(Value::Float(quotient))
            } else {
                Err(too_large())
            };
        }
        Sign::FloorDivide => floor_division(left, right).0,
        Sign::Remainder => floor_division(left, right).1,
    };
    check_integer(number).map(Value::Int)
}

fn fraction(left: f64, sign: Sign, right: f64) -> Result<Value, Error> {
    if matches!(sign, Sign::Divide | Sign::FloorDivide | Sign::Remainder) && right == 0.0 {
        return Err(Error::template("division by zero"));
    }
    let number = match sign {
        Sign::Add => left + right,
        Sign::Subtract => left - right,
        Sign::Multiply => left * right,
        Sign::Divide => left / right,
        Sign::FloorDivide => float_floor_division(left, right).0,
        Sign::Remainder => float_floor_division(left, right).1,
    };
    if number.is_finite() {
        Ok(Value::Float(number))
    } else {
        Err(too_large())
    }
}

/// `-value`.
pub(super) fn negate(value: &Value) -> Result<Value, Error> {
    match value.require("")? {
        Value::Int(number) => Ok(Value::Int(number.saturating_neg())),
        Value::Float(number) => Ok(Value::Float(-number)),
        other => Err(Error::template(format!("cannot calculate - {}", other.describe()))),
    }
}

/// Whether `left sign right` holds; ordering null with anything does not.
pub(super) fn compare(
    left: &Value,
    sign: Comparison,
    right: &Value,
    budget: &Budget,
) -> Result<bool, Error> {
    match sign {
        Comparison::Equal => return same(left, right, budget),
        Comparison::Unequal => return Ok(!same(left, right, budget)?),
        Comparison::In => return contains(right, left, budget),
        Comparison::NotIn => return Ok(!contains(right, left, budget)?),
        _ => {}
    }
    if left.is_absent() || right.is_absent() {
        return Ok(false);
    }
    let (lower, upper) = match sign {
        Comparison::Less | Comparison::LessOrEqual => (left, right),
        _ => (right, left),
    };
    let strict = matches!(sign, Comparison::Less | Comparison::Greater);
    Ok(before(lower, upper, budget)? || (!strict && same(lower, upper, budget)?))
}

/// The numbers of `range`: `(stop)`, `(start, stop)`, `(start, stop, step)`.
pub(super) fn range(bounds: &[Value]) -> Result<Value, Error> {
    let mut numbers = Vec::with_capacity(3);
    for bound in bounds {
        let number = bound.require("")?.as_int();
        numbers.push(number.ok_or_else(|| Error::template("range needs whole numbers"))?);
    }
    let (mut next, stop, step) = match numbers[..] {
        [stop] => (0, stop, 1),
        [start, stop] => (start, stop, 1),
        [start, stop, step] if step != 0 => (start, stop, step),
        _ => return Err(Error::template("range needs one to three numbers, the third not 0")),
    };
    let mut found = Vec::new();
    while if step > 0 { next < stop } else { next > stop } {
        if found.len() == MAX_RANGE {
            return Err(Error::limit(format!("range gives more than {MAX_RANGE} numbers")));
        }
        found.push(Value::Int(next));
        next = next.saturating_add(step);
    }
    Ok(Value::list(found))
}
