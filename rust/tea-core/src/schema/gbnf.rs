//! What llama.cpp's own grammars can hold an answer to, and shapes as they take them.
//!
//! Its converter of schemas drops without a word what it does not know. What it keeps is refused or
//! written here in the one form that it takes: without references, one type a schema.
//!
//! Source: llama.cpp, common/json-schema-to-grammar.cpp and grammars/README.md.

use std::sync::Arc;

use super::check::{at, Path, Problem};
use super::{keyword, pattern};
use crate::value::{Map, Value};

/// Of schemas that references stand for.
const MAX_SCHEMAS: usize = 2000;
const FORMATS: [&str; 4] = ["date", "time", "date-time", "uuid"];
const ANNOTATIONS: [&str; 12] = [
    "$schema",
    "$id",
    "$comment",
    "$defs",
    "definitions",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
];
const BOUNDS: [&str; 4] = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"];

/// Why a checked schema cannot be held to; None where it can.
#[must_use]
pub fn problem(schema: &Value) -> Option<Problem> {
    let mut writer = Writer { root: schema, count: 0, open: Vec::new() };
    writer.schema(schema, &[]).err()
}

/// A schema for llama.cpp's converter; None of one that cannot be held to.
#[must_use]
pub fn schema(schema: &Value) -> Option<Value> {
    Writer { root: schema, count: 0, open: Vec::new() }.schema(schema, &[]).ok()
}

/// A grammar of several texts.
#[must_use]
pub fn choices(texts: &[Arc<str>]) -> String {
    let quoted = |text: &Arc<str>| {
        let inner: String = text.chars().map(escaped).collect();
        format!("\"{inner}\"")
    };
    let texts: Vec<String> = texts.iter().map(quoted).collect();
    format!("root ::= {}", texts.join(" | "))
}

fn escaped(char: char) -> String {
    match char {
        '"' | '\\' => format!("\\{char}"),
        '\n' => "\\n".into(),
        '\r' => "\\r".into(),
        '\t' => "\\t".into(),
        other => other.into(),
    }
}

struct Writer<'s> {
    root: &'s Value,
    count: usize,
    /// References that are followed now.
    open: Vec<String>,
}

fn refuse<T>(path: &[Arc<str>], why: &str) -> Result<T, Problem> {
    Err((path.to_vec(), format!("an answer cannot be held to it in a page: {why}")))
}

fn below(path: &[Arc<str>], key: &str) -> Path {
    path.iter().cloned().chain([Arc::from(key)]).collect()
}

