//! What is wrong with a JSON Schema itself, before any value is checked against it.

use std::collections::HashSet;
use std::sync::Arc;

use super::{keyword, order, pattern, same};
use crate::redact::shorten;
use crate::spec::{FORMATS, KEYWORDS};
use crate::suggest::nearest;
use crate::value::{json, Map, Value};

/// Keys, and positions of lists as text.
pub type Path = Vec<Arc<str>>;
/// Where in the schema, and what.
pub type Problem = (Path, String);

pub(super) const TYPES: [&str; 7] =
    ["null", "boolean", "integer", "number", "string", "array", "object"];
const DIALECTS: [&str; 3] = [
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema",
];
const MAX_DIVISOR: f64 = 1e30;
const SHOWN: usize = 60;
/// In these a schema stands for the same value as the one around it.
const IN_PLACE: [&str; 9] =
    ["$ref", "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"];

/// A place as a JSON Pointer, as messages have it: `#/properties/a`.
#[must_use]
pub fn pointer(path: &[Arc<str>]) -> String {
    let part = |text: &Arc<str>| format!("/{}", text.replace('~', "~0").replace('/', "~1"));
    format!("#{}", path.iter().map(part).collect::<String>())
}

/// What is wrong in `schema`: keywords that are not known, and values they do not take. Also
/// references that lead nowhere or, by nothing but references, back to themselves.
#[must_use]
pub fn problems(schema: &Value) -> Vec<Problem> {
    let mut reader = Reader { root: schema, problems: Vec::new() };
    reader.schema(schema, &[]);
    if reader.problems.is_empty() {
        let mut circles = Circles { root: schema, done: HashSet::new(), open: HashSet::new() };
        circles.visit(schema, &[], &mut reader.problems);
    }
    reader.problems
}

/// Problems of a schema that lies at `place`, each message with its own place.
#[must_use]
pub fn labelled(problems: Vec<Problem>, place: &[&str]) -> Vec<Problem> {
    let place: Path = place.iter().map(|key| Arc::from(*key)).collect();
    let label = |(path, message): Problem| {
        let message = format!("{}: {}: {message}", place[0], pointer(&path));
        ([place.clone(), path].concat(), message)
    };
    problems.into_iter().map(label).collect()
}

/// What a reference within `schema` leads to.
///
/// # Errors
/// It leads nowhere.
pub(super) fn at<'s>(schema: &'s Value, reference: &str) -> Result<&'s Value, &'static str> {
    let Some(rest) = reference.strip_prefix('#') else {
        return Err("it leads out of the schema; only # and what begins with #/ stay within");
    };
    if !rest.is_empty() && !rest.starts_with('/') {
        return Err("it leads nowhere; only # and what begins with #/ are supported");
    }
    let (mut found, mut takes) = (schema, "schema");
    for key in steps(rest) {
        let inner = match found {
            Value::Map(map) => map.get(&*key),
            Value::List(items) => {
                let is_number = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit());
                let number = if is_number { key.parse::<usize>().ok() } else { None };
                number.and_then(|number| items.get(number))
            }
            _ => None,
        };
        found = inner.ok_or("it leads nowhere")?;
        takes = match takes {
            "schema" => keyword(&key).map_or("", |keyword| keyword.takes),
            "schemas" | "schema_map" | "pattern_map" => "schema",
            _ => "",
        };
    }
    match takes {
        "schema" => Ok(found),
        _ => Err("it leads to something that is no schema"),
    }
}

/// The keys and numbers of a reference.
fn steps(reference: &str) -> Path {
    let text = percent_encoding::percent_decode_str(reference).decode_utf8_lossy();
    let parts = text.split('/').skip(1);
    parts.map(|part| part.replace("~1", "/").replace("~0", "~").into()).collect()
}

