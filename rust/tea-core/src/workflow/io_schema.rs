//! `input_schema` and `output_schema`: what a run takes and gives, as a JSON Schema.
//!
//! The short form has a map for each key, `{type, required, default, min, max, …}`; it is written as
//! a JSON Schema of a map.

use std::sync::Arc;

use crate::errors::{Error, Kind};
use crate::schema::check::{self, Path, Problem};
use crate::schema::{satisfiable, validate};
use crate::suggest::nearest;
use crate::value::{Map, Value};

/// Names of types in the short form.
const TYPES: [(&str, &str); 14] = [
    ("str", "string"),
    ("string", "string"),
    ("text", "string"),
    ("int", "integer"),
    ("integer", "integer"),
    ("float", "number"),
    ("number", "number"),
    ("bool", "boolean"),
    ("boolean", "boolean"),
    ("list", "array"),
    ("array", "array"),
    ("dict", "object"),
    ("object", "object"),
    ("any", ""),
];
const KEYS: [&str; 13] = [
    "type",
    "required",
    "default",
    "description",
    "min",
    "max",
    "min_length",
    "max_length",
    "pattern",
    "choices",
    "properties",
    "items",
    "stdin",
];
/// Errors of a value that are shown.
const SHOWN: usize = 5;

/// Whether a map is a JSON Schema, not the short form.
fn is_schema(given: &Map) -> bool {
    let kind = given.get("type");
    kind.is_some_and(|kind| kind.as_text().is_some() || kind.as_list().is_some())
        || given.contains_key("$schema")
        || given.contains_key("$ref")
}

/// The JSON Schema that a map means, and what is wrong with it.
pub(crate) fn read(given: Map) -> (Value, Vec<Problem>) {
    let mut problems = Vec::new();
    let schema = if is_schema(&given) {
        let schema = Value::map(given);
        problems = check::problems(&schema);
        schema
    } else {
        let schema = Value::map(map(&given, &[], &mut problems));
        if problems.is_empty() {
            // Places in the written schema are none of the file.
            let found = check::problems(&schema).into_iter();
            let shown =
                |(path, text): Problem| (Path::new(), format!("{}: {text}", check::pointer(&path)));
            problems = found.map(shown).collect();
        }
        schema
    };
    if problems.is_empty() {
        problems.extend(satisfiable::problem(&schema));
    }
    (schema, problems)
}

/// The key of the short form that standard input is read into.
pub(crate) fn of_stdin(given: &Map) -> Option<Arc<str>> {
    let is_read = |field: &Value| {
        field.as_map().and_then(|field| field.get("stdin")).is_some_and(Value::is_true)
    };
    let found = given.iter().find(|(_, field)| is_read(field));
    found.filter(|_| !is_schema(given)).map(|(key, _)| key.clone())
}

/// The value with the defaults of those keys that it lacks, at any depth.
pub(crate) fn with_defaults(schema: &Value, value: &Value) -> Value {
    let Some(map) = value.as_map() else { return value.clone() };
    let mut filled = map.clone();
    let properties = schema.as_map().and_then(|schema| schema.get("properties"));
    for (key, inner) in properties.and_then(Value::as_map).into_iter().flatten() {
        let default = inner.as_map().and_then(|inner| inner.get("default"));
        match (filled.get(key), default) {
            (None, Some(default)) => {
                filled.insert(key.clone(), default.clone());
            }
            (Some(given), _) => {
                let given = with_defaults(inner, given);
                filled.insert(key.clone(), given);
            }
            _ => {}
        }
    }
    Value::map(filled)
}

/// Check a value against the schema of this name.
pub(crate) fn refuse(name: &str, schema: &Value, value: &Value) -> Result<(), Error> {
    let errors = validate::errors(schema, value);
    if errors.is_empty() {
        return Ok(());
    }
    let shown = |error: &validate::SchemaError| {
        let place = if error.path.is_empty() { "the whole" } else { &error.path };
        format!("{place} {}", error.message)
    };
    let shown: Vec<String> = errors.iter().take(SHOWN).map(shown).collect();
    Err(Error::new(Kind::Schema, format!("{name}: {}", shown.join("; "))))
}

