//! What an answer of a local model can be held to, and a schema as a decoder takes it.

use std::sync::Arc;

use super::check::{self, subschemas, Problem};
use super::{keyword, pattern, satisfiable};
use crate::spec::{Keyword, FORMATS};
use crate::value::{Map, Value};

const HINT: &str = "values are only checked against it; with backend: api it may stand here";

/// The keywords of a checked schema that no answer is held to.
#[must_use]
pub fn problems(schema: &Value) -> Vec<Problem> {
    let mut found = Vec::new();
    let Some(map) = schema.as_map() else { return found };
    let is_held = |keyword: &Keyword| keyword.held_locally || keyword.held_in_page;
    for key in map.keys() {
        if !keyword(key).is_some_and(is_held) {
            found.push((vec![key.clone()], format!("an answer cannot be held to {key}: {HINT}")));
        }
    }
    for (path, inner) in subschemas(map) {
        found.extend(
            problems(inner)
                .into_iter()
                .map(|(below, message)| ([path.clone(), below].concat(), message)),
        );
    }
    found
}

/// What is wrong with a schema that an answer is to have, `local` where it is held to it.
#[must_use]
pub fn answer_problems(schema: &Value, local: bool) -> Vec<Problem> {
    let mut found = check::problems(schema);
    if found.is_empty() {
        found.extend(satisfiable::problem(schema));
    }
    if found.is_empty() && local {
        found = problems(schema);
    }
    found
}

/// A checked schema with its patterns and formats in one notation.
///
/// The decoder's own ideas of formats and of `\d` differ a little from what values are checked
/// against; patterns that are bound to both ends and name every character do not.
#[must_use]
pub fn for_decoding(schema: &Value) -> Value {
    let Some(map) = schema.as_map() else { return schema.clone() };
    let mut written = Map::new();
    for (key, value) in map {
        let inner = match keyword(key).map_or("", |keyword| keyword.takes) {
            "format" | "dialect" => continue,
            _ if matches!(&**key, "$id" | "deprecated") => continue,
            "schema" => for_decoding(value),
            "schemas" => {
                Value::list(value.as_list().unwrap_or_default().iter().map(for_decoding).collect())
            }
            "schema_map" => each(value, |name| name.clone()),
            "pattern_map" => each(value, |name| searching(name).into()),
            "pattern" => searching(value.as_text().unwrap_or_default()).into(),
            _ => value.clone(),
        };
        written.insert(key.clone(), inner);
    }
    let format = map.get("format").and_then(Value::as_text);
    let format = FORMATS.iter().find(|(name, _)| Some(*name) == format);
    if let Some((_, pattern)) = format {
        let form = Value::record([("pattern", bound(pattern).into())]);
        let others = written.get("allOf").and_then(Value::as_list).unwrap_or_default();
        let all = [form].into_iter().chain(others.iter().cloned()).collect();
        written.insert("allOf".into(), Value::list(all));
    }
    Value::map(written)
}

fn each(map: &Value, key: impl Fn(&Arc<str>) -> Arc<str>) -> Value {
    let entries = map.as_map().into_iter().flatten();
    Value::map(entries.map(|(name, schema)| (key(name), for_decoding(schema))).collect())
}

fn searching(pattern: &str) -> String {
    bound(&pattern::search(pattern).unwrap_or_default())
}

fn bound(whole: &str) -> String {
    format!("^(?:{whole})$")
}