/// The schemas directly within one, by their path there.
pub(super) fn subschemas(schema: &Map) -> Vec<(Path, &Value)> {
    let mut found = Vec::new();
    for (key, value) in schema {
        match keyword(key).map_or("", |keyword| keyword.takes) {
            "schema" => found.push((vec![key.clone()], value)),
            "schemas" => {
                let items = value.as_list().unwrap_or_default().iter().enumerate();
                found
                    .extend(items.map(|(n, each)| (vec![key.clone(), n.to_string().into()], each)));
            }
            "schema_map" | "pattern_map" => {
                let items = value.as_map().into_iter().flatten();
                found.extend(items.map(|(name, each)| (vec![key.clone(), name.clone()], each)));
            }
            _ => {}
        }
    }
    found
}

/// What tells one part of a schema from another.
pub(super) fn identity(schema: &Value) -> *const Value {
    std::ptr::from_ref(schema)
}

struct Reader<'s> {
    root: &'s Value,
    problems: Vec<Problem>,
}

fn below(path: &[Arc<str>], key: impl Into<Arc<str>>) -> Path {
    path.iter().cloned().chain([key.into()]).collect()
}

impl Reader<'_> {
    fn problem(&mut self, path: &[Arc<str>], message: impl Into<String>) {
        self.problems.push((path.to_vec(), message.into()));
    }

    fn schema(&mut self, schema: &Value, path: &[Arc<str>]) {
        if schema.as_bool().is_some() {
            return;
        }
        let Some(map) = schema.as_map() else {
            let shown = shown(schema);
            let message =
                format!("expected a schema, which is a map or a truth value, got {shown}");
            return self.problem(path, message);
        };
        for (key, value) in map {
            let here = below(path, key.clone());
            let Some(keyword) = keyword(key) else {
                let hint = nearest(key, KEYWORDS.iter().map(|keyword| keyword.name));
                let hint = if hint.is_empty() { hint } else { format!("; {hint}") };
                self.problem(&here, format!("unknown keyword{hint}"));
                continue;
            };
            match keyword.takes {
                "reference" => self.reference(value, &here),
                "schema" => self.schema(value, &here),
                "schemas" => self.schemas(value, &here),
                "schema_map" => self.schema_map(value, &here, false),
                "pattern_map" => self.schema_map(value, &here, true),
                takes => {
                    if let Some(expected) = unexpected(takes, value) {
                        self.problem(&here, format!("expected {expected}, got {}", shown(value)));
                    } else if takes == "pattern" {
                        self.pattern(value.as_text().unwrap_or_default(), &here);
                    }
                }
            }
        }
    }

    fn schemas(&mut self, value: &Value, path: &[Arc<str>]) {
        let Some(items) = value.as_list().filter(|items| !items.is_empty()) else {
            let shown = shown(value);
            return self
                .problem(path, format!("expected a list of schemas, not empty, got {shown}"));
        };
        for (number, each) in items.iter().enumerate() {
            self.schema(each, &below(path, number.to_string()));
        }
    }

    fn schema_map(&mut self, value: &Value, path: &[Arc<str>], patterns: bool) {
        let Some(map) = value.as_map() else {
            return self.problem(path, format!("expected a map of schemas, got {}", shown(value)));
        };
        for (name, each) in map {
            let here = below(path, name.clone());
            if patterns {
                self.pattern(name, &here);
            }
            self.schema(each, &here);
        }
    }

    fn reference(&mut self, value: &Value, path: &[Arc<str>]) {
        let Some(text) = value.as_text() else {
            return self.problem(path, format!("expected text, got {}", shown(value)));
        };
        if let Err(why) = at(self.root, text) {
            self.problem(path, format!("{text}: {why}"));
        }
    }

    fn pattern(&mut self, value: &str, path: &[Arc<str>]) {
        if let Err(why) = pattern::search(value) {
            self.problem(path, why);
        }
    }
}

/// Finds references that lead back to where they stand without a step into the value.
struct Circles<'s> {
    root: &'s Value,
    done: HashSet<*const Value>,
    open: HashSet<*const Value>,
}