fn below(path: &[Arc<str>], key: &str) -> Path {
    path.iter().cloned().chain([Arc::from(key)]).collect()
}

fn map(given: &Map, path: &[Arc<str>], problems: &mut Vec<Problem>) -> Map {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, value) in given {
        properties.insert(name.clone(), field(value, &below(path, name), problems));
        if flag(value, "stdin") && of_stdin(given).as_ref() != Some(name) {
            let place = below(&below(path, name), "stdin");
            problems.push((place, "another key is read from standard input".into()));
        }
        if flag(value, "required") {
            required.push(Value::Text(name.clone()));
        }
    }
    let mut schema = Map::new();
    schema.insert("type".into(), "object".into());
    schema.insert("properties".into(), Value::map(properties));
    if !required.is_empty() {
        schema.insert("required".into(), Value::list(required));
    }
    schema
}

/// Whether a field has a key that is true.
fn flag(field: &Value, key: &str) -> bool {
    field.as_map().and_then(|field| field.get(key)).and_then(Value::as_bool) == Some(true)
}

fn field(given: &Value, path: &[Arc<str>], problems: &mut Vec<Problem>) -> Value {
    let given = match given {
        Value::Text(_) => Value::record([("type", given.clone())]),
        other => other.clone(),
    };
    let Some(field) = given.as_map() else {
        let message = "expected the name of a type, or a map with type";
        problems.push((path.to_vec(), message.into()));
        return Value::map(Map::new());
    };
    wrong(field, path, problems);
    let kind = kind(field).unwrap_or("");
    let (least, most) = match kind {
        "array" => ("minItems", "maxItems"),
        _ => ("minLength", "maxLength"),
    };
    let names = [
        ("default", "default"),
        ("description", "description"),
        ("pattern", "pattern"),
        ("min", "minimum"),
        ("max", "maximum"),
        ("min_length", least),
        ("max_length", most),
        ("choices", "enum"),
    ];
    let mut schema = Map::new();
    if !kind.is_empty() {
        schema.insert("type".into(), kind.into());
    }
    for (key, name) in names {
        if let Some(value) = field.get(key) {
            schema.insert(name.into(), value.clone());
        }
    }
    if let Some(properties) = field.get("properties").and_then(Value::as_map) {
        schema.extend(map(properties, &below(path, "properties"), problems));
    }
    if let Some(items) = field.get("items") {
        schema.insert("items".into(), self::field(items, &below(path, "items"), problems));
    }
    Value::map(schema)
}

/// The type of JSON Schema that a field has; empty: any.
fn kind(field: &Map) -> Option<&'static str> {
    let name = match field.get("type") {
        None => "any",
        Some(name) => name.as_text()?,
    };
    TYPES.iter().find(|(short, _)| *short == name).map(|(_, kind)| *kind)
}

fn wrong(field: &Map, path: &[Arc<str>], problems: &mut Vec<Problem>) {
    for key in field.keys().filter(|key| !KEYS.contains(&&***key)) {
        let hint = nearest(key, KEYS);
        let hint = if hint.is_empty() { hint } else { format!("; {hint}") };
        problems.push((below(path, key), format!("unknown key{hint}")));
    }
    if kind(field).is_none() {
        let names: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
        problems.push((below(path, "type"), format!("expected one of {}", names.join(", "))));
    }
    for key in ["required", "stdin"] {
        if field.get(key).is_some_and(|flag| flag.as_bool().is_none()) {
            problems.push((below(path, key), "expected true or false".into()));
        }
    }
    let is_read = field.get("stdin").and_then(Value::as_bool) == Some(true);
    if is_read && (path.len() > 1 || kind(field) != Some("string")) {
        let message = "only one text of the input is read from standard input";
        problems.push((below(path, "stdin"), message.into()));
    }
    if field.get("properties").is_some_and(|map| map.as_map().is_none()) {
        problems.push((below(path, "properties"), "expected a map".into()));
    }
}
