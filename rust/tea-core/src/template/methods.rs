//! The methods of maps and texts.

use std::sync::Arc;

use crate::errors::Error;
use crate::limits::{Budget, MAX_STEPS};
use crate::value::text;
use crate::value::{Map, Value};

/// All methods, of maps and of texts.
pub(super) const METHODS: &[&str] = &[
    "endswith",
    "get",
    "items",
    "keys",
    "lower",
    "replace",
    "split",
    "startswith",
    "strip",
    "upper",
    "values",
];

/// Call a method of a map or a text; `path` names the value.
pub(super) fn call(
    value: &Value,
    name: &str,
    path: &str,
    args: &[Value],
    budget: &Budget,
) -> Result<Value, Error> {
    let value = value.require(path)?;
    for arg in args.iter().filter(|_| name != "get") {
        if let Value::Absent(absent) = arg {
            return Err(absent.error());
        }
    }
    let result = match value {
        Value::Map(map) => of_map(map, name, args)?,
        Value::Text(text) => {
            budget.charge_text(text.len())?;
            of_text(text, name, args, budget)?
        }
        _ => None,
    };
    match result {
        Some(Value::Null) => Ok(Value::null_at(format!("{path}.{name}(…)"))),
        Some(result) => Ok(result),
        None => {
            let what = value.describe();
            Err(Error::template(format!("{what} has no method {name}()")))
        }
    }
}

fn of_map(map: &Map, name: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    Ok(Some(match (name, args) {
        ("get", [key]) => looked_up(map, key)?.unwrap_or(Value::Null),
        ("get", [key, default]) => looked_up(map, key)?.unwrap_or_else(|| default.clone()),
        ("keys", []) => Value::list(map.keys().cloned().map(Value::Text).collect()),
        ("values", []) => Value::list(map.values().cloned().collect()),
        ("items", []) => Value::list(
            map.iter()
                .map(|(key, value)| Value::list(vec![Value::Text(key.clone()), value.clone()]))
                .collect(),
        ),
        ("get" | "keys" | "values" | "items", _) => return Err(wrong_arguments(name)),
        _ => return Ok(None),
    }))
}

fn looked_up(map: &Map, key: &Value) -> Result<Option<Value>, Error> {
    match key {
        Value::Text(key) => Ok(map.get(key).cloned()),
        Value::List(_) | Value::Map(_) | Value::Group(_) => Err(wrong_arguments("get")),
        _ => Ok(None),
    }
}

fn wrong_arguments(name: &str) -> Error {
    Error::template(format!("the template cannot be computed: {name}(): the arguments do not fit"))
}

fn of_text(
    text: &Arc<str>,
    name: &str,
    args: &[Value],
    budget: &Budget,
) -> Result<Option<Value>, Error> {
    Ok(Some(match (name, args) {
        ("upper", []) => Value::text(text.to_uppercase()),
        ("lower", []) => Value::text(text.to_lowercase()),
        ("strip", []) => Value::text(text::strip(text)),
        ("strip", [Value::Null]) => Value::text(text::strip(text)),
        ("strip", [Value::Text(characters)]) => {
            Value::text(text.trim_matches(|c| characters.contains(c)))
        }
        ("split", []) => pieces(text, None, -1, budget)?,
        ("split", [separator]) => pieces(text, separator_of(separator)?, -1, budget)?,
        ("split", [separator, Value::Int(most)]) => {
            pieces(text, separator_of(separator)?, *most, budget)?
        }
        ("startswith", [Value::Text(start)]) => Value::Bool(text.starts_with(&**start)),
        ("endswith", [Value::Text(end)]) => Value::Bool(text.ends_with(&**end)),
        ("replace", [Value::Text(old), Value::Text(new)]) => replace(text, old, new, -1, budget)?,
        ("replace", [Value::Text(old), Value::Text(new), Value::Int(most)]) => {
            replace(text, old, new, *most, budget)?
        }
        ("upper" | "lower" | "strip" | "split" | "startswith" | "endswith" | "replace", _) => {
            return Err(wrong_arguments(name));
        }
        _ => return Ok(None),
    }))
}

fn separator_of(value: &Value) -> Result<Option<&str>, Error> {
    match value {
        Value::Null => Ok(None),
        Value::Text(text) => Ok(Some(text)),
        _ => Err(wrong_arguments("split")),
    }
}

/// The pieces of a text, split at most `most` times; a negative number is no limit.
fn pieces(
    text: &str,
    separator: Option<&str>,
    most: i128,
    budget: &Budget,
) -> Result<Value, Error> {
    let most = usize::try_from(most).unwrap_or(usize::MAX).min(MAX_STEPS).saturating_add(1);
    let pieces: Vec<Value> = match separator {
        Some("") => {
            return Err(Error::template("split needs a separator that is not empty"));
        }
        Some(separator) => text.splitn(most, separator).map(Value::text).collect(),
        None => words(text, most),
    };
    budget.charge(pieces.len())?;
    Ok(Value::list(pieces))
}

/// The runs without white space; the last of `most` keeps what is in it.
fn words(text: &str, most: usize) -> Vec<Value> {
    let mut found = Vec::new();
    let mut rest = text.trim_start_matches(text::is_space);
    while !rest.is_empty() {
        if found.len() + 1 == most {
            found.push(Value::text(rest));
            break;
        }
        let end = rest.find(text::is_space).unwrap_or(rest.len());
        found.push(Value::text(&rest[..end]));
        rest = rest[end..].trim_start_matches(text::is_space);
    }
    found
}

/// `text` with `old` replaced, at most `most` times; a negative number is no limit.
pub(super) fn replace(
    text: &str,
    old: &str,
    new: &str,
    most: i128,
    budget: &Budget,
) -> Result<Value, Error> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let times = text.matches(old).count().min(most);
    let growth = text::length(new).saturating_sub(text::length(old));
    budget.check_text(text::length(text).saturating_add(times.saturating_mul(growth)))?;
    Ok(Value::text(text.replacen(old, new, most)))
}