impl Writer<'_> {
    fn schema(&mut self, schema: &Value, path: &[Arc<str>]) -> Result<Value, Problem> {
        self.count += 1;
        if self.count > MAX_SCHEMAS {
            return refuse(path, "its references stand for too many schemas");
        }
        let Some(map) = schema.as_map() else {
            return match schema.as_bool() {
                Some(true) => Ok(Value::map(Map::new())),
                _ => refuse(path, "it is the schema false"),
            };
        };
        let keys: Vec<&str> =
            map.keys().map(|key| &**key).filter(|key| !ANNOTATIONS.contains(key)).collect();
        for key in &keys {
            if !keyword(key).is_some_and(|keyword| keyword.held_in_page) {
                return refuse(&below(path, key), &format!("{key} is not known to its grammars"));
            }
        }
        match (keys.as_slice(), map.get("type")) {
            ([], _) => Ok(Value::map(Map::new())),
            (["$ref"], _) => self.reference(map, path),
            (["anyOf"], _) => {
                let all = map["anyOf"].as_list().unwrap_or_default();
                self.any_of(all, &below(path, "anyOf"))
            }
            (keys, _) if keys.contains(&"enum") || keys.contains(&"const") => Ok(values(map)),
            (keys, _) if keys.contains(&"$ref") || keys.contains(&"anyOf") => {
                refuse(path, "$ref and anyOf must stand without other keywords")
            }
            (keys, Some(Value::Text(name))) => self.typed(name, keys, map, path),
            (keys, Some(names)) => {
                let names = names.as_list().unwrap_or_default().iter().filter_map(Value::as_text);
                let one = |name: &str| {
                    let keys: Vec<&str> =
                        keys.iter().copied().filter(|key| is_of(key, name)).collect();
                    self.typed(name, &keys, map, path)
                };
                let all = names.map(one).collect::<Result<Vec<Value>, Problem>>()?;
                Ok(Value::record([("anyOf", Value::list(all))]))
            }
            (_, None) => refuse(path, "it needs a type"),
        }
    }

    fn reference(&mut self, map: &Map, path: &[Arc<str>]) -> Result<Value, Problem> {
        let place = below(path, "$ref");
        let text = map["$ref"].as_text().unwrap_or_default();
        if self.open.iter().any(|open| open == text) || text == "#" {
            return refuse(&place, "it leads to a schema around it");
        }
        let Ok(target) = at(self.root, text) else { return refuse(&place, "it leads nowhere") };
        self.open.push(text.into());
        let written = self.schema(target, &place);
        self.open.pop();
        written
    }

    fn any_of(&mut self, all: &[Value], path: &[Arc<str>]) -> Result<Value, Problem> {
        let written = all
            .iter()
            .enumerate()
            .map(|(number, each)| self.schema(each, &below(path, &number.to_string())))
            .collect::<Result<Vec<Value>, Problem>>()?;
        Ok(Value::record([("anyOf", Value::list(written))]))
    }

    fn typed(
        &mut self,
        name: &str,
        keys: &[&str],
        map: &Map,
        path: &[Arc<str>],
    ) -> Result<Value, Problem> {
        let mut written = Map::new();
        written.insert("type".into(), name.into());
        if let Some(key) = keys.iter().find(|key| !is_of(key, name)) {
            return refuse(&below(path, key), &format!("its type is {name}"));
        }
        for key in keys.iter().filter(|key| **key != "type") {
            let (value, here) = (&map[*key], below(path, key));
            let value = match *key {
                "properties" => {
                    let mut inner = Map::new();
                    for (name, each) in value.as_map().into_iter().flatten() {
                        inner.insert(name.clone(), self.schema(each, &below(&here, name))?);
                    }
                    Value::map(inner)
                }
                "additionalProperties" | "items" if value.as_bool() == Some(false) => value.clone(),
                "additionalProperties" | "items" => self.schema(value, &here)?,
                "prefixItems" => {
                    if map.get("items").and_then(Value::as_bool) != Some(false) {
                        return refuse(&here, "beside it, items must be false");
                    }
                    let all = value.as_list().unwrap_or_default();
                    let written = self.any_of(all, &here)?;
                    written.as_map().map(|map| map["anyOf"].clone()).unwrap_or(Value::Null)
                }
                "pattern" => match pattern::for_gbnf(value.as_text().unwrap_or_default()) {
                    Some(text) => text.into(),
                    None => return refuse(&here, "it must begin with ^ and end with $"),
                },
                "required" => {
                    let known = map.get("properties").and_then(Value::as_map);
                    let names = value.as_list().unwrap_or_default().iter();
                    let mut names = names.filter_map(Value::as_text);
                    let is_known = |name| known.is_some_and(|known| known.contains_key(name));
                    if let Some(name) = names.find(|name| !is_known(*name)) {
                        return refuse(&here, &format!("properties has no {name}"));
                    }
                    value.clone()
                }
                key if BOUNDS.contains(&key) && value.as_int().is_none() => {
                    return refuse(&here, "it is no whole number");
                }
                "format" if !FORMATS.iter().any(|name| value.as_text() == Some(name)) => {
                    let names = FORMATS.join(", ");
                    return refuse(&here, &format!("only {names} are known to its grammars"));
                }
                _ => value.clone(),
            };
            written.insert(Arc::from(*key), value);
        }
        self.alone(keys, path)?;
        Ok(Value::map(written))
    }

    /// Refuse keywords of which the converter takes one and drops the others.
    fn alone(&self, keys: &[&str], path: &[Arc<str>]) -> Result<(), Problem> {
        let texts = [&["pattern"][..], &["format"], &["minLength", "maxLength"]];
        let lists = [&["prefixItems"][..], &["minItems", "maxItems"]];
        for groups in [&texts[..], &lists[..]] {
            let has = |group: &&&[&str]| group.iter().any(|key| keys.contains(key));
            let given: Vec<&&[&str]> = groups.iter().filter(has).collect();
            if given.len() > 1 {
                return refuse(
                    &below(path, given[1][0]),
                    &format!("{} stands beside it", given[0][0]),
                );
            }
        }
        Ok(())
    }
}

/// Whether a keyword says something of values of a type.
fn is_of(key: &str, name: &str) -> bool {
    match name {
        "object" => matches!(key, "type" | "properties" | "required" | "additionalProperties"),
        "array" => matches!(key, "type" | "items" | "prefixItems" | "minItems" | "maxItems"),
        "string" => matches!(key, "type" | "pattern" | "format" | "minLength" | "maxLength"),
        "integer" => key == "type" || BOUNDS.contains(&key),
        _ => key == "type",
    }
}

/// The values that a schema lists; what else it says of them is checked afterwards.
fn values(map: &Map) -> Value {
    match map.get("enum") {
        Some(values) => Value::record([("enum", values.clone())]),
        None => Value::record([("const", map["const"].clone())]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::json;

    fn written(text: &str) -> String {
        schema(&json::read(text).unwrap())
            .map_or("refused".into(), |value| json::write(&value, None))
    }

    #[test]
    fn references_and_lists_of_types_are_written_out() {
        let text = r##"{"type": "object", "properties": {"a": {"$ref": "#/$defs/t"}},
            "$defs": {"t": {"type": ["string", "null"], "maxLength": 3}}}"##;
        let made = r#"{"type": "object", "properties": {"a": {"anyOf": [{"type": "string", "maxLength": 3}, {"type": "null"}]}}}"#;
        assert_eq!(written(text), made);
    }

    #[test]
    fn what_would_be_dropped_is_refused() {
        for text in [
            r#"{"type": "number", "minimum": 1}"#,
            r#"{"type": "string", "format": "email"}"#,
            r#"{"type": "string", "pattern": "^a$", "maxLength": 3}"#,
            r#"{"type": "string", "pattern": "a"}"#,
            r#"{"type": "array", "prefixItems": [true]}"#,
            r##"{"type": "object", "properties": {"a": {"$ref": "#"}}}"##,
            r#"{"type": "string", "anyOf": [{"maxLength": 1}]}"#,
            r#"{"maxLength": 1}"#,
            r#"{"type": "object", "required": ["a"]}"#,
            r#"{"type": "integer", "minimum": 1.5}"#,
            r#"{"type": "object", "minProperties": 1}"#,
        ] {
            assert_eq!(written(text), "refused", "{text}");
        }
    }

    #[test]
    fn choices_are_quoted() {
        assert_eq!(choices(&["a\"b".into(), "c\n".into()]), r#"root ::= "a\"b" | "c\n""#);
    }
}
