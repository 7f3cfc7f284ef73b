//! Tools as a file gives them: in OpenAI's form or without its frame, parameters short or long.

use std::sync::Arc;

use super::backend::Tool;
use crate::schema::check::{self, Problem};
use crate::schema::held;
use crate::suggest::nearest;
use crate::value::{Map, Value};

/// What `tool_choice` can say beside a tool's name.
const CHOICES: [&str; 3] = ["auto", "none", "required"];
/// Characters of a name that APIs take.
const LONGEST_NAME: usize = 64;
const KEYS: [&str; 3] = ["name", "description", "parameters"];
const TYPES: [&str; 7] = ["string", "number", "integer", "boolean", "array", "object", "null"];
const TYPED: [&str; 7] = ["type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"];

/// The map that has the name: the tool or call itself, or what OpenAI's frame holds.
pub(crate) fn function(given: &Value) -> Option<&Map> {
    let map = given.as_map()?;
    match map.get("type").and_then(Value::as_text) {
        Some("function") => map.get("function").and_then(Value::as_map),
        _ => Some(map),
    }
}

/// The tool that a checked map describes.
pub(crate) fn tool(given: &Value) -> Option<Tool> {
    let own = function(given)?;
    let text = |key: &str| own.get(key).and_then(Value::as_text).map(Arc::<str>::from);
    let parameters = own.get("parameters").and_then(Value::as_map);
    Some(Tool {
        name: text("name")?,
        description: text("description").unwrap_or_default(),
        parameters: schema(parameters.unwrap_or(&Map::new())),
    })
}

/// What is wrong with `tools` and `tool_choice`; `also` are further
/// keys that a tool may have.
pub(crate) fn problems(params: &Map, also: &[&str]) -> Vec<Problem> {
    let mut found = Vec::new();
    let Some(given) = params.get("tools").and_then(Value::as_list) else { return found };
    let is_local = params.get("backend").and_then(Value::as_text) != Some("api");
    let mut names: Vec<&str> = Vec::new();
    for (number, each) in given.iter().enumerate() {
        let (Some(own), Some(map)) = (function(each), each.as_map()) else { continue };
        let name = own.get("name").and_then(Value::as_text).unwrap_or_default();
        let mut wrong: Vec<String> = wrong_name(name, &names).into_iter().collect();
        wrong.extend(unknown_keys(own, map, also));
        if let Some(parameters) = own.get("parameters").and_then(Value::as_map) {
            let wrong_form = wrong_parameters(parameters);
            if wrong_form.is_empty() {
                let problems = held::answer_problems(&schema(parameters), is_local);
                let frame = (!std::ptr::eq(own, map)).then_some("function");
                let number = number.to_string();
                let place = ["tools", &number].into_iter().chain(frame).chain(["parameters"]);
                found.extend(check::labelled(problems, &place.collect::<Vec<_>>()));
            }
            wrong.extend(wrong_form);
        }
        let problem = |what| (vec!["tools".into()], format!("tools: \"{name}\": {what}"));
        found.extend(wrong.into_iter().map(problem));
        names.push(name);
    }
    let words = || CHOICES.into_iter().chain(names.iter().copied());
    match params.get("tool_choice").and_then(Value::as_text) {
        Some(choice) if !words().any(|word| word == choice) => {
            let hint = nearest(choice, words());
            let hint = if hint.is_empty() { hint } else { format!("; {hint}") };
            let message = format!("tool_choice: there is no tool \"{choice}\"{hint}");
            found.push((vec!["tool_choice".into()], message));
        }
        _ => {}
    }
    found
}

fn wrong_name(name: &str, names: &[&str]) -> Option<String> {
    let is_sign = |sign: u8| sign.is_ascii_alphanumeric() || sign == b'_' || sign == b'-';
    if name.len() > LONGEST_NAME || !name.bytes().all(is_sign) {
        let most = LONGEST_NAME;
        Some(format!("a name has letters, digits, _ and -, at most {most} of them"))
    } else if CHOICES.contains(&name) {
        Some("the name is taken: it is a word of tool_choice".into())
    } else {
        names.contains(&name).then(|| "the name is there twice".into())
    }
}

fn unknown_keys(own: &Map, map: &Map, also: &[&str]) -> Vec<String> {
    let framed = map.contains_key("function") && !std::ptr::eq(own, map);
    let of_own = |key: &&str| {
        !KEYS.contains(key) && !(if framed { *key == "strict" } else { also.contains(key) })
    };
    let of_frame = |key: &&str| *key != "type" && *key != "function" && !also.contains(key);
    let mut unknown: Vec<&str> = own.keys().map(|key| &**key).filter(of_own).collect();
    if framed {
        unknown.extend(map.keys().map(|key| &**key).filter(of_frame));
    }
    unknown.sort_unstable();
    unknown.into_iter().map(|key| format!("unknown key \"{key}\"")).collect()
}

fn wrong_parameters(given: &Map) -> Vec<String> {
    match given.get("type").and_then(Value::as_text) {
        Some("object") => return Vec::new(),
        Some(other) => {
            let why = "a JSON Schema of them has type: object";
            return vec![format!("parameters have the type {other}; {why}")];
        }
        None => {}
    }
    let mut wrong = Vec::new();
    for (name, spec) in given {
        let is_type = |of: &Value| of.as_text().is_some_and(|of| TYPES.contains(&of));
        let types = || format!("parameters: {name}: expected one of {}", TYPES.join(", "));
        match spec {
            Value::Text(_) if is_type(spec) => {}
            Value::Text(_) => wrong.push(types()),
            Value::Map(spec) => {
                if spec.get("type").is_some_and(|of| !is_type(of)) {
                    wrong.push(types());
                }
                if spec.get("required").is_some_and(|flag| flag.as_bool().is_none()) {
                    wrong.push(format!("parameters: {name}: required: expected true or false"));
                }
            }
            _ => wrong.push(format!("parameters: {name}: expected a type or a map")),
        }
    }
    wrong
}

/// The JSON Schema of parameters that may be given name by name.
fn schema(given: &Map) -> Value {
    if given.get("type").and_then(Value::as_text) == Some("object") {
        return Value::map(given.clone());
    }
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, spec) in given {
        let mut own = match spec {
            Value::Map(own) => (**own).clone(),
            of => Map::from_iter([("type".into(), of.clone())]),
        };
        if own.shift_remove("required").is_some_and(|flag| flag.is_true()) {
            required.push(Value::Text(name.clone()));
        }
        if !TYPED.iter().any(|key| own.contains_key(*key)) {
            own.shift_insert(0, "type".into(), "string".into());
        }
        properties.insert(name.clone(), Value::map(own));
    }
    Value::record([
        ("type", "object".into()),
        ("properties", Value::map(properties)),
        ("required", Value::list(required)),
        ("additionalProperties", false.into()),
    ])
}
