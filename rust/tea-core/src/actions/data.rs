//! Actions on data: template, json.parse, json.stringify, memory.store, memory.retrieve.

use std::rc::Rc;

use super::{ActionSpec, Call, Check, Immediate, Registry};
use crate::errors::Error;
use crate::limits::Budget;
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
    add("json.stringify", stringify, &["data", "indent"], &["data"], Some(check_indent));
    add("memory.store", store, &["key", "value"], &["key", "value"], Some(check_key));
    add("memory.retrieve", retrieve, &["key", "default"], &["key"], Some(check_key));
}

fn template(call: &Call<'_>) -> Result<Value, Error> {
    Ok(call.param("template").clone())
}

fn parse(call: &Call<'_>) -> Result<Value, Error> {
    let data = json::read(call.text("text")?)
        .map_err(|error| Error::action(format!("the text is not JSON: {error}")))?;
    Ok(Value::record([("data", data)]))
}

fn stringify(call: &Call<'_>) -> Result<Value, Error> {
    if let Some((_, message)) = check_indent(call.params).into_iter().next() {
        return Err(Error::action(message));
    }
    let indent = call.param("indent").as_int().and_then(|indent| usize::try_from(indent).ok());
    let text = call.param("data").json_text(indent, &Budget::unlimited())?;
    Ok(Value::record([("text", text.into())]))
}

fn check_indent(params: &Map) -> Vec<(&str, String)> {
    let fits = match params.get("indent") {
        None | Some(Value::Null) => true,
        Some(indent) => indent.as_int().is_some_and(|n| (0..=MAX_INDENT).contains(&n)),
    };
    if fits {
        return Vec::new();
    }
    vec![("indent", format!("indent must be a whole number from 0 to {MAX_INDENT}"))]
}

fn check_key(params: &Map) -> Vec<(&str, String)> {
    match params.get("key") {
        Some(key) if key.as_text().is_none() => {
            vec![("key", format!("key must be text, not {}", key.describe()))]
        }
        _ => Vec::new(),
    }
}

fn store(call: &Call<'_>) -> Result<Value, Error> {
    let value = call.param("value").clone();
    call.memory.borrow_mut().insert(call.text("key")?.into(), value.clone());
    Ok(Value::record([("value", value)]))
}

fn retrieve(call: &Call<'_>) -> Result<Value, Error> {
    let found = call.memory.borrow().get(call.text("key")?).cloned();
    let value = found.unwrap_or_else(|| call.param("default").clone());
    Ok(Value::record([("value", value)]))
}
