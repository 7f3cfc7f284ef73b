//! Actions on data: template, json.…, memory.…, validate.schema.

use std::rc::Rc;

use super::{refuse, ActionSpec, Call, Check, Immediate, Registry};
use crate::errors::Error;
use crate::limits::Budget;
use crate::schema::check::{self, Problem};
use crate::schema::validate::{self, SchemaError};
use crate::value::json;
use crate::value::{Map, Value};

const MAX_INDENT: i128 = 100;

/// Add the actions on data.
pub fn add_actions(registry: &mut Registry) {
    type Run = fn(&Call<'_>) -> Result<Value, Error>;
    type Names = &'static [&'static str];
    let mut add = |name, run: Run, params: Names, required: Names, check: Option<Check>| {
        registry.add(name, ActionSpec { action: Rc::new(Immediate(run)), params, required, check });
    };
    add("template", template, &["template"], &["template"], None);
    add("json.parse", parse, &["text"], &["text"], None);
    add(
        "json.stringify",
        stringify,
        &["data", "indent", "sort_keys"],
        &["data"],
        Some(check_stringify),
    );
    let names = &["data", "schema"];
    add("validate.schema", validate, names, names, Some(check_schema));
    add("memory.store", store, &["key", "value"], &["key", "value"], Some(check_key));
    add("memory.retrieve", retrieve, &["key", "default"], &["key"], Some(check_key));
}

fn template(call: &Call<'_>) -> Result<Value, Error> {
    Ok(call.param("template").clone())
}

fn parse(call: &Call<'_>) -> Result<Value, Error> {
    let data = json::read(call.text("text")?)
        .map_err(|error| Error::action(format!("the text is not JSON: {error}")))?;
    Ok(Value::record([("data", data), ("success", true.into())]))
}

fn stringify(call: &Call<'_>) -> Result<Value, Error> {
    refuse(check_stringify(call.params))?;
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

fn check_stringify(params: &Map) -> Vec<Problem> {
    let sort_keys = params.get("sort_keys").filter(|value| !value.is_null());
    if let Some(wrong) = sort_keys.filter(|value| value.as_bool().is_none()) {
        let message = format!("sort_keys must be true or false, not {}", wrong.describe());
        return vec![(vec!["sort_keys".into()], message)];
    }
    let fits = match params.get("indent") {
        None | Some(Value::Null) => true,
        Some(indent) => indent.as_int().is_some_and(|n| (0..=MAX_INDENT).contains(&n)),
    };
    if fits {
        return Vec::new();
    }
    vec![(vec!["indent".into()], format!("indent must be a whole number from 0 to {MAX_INDENT}"))]
}

fn validate(call: &Call<'_>) -> Result<Value, Error> {
    refuse(check_schema(call.params))?;
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

fn check_key(params: &Map) -> Vec<Problem> {
    match params.get("key") {
        Some(key) if key.as_text().is_none() => {
            vec![(vec!["key".into()], format!("key must be text, not {}", key.describe()))]
        }
        _ => Vec::new(),
    }
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
