//! The filters of lists.

use super::function::{unfit, whole, Arguments};
use crate::errors::Error;
use crate::limits::Budget;
use crate::template::compare::{any_same, elements, same, sorted};
use crate::template::operators::{calculate, member};
use crate::template::tree::Sign;
use crate::value::text;
use crate::value::Value;
use std::collections::HashSet;
use std::sync::Arc;

type Result<T> = std::result::Result<T, Error>;

/// `item.attribute`; dots in the name lead deeper.
pub(super) fn attribute_of(item: &Value, attribute: &Value) -> Result<Value> {
    let Value::Text(path) = attribute else {
        let shown = crate::value::json::write(attribute, None);
        return member(item, attribute, &format!("[{shown}]"));
    };
    let mut item = item.clone();
    for name in path.split('.') {
        let is_index = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
        let index = name.parse().ok().filter(|_| is_index && item.as_map().is_none());
        let key = index.map_or_else(|| Value::text(name), Value::Int);
        item = member(&item, &key, path)?;
    }
    Ok(item)
}

pub(super) fn chosen(item: &Value, attribute: Option<&Value>) -> Result<Value> {
    attribute.map_or_else(|| Ok(item.clone()), |attribute| attribute_of(item, attribute))
}

/// What an item is ordered and told apart by: texts in small letters unless case matters.
fn key_of(item: &Value, attribute: Option<&Value>, case_sensitive: bool) -> Result<Value> {
    Ok(match chosen(item, attribute)? {
        Value::Text(text) if !case_sensitive => Value::text(text.to_lowercase()),
        key => key,
    })
}

pub(super) fn join(value: &Value, given: &Arguments<'_>) -> Result<Value> {
    let budget = given.budget;
    let mut texts: Vec<Arc<str>> = Vec::new();
    for (number, item) in elements(value, "", budget)?.iter().enumerate() {
        let item = chosen(item, given.some(1))?;
        texts.push(item.text_form(&format!("element {}", number + 1), budget)?);
    }
    let separator = given.get(0).map_or(Ok("".into()), |value| value.text_form("", budget))?;
    let characters: usize = texts.iter().map(|each| text::length(each)).sum();
    budget.check_text(characters + text::length(&separator) * texts.len())?;
    Ok(Value::text(texts.join(&separator)))
}

pub(super) fn length(value: &Value, given: &Arguments<'_>) -> Result<Value> {
    let length = match value {
        Value::Text(text) => text::length(text),
        Value::Map(map) => map.len(),
        Value::List(items) | Value::Group(items) => items.len(),
        other => elements(other, "", given.budget)?.len(),
    };
    Ok(Value::Int(length as i128))
}

fn or_missing(item: Option<Value>, path: &str) -> Value {
    item.unwrap_or_else(|| Value::missing(path))
}

pub(super) fn first(value: &Value, given: &Arguments<'_>) -> Result<Value> {
    let items = elements(value, "", given.budget)?;
    Ok(or_missing(items.into_iter().next(), "the first element"))
}

pub(super) fn last(value: &Value, given: &Arguments<'_>) -> Result<Value> {
    Ok(or_missing(elements(value, "", given.budget)?.pop(), "the last element"))
}

pub(super) fn list(value: &Value, given: &Arguments<'_>) -> Result<Value> {
    elements(value, "", given.budget).map(Value::list)
}

fn in_order(
    value: &Value,
    (reverse, case_sensitive): (bool, bool),
    attribute: Option<&Value>,
    budget: &Budget,
) -> Result<Vec<Value>> {
    let mut pairs = Vec::new();
    for item in elements(value, "", budget)? {
        let key = key_of(&item, attribute, case_sensitive)?;
        key.require("")?;
        pairs.push((key, item));
    }
    Ok(sorted(pairs, reverse, budget)?.into_iter().map(|(_, item)| item).collect())
}

pub(super) fn sort(value: &Value, given: &Arguments<'_>) -> Result<Value> {
    let how = (given.is_true(0), given.is_true(1));
    in_order(value, how, given.some(2), given.budget).map(Value::list)
}

