//! Actions on data, which need nothing of the world.

use super::{retry, Call, Registry};
use crate::errors::Error;
use crate::limits::{Budget, MAX_CHARACTERS, MAX_STEPS};
use crate::schema::check::{self, Problem};
use crate::schema::validate::{self, SchemaError};
use crate::value::{json, text, Map, Value};

/// Add the actions on data.
pub fn add_actions(registry: &mut Registry) {
    type Run = fn(&Call<'_>) -> Result<Value, Error>;
    for (name, run) in [
        ("template", template as Run),
        ("json.parse", parse),
        ("json.stringify", stringify),
        ("text.split", split),
        ("memory.store", store),
        ("memory.retrieve", retrieve),
    ] {
        registry.add_checked(name, run, None);
    }
    registry.add_checked("validate.schema", validate, Some(check_schema));
    retry::add_action(registry);
}

fn template(call: &Call<'_>) -> Result<Value, Error> {
    Ok(call.param("template").clone())
}

fn parse(call: &Call<'_>) -> Result<Value, Error> {
    let is_strict = call.param("strict").as_bool() != Some(false);
    let read = if is_strict { json::read } else { json::find };
    let (data, success) = match (read(call.text("text")?), call.params.get("default")) {
        (Ok(data), _) => (data, true),
        (Err(_), Some(default)) => (default.clone(), false),
        (Err(error), None) => {
            return Err(Error::action(format!("the text is not JSON: {error}")));
        }
    };
    Ok(Value::record([("data", data), ("success", success.into())]))
}

fn stringify(call: &Call<'_>) -> Result<Value, Error> {
    let indent = call.param("indent").as_int().and_then(|indent| usize::try_from(indent).ok());
    let is_sorted = call.param("sort_keys").as_bool() == Some(true);
    let data = call.param("data");
    let data = if is_sorted { sorted(data) } else { data.clone() };
    let text = data.json_text(indent, &Budget::unlimited())?;
    Ok(Value::record([("text", text.into()), ("success", true.into())]))
}

/// A copy with the keys of maps in order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Map(map) => {
            let mut map: Map = map.iter().map(|(key, item)| (key.clone(), sorted(item))).collect();
            map.sort_keys();
            Value::map(map)
        }
        Value::List(items) => Value::list(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

fn validate(call: &Call<'_>) -> Result<Value, Error> {
    let schema = call.param("schema");
    if schema.is_null() {
        return Err(Error::action("validate.schema: schema must be a map, not null"));
    }
    let errors = validate::errors(schema, call.param("data"));
    Ok(Value::record([
        ("valid", errors.is_empty().into()),
        ("errors", Value::list(errors.iter().map(SchemaError::to_value).collect())),
    ]))
}

fn check_schema(params: &Map) -> Vec<Problem> {
    let schema = params.get("schema").filter(|schema| !schema.is_null());
    let problems = schema.map(check::problems).unwrap_or_default();
    check::labelled(problems, &["schema"])
}

fn split(call: &Call<'_>) -> Result<Value, Error> {
    let text = call.text("text")?;
    let count = |key| call.param(key).as_int().and_then(|number| usize::try_from(number).ok());
    let (size, overlap) = (count("size").unwrap_or(1), count("overlap").unwrap_or(0));
    if overlap >= size {
        let message = format!("text.split: overlap must be less than size, which is {size}");
        return Err(Error::action(message));
    }
    let places: Vec<(usize, usize)> = match call.param("unit").as_text() {
        Some("words") => words(text),
        _ => text.char_indices().map(|(start, each)| (start, start + each.len_utf8())).collect(),
    };
    let last = if places.is_empty() { 0 } else { places.len().saturating_sub(overlap).max(1) };
    let spans: Vec<(usize, usize)> = (0..last)
        .step_by(size - overlap)
        .map(|start| (places[start].0, places[start.saturating_add(size).min(places.len()) - 1].1))
        .collect();
    let chunks = || spans.iter().map(|(start, end)| &text[*start..*end]);
    let is_long = || chunks().map(text::length).sum::<usize>() > MAX_CHARACTERS;
    if spans.len() > MAX_STEPS || is_long() {
        let message = format!(
            "the chunks are more than {MAX_STEPS}, or have more than {MAX_CHARACTERS} characters"
        );
        return Err(Error::limit(message).hint("raise size, or lower overlap"));
    }
    Ok(Value::record([
        ("chunks", Value::list(chunks().map(Value::text).collect())),
        ("success", true.into()),
    ]))
}

/// Where each word begins and ends.
fn words(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut begun = None;
    for (place, each) in text.char_indices() {
        if text::is_space(each) {
            found.extend(begun.take().map(|start| (start, place)));
        } else {
            begun.get_or_insert(place);
        }
    }
    found.extend(begun.map(|start| (start, text.len())));
    found
}

fn store(call: &Call<'_>) -> Result<Value, Error> {
    let value = call.param("value").clone();
    call.memory.borrow_mut().insert(call.text("key")?.into(), value.clone());
    Ok(Value::record([("value", value), ("stored", true.into()), ("success", true.into())]))
}

fn retrieve(call: &Call<'_>) -> Result<Value, Error> {
    let found = call.memory.borrow().get(call.text("key")?).cloned();
    let is_found = ("found", found.is_some().into());
    let value = found.unwrap_or_else(|| call.param("default").clone());
    Ok(Value::record([("value", value), is_found, ("success", true.into())]))
}