impl Circles<'_> {
    fn visit(&mut self, schema: &Value, path: &[Arc<str>], found: &mut Vec<Problem>) {
        self.enter(schema, path, found);
        for (inner, each) in schema.as_map().map(subschemas).unwrap_or_default() {
            self.visit(each, &[path, &inner].concat(), found);
        }
    }

    fn enter(&mut self, schema: &Value, path: &[Arc<str>], found: &mut Vec<Problem>) {
        let here = identity(schema);
        let Some(map) = schema.as_map().filter(|_| !self.done.contains(&here)) else { return };
        self.open.insert(here);
        let reference = map.get("$ref").and_then(Value::as_text).unwrap_or_default();
        if let Ok(target) = at(self.root, reference) {
            if self.open.contains(&identity(target)) {
                let message = "it leads back to itself without end".to_string();
                found.push((below(path, "$ref"), message));
            } else {
                self.enter(target, &steps(reference), found);
            }
        }
        for (inner, each) in subschemas(map) {
            if IN_PLACE.contains(&&*inner[0]) {
                self.enter(each, &[path, &inner].concat(), found);
            }
        }
        self.open.remove(&here);
        self.done.insert(here);
    }
}

fn shown(value: &Value) -> String {
    shorten(&json::write(value, None), SHOWN)
}

/// What was expected instead of the value of a keyword that takes `takes`; None: it is that.
fn unexpected(takes: &str, value: &Value) -> Option<String> {
    let is_number = value.is_number();
    let (expected, is_well) = match takes {
        "any" => return None,
        "text" => ("text".into(), value.as_text().is_some()),
        "flag" => ("true or false".into(), value.as_bool().is_some()),
        "list" => ("a list".into(), value.as_list().is_some()),
        "dialect" => {
            let name = value.as_text().map(|text| text.strip_suffix('#').unwrap_or(text));
            let expected = format!("{} or another version of it", DIALECTS[0]);
            (expected, name.is_some_and(|name| DIALECTS.contains(&name)))
        }
        "types" => {
            let expected = format!("one or several of {}, none of them twice", TYPES.join(", "));
            let is_type = |value: &Value| value.as_text().is_some_and(|name| TYPES.contains(&name));
            let are_types = |items: &[Value]| !items.is_empty() && items.iter().all(is_type);
            let are_types = value.as_list().is_some_and(are_types) && is_names(value);
            (expected, is_type(value) || are_types)
        }
        "values" => {
            let is_well =
                value.as_list().is_some_and(|items| !items.is_empty()) && !has_twice(value);
            ("a list of values, not empty, none of them twice".into(), is_well)
        }
        "number" => ("a number".into(), is_number),
        "divisor" => {
            let fits = value.as_number().is_some_and(|n| 0.0 < n && n < MAX_DIVISOR);
            ("a number above 0 and below 1e30".into(), is_number && fits)
        }
        "count" => {
            let is_count = value.as_number().is_some_and(|n| n >= 0.0 && n.fract() == 0.0);
            ("a whole number from 0 on".into(), is_number && is_count)
        }
        "pattern" => ("a regular expression".into(), value.as_text().is_some()),
        "format" => {
            let names: Vec<&str> = FORMATS.iter().map(|(name, _)| *name).collect();
            let is_well = value.as_text().is_some_and(|name| names.contains(&name));
            (format!("one of {}", names.join(", ")), is_well)
        }
        "names" => ("a list of texts, none of them twice".into(), is_names(value)),
        _ => {
            let is_well = value.as_map().is_some_and(|map| map.values().all(is_names));
            ("a map of lists of texts, none of them twice in one".into(), is_well)
        }
    };
    (!is_well).then_some(expected)
}

fn is_names(value: &Value) -> bool {
    let items = value.as_list();
    items.is_some_and(|items| items.iter().all(|each| each.as_text().is_some()))
        && !has_twice(value)
}

/// Whether two elements of a list are equal.
pub(super) fn has_twice(value: &Value) -> bool {
    let items = value.as_list().unwrap_or_default();
    let before =
        |number: usize, each: &Value| items[..number].iter().any(|other| same(each, other));
    items.iter().enumerate().any(|(number, each)| before(number, each))
}

/// A keyword's number; None where it is not there.
pub(super) fn bound<'m>(schema: &'m Map, name: &str) -> Option<&'m Value> {
    schema.get(name).filter(|value| order(value, value).is_some())
}