pub(super) fn min(value: &Value, given: &Arguments<'_>) -> Result<Value> {
    let items = in_order(value, (false, given.is_true(0)), given.some(1), given.budget)?;
    Ok(or_missing(items.into_iter().next(), "the first element"))
}

pub(super) fn max(value: &Value, given: &Arguments<'_>) -> Result<Value> {
    let items = in_order(value, (true, given.is_true(0)), given.some(1), given.budget)?;
    Ok(or_missing(items.into_iter().next(), "the first element"))
}

pub(super) fn unique(value: &Value, given: &Arguments<'_>) -> Result<Value> {
    let mut seen: Vec<Value> = Vec::new();
    let mut seen_texts: HashSet<Arc<str>> = HashSet::new();
    let mut result = Vec::new();
    for item in elements(value, "", given.budget)? {
        let is_new = match key_of(&item, given.some(1), given.is_true(0))? {
            Value::Text(text) => seen_texts.insert(text),
            key => {
                given.budget.charge(seen.len())?;
                let known = any_same(&seen, &key, given.budget)?;
                seen.push(key);
                !known
            }
        };
        if is_new {
            result.push(item);
        }
    }
    Ok(Value::list(result))
}

pub(super) fn groupby(value: &Value, given: &Arguments<'_>) -> Result<Value> {
    let (budget, case_sensitive) = (given.budget, given.is_true(2));
    let attribute = given.get(0).ok_or_else(|| unfit("groupby"))?;
    let mut pairs = Vec::new();
    for item in elements(value, "", budget)? {
        let key = match attribute_of(&item, attribute)? {
            Value::Absent(absent) => {
                let default = given.get(1).unwrap_or(&Value::Null);
                default.require(&absent.path)?.clone()
            }
            key => key,
        };
        pairs.push((key_of(&key, None, case_sensitive)?, Value::list(vec![key, item])));
    }
    let mut groups: Vec<(Value, Value, Vec<Value>)> = Vec::new();
    for (folded, pair) in sorted(pairs, false, budget)? {
        let [key, item] = pair.as_list().unwrap_or_default() else { continue };
        let is_same = match groups.last() {
            Some((last, ..)) => same(last, &folded, budget)?,
            None => false,
        };
        match groups.last_mut().filter(|_| is_same) {
            Some((.., items)) => items.push(item.clone()),
            None => groups.push((folded, key.clone(), vec![item.clone()])),
        }
    }
    let group = |(_, key, items)| Value::Group(Arc::new(vec![key, Value::list(items)]));
    Ok(Value::list(groups.into_iter().map(group).collect()))
}

pub(super) fn sum(value: &Value, given: &Arguments<'_>) -> Result<Value> {
    let mut total = given.get(1).cloned().unwrap_or(Value::Int(0));
    for item in elements(value, "", given.budget)? {
        total = calculate(&total, Sign::Add, &chosen(&item, given.some(0))?, given.budget)?;
    }
    Ok(total)
}

pub(super) fn reverse(value: &Value, given: &Arguments<'_>) -> Result<Value> {
    if let Some(text) = value.as_text() {
        given.budget.charge_text(text.len())?;
        return Ok(Value::text(text.chars().rev().collect::<String>()));
    }
    let mut items = elements(value, "", given.budget)?;
    items.reverse();
    Ok(Value::list(items))
}

pub(super) fn batch(value: &Value, given: &Arguments<'_>) -> Result<Value> {
    let size = whole(given.get(0).ok_or_else(|| unfit("batch"))?, "linecount")?;
    if size == 0 {
        return Err(Error::template("batch needs a linecount of 1 or more"));
    }
    let items = elements(value, "", given.budget)?;
    let mut batches: Vec<Vec<Value>> = items.chunks(size).map(<[Value]>::to_vec).collect();
    if let (Some(last), Some(filler)) = (batches.last_mut(), given.some(1)) {
        given.budget.charge(size - last.len())?;
        last.resize(size, filler.clone());
    }
    Ok(Value::list(batches.into_iter().map(Value::list).collect()))
}
