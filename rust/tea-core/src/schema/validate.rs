//! Whether a value is what a JSON Schema describes, and where not.
//!
//! Source: JSON Schema 2020-12, core and validation; a `format` is an assertion here.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::HashMap;

use regex_lite::Regex;

use super::check::{at, has_twice};
use super::{keyword, order, pattern, same};
use crate::redact::shorten;
use crate::spec::FORMATS;
use crate::value::{json, Map, Value};

const MAX_ERRORS: usize = 100;
/// Characters of a keyword's value.
const SHOWN: usize = 60;

/// What is wrong with a value, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaError {
    /// A JSON Pointer into the value.
    pub path: String,
    /// The keyword that it fails.
    pub keyword: String,
    /// What is wrong.
    pub message: String,
}

impl SchemaError {
    /// As results have it.
    #[must_use]
    pub fn to_value(&self) -> Value {
        Value::record([
            ("path", Value::text(&self.path)),
            ("keyword", Value::text(&self.keyword)),
            ("message", Value::text(&self.message)),
        ])
    }
}

/// What is wrong with `value`, at most `MAX_ERRORS`; `schema` has been checked.
#[must_use]
pub fn errors(schema: &Value, value: &Value) -> Vec<SchemaError> {
    Validator::new(schema).errors(value, MAX_ERRORS)
}

/// Whether a pattern of `pattern::whole` matches a text.
#[must_use]
pub fn is_whole(pattern: &str, text: &str) -> bool {
    whole(pattern).is_some_and(|regex| regex.is_match(text))
}

fn whole(pattern: &str) -> Option<Regex> {
    Regex::new(&format!("^(?:{pattern})$")).ok()
}

/// A checked schema, with its patterns as they are wanted.
pub(super) struct Validator<'s> {
    root: &'s Value,
    patterns: RefCell<HashMap<String, Option<Regex>>>,
}

/// Takes errors until there are enough.
struct Found {
    errors: Vec<SchemaError>,
    most: usize,
}

impl Found {
    fn is_full(&self) -> bool {
        self.errors.len() >= self.most
    }

    fn add(&mut self, path: &str, name: &str, wanted: &Value) {
        let wanted = shorten(&json::write(wanted, None), SHOWN);
        let message = keyword(name).map_or("", |keyword| keyword.message);
        self.push(path, name, message.replace("{wanted}", &wanted));
    }

    fn push(&mut self, path: &str, keyword: &str, message: String) {
        if !self.is_full() {
            self.errors.push(SchemaError { path: path.into(), keyword: keyword.into(), message });
        }
    }
}

impl<'s> Validator<'s> {
    pub fn new(root: &'s Value) -> Validator<'s> {
        Validator { root, patterns: RefCell::default() }
    }

    fn errors(&self, value: &Value, most: usize) -> Vec<SchemaError> {
        let mut found = Found { errors: Vec::new(), most };
        self.check(self.root, value, "", &mut found);
        found.errors
    }

    /// Whether a schema within the root describes `value`.
    pub fn accepts(&self, schema: &Value, value: &Value) -> bool {
        let mut found = Found { errors: Vec::new(), most: 1 };
        self.check(schema, value, "", &mut found);
        found.errors.is_empty()
    }

    fn check(&self, schema: &Value, value: &Value, path: &str, found: &mut Found) {
        if schema.as_bool() == Some(false) {
            found.push(path, "false", "nothing may be here".into());
        }
        for (name, wanted) in schema.as_map().into_iter().flatten() {
            if found.is_full() {
                return;
            }
            match self.holds(name, value, wanted) {
                Some(true) => {}
                Some(false) => found.add(path, name, wanted),
                None => {
                    let place = Place { schema: schema.as_map(), value, path };
                    self.within(name, wanted, &place, found);
                }
            }
        }
    }

    /// Whether a value holds to a keyword; None of one that needs to know others or schemas.
    fn holds(&self, name: &str, value: &Value, wanted: &Value) -> Option<bool> {
        let ordered = |allowed: &[Ordering]| {
            order(value, wanted).is_none_or(|found| allowed.contains(&found))
        };
        let (less, equal, greater) = (Ordering::Less, Ordering::Equal, Ordering::Greater);
        let length = match (name, value) {
            ("minLength" | "maxLength", Value::Text(text)) => Some(text.chars().count()),
            ("minItems" | "maxItems", Value::List(items)) => Some(items.len()),
            ("minProperties" | "maxProperties", Value::Map(map)) => Some(map.len()),
            _ => None,
        };
        let compared = |allowed: &[Ordering]| {
            length.is_none_or(|length| {
                let length = Value::Int(i128::try_from(length).unwrap_or(i128::MAX));
                order(&length, wanted).is_some_and(|found| allowed.contains(&found))
            })
        };
        Some(match name {
            "type" => match wanted.as_list() {
                Some(names) => names.iter().any(|name| is_of_type(name, value)),
                None => is_of_type(wanted, value),
            },
            "enum" => wanted.as_list().is_some_and(|all| all.iter().any(|each| same(value, each))),
            "const" => same(value, wanted),
            "minimum" => ordered(&[greater, equal]),
            "maximum" => ordered(&[less, equal]),
            "exclusiveMinimum" => ordered(&[greater]),
            "exclusiveMaximum" => ordered(&[less]),
            "multipleOf" => !value.is_number() || is_multiple(value, wanted),
            "minLength" | "minItems" | "minProperties" => compared(&[greater, equal]),
            "maxLength" | "maxItems" | "maxProperties" => compared(&[less, equal]),
            "pattern" => match (value.as_text(), wanted.as_text()) {
                (Some(text), Some(pattern)) => self.matches(pattern, text),
                _ => true,
            },
            "format" => match (value.as_text(), wanted.as_text()) {
                (Some(text), Some(name)) => self.has_format(name, text),
                _ => true,
            },
            "uniqueItems" => {
                wanted.as_bool() != Some(true) || value.as_list().is_none() || !has_twice(value)
            }
            _ => return None,
        })
    }

    fn within(&self, name: &str, wanted: &Value, place: &Place<'_>, found: &mut Found) {
        let Place { value, path, .. } = *place;
        let schemas = wanted.as_list().unwrap_or_default();
        let fitting = || schemas.iter().filter(|each| self.accepts(each, value)).count();
        match name {
            "$ref" => {
                if let Some(Ok(target)) = wanted.as_text().map(|text| at(self.root, text)) {
                    self.check(target, value, path, found);
                }
            }
            "allOf" => schemas.iter().for_each(|each| self.check(each, value, path, found)),
            "anyOf" if fitting() == 0 => found.add(path, name, wanted),
            "oneOf" if fitting() != 1 => found.add(path, name, wanted),
            "not" if self.accepts(wanted, value) => found.add(path, name, wanted),
            "if" => {
                let branch = if self.accepts(wanted, value) { "then" } else { "else" };
                if let Some(schema) = place.keyword(branch) {
                    self.check(schema, value, path, found);
                }
            }
            _ => {
                if let Some(map) = value.as_map() {
                    self.map(name, wanted, map, place, found);
                } else if let Some(items) = value.as_list() {
                    self.list(name, wanted, items, place, found);
                }
            }
        }
    }

    fn map(&self, name: &str, wanted: &Value, map: &Map, place: &Place<'_>, found: &mut Found) {
        let path = place.path;
        let entries = || wanted.as_map().into_iter().flatten();
        let lacking = |names: &Value| {
            let names = names.as_list().unwrap_or_default().to_vec();
            names.into_iter().filter(|name| !map.contains_key(name.as_text().unwrap_or_default()))
        };
        match name {
            "required" => lacking(wanted).for_each(|missing| found.add(path, name, &missing)),
            "dependentRequired" => {
                for (_, others) in entries().filter(|(key, _)| map.contains_key(&***key)) {
                    lacking(others).for_each(|missing| found.add(path, name, &missing));
                }
            }
            "dependentSchemas" => {
                for (_, schema) in entries().filter(|(key, _)| map.contains_key(&***key)) {
                    self.check(schema, place.value, path, found);
                }
            }
            "properties" => {
                for (key, schema) in entries() {
                    if let Some(each) = map.get(key) {
                        self.check(schema, each, &below(path, key), found);
                    }
                }
            }
            "patternProperties" => {
                for (pattern, schema) in entries() {
                    for (key, each) in map.iter().filter(|(key, _)| self.matches(pattern, key)) {
                        self.check(schema, each, &below(path, key), found);
                    }
                }
            }
            "additionalProperties" => {
                for (key, each) in map.iter().filter(|(key, _)| !self.is_listed(place, key)) {
                    self.check(wanted, each, &below(path, key), found);
                }
            }
            "propertyNames" => {
                for key in map.keys() {
                    self.check(wanted, &Value::Text(key.clone()), &below(path, key), found);
                }
            }
            _ => {}
        }
    }

    fn list(
        &self,
        name: &str,
        wanted: &Value,
        items: &[Value],
        place: &Place<'_>,
        found: &mut Found,
    ) {
        let path = place.path;
        match name {
            "prefixItems" => {
                let schemas = wanted.as_list().unwrap_or_default();
                for (number, (schema, each)) in schemas.iter().zip(items).enumerate() {
                    self.check(schema, each, &format!("{path}/{number}"), found);
                }
            }
            "items" => {
                let first = place.keyword("prefixItems").and_then(Value::as_list);
                let begin = first.map_or(0, <[Value]>::len);
                for (number, each) in items.iter().enumerate().skip(begin) {
                    self.check(wanted, each, &format!("{path}/{number}"), found);
                }
            }
            "contains" => {
                let count = items.iter().filter(|each| self.accepts(wanted, each)).count();
                let count = Value::Int(i128::try_from(count).unwrap_or(i128::MAX));
                let bounds = (place.keyword("minContains"), place.keyword("maxContains"));
                match bounds.0 {
                    None if same(&count, &Value::Int(0)) => found.add(path, "contains", wanted),
                    Some(least) if order(&count, least) == Some(Ordering::Less) => {
                        found.add(path, "minContains", least);
                    }
                    _ => {}
                }
                if let Some(most) = bounds.1 {
                    if order(&count, most) == Some(Ordering::Greater) {
                        found.add(path, "maxContains", most);
                    }
                }
            }
            _ => {}
        }
    }

    /// Whether `properties` or `patternProperties` have a key.
    fn is_listed(&self, place: &Place<'_>, key: &str) -> bool {
        let map = |name| place.keyword(name).and_then(Value::as_map);
        map("properties").is_some_and(|known| known.contains_key(key))
            || map("patternProperties")
                .is_some_and(|known| known.keys().any(|pattern| self.matches(pattern, key)))
    }

    /// Whether a text has a match of a pattern.
    pub fn matches(&self, pattern: &str, text: &str) -> bool {
        self.is_match(pattern, text, || pattern::search(pattern).ok())
    }

    fn has_format(&self, name: &str, text: &str) -> bool {
        let pattern = FORMATS.iter().find(|(format, _)| *format == name);
        pattern.is_none_or(|(_, pattern)| self.is_match(pattern, text, || Some((*pattern).into())))
    }

    fn is_match(&self, key: &str, text: &str, pattern: impl Fn() -> Option<String>) -> bool {
        let mut patterns = self.patterns.borrow_mut();
        if !patterns.contains_key(key) {
            patterns.insert(key.into(), pattern().as_deref().and_then(whole));
        }
        patterns.get(key).and_then(Option::as_ref).is_some_and(|regex| regex.is_match(text))
    }
}

/// Where a value is checked.
struct Place<'a> {
    schema: Option<&'a Map>,
    value: &'a Value,
    path: &'a str,
}

impl<'a> Place<'a> {
    fn keyword(&self, name: &str) -> Option<&'a Value> {
        self.schema.and_then(|schema| schema.get(name))
    }
}

fn below(path: &str, key: &str) -> String {
    format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"))
}

fn is_of_type(name: &Value, value: &Value) -> bool {
    match name.as_text().unwrap_or_default() {
        "null" => value.is_null(),
        "boolean" => value.as_bool().is_some(),
        "integer" => match value {
            Value::Int(_) => true,
            Value::Float(number) => number.fract() == 0.0,
            _ => false,
        },
        "number" => value.is_number(),
        "string" => value.as_text().is_some(),
        "array" => value.as_list().is_some(),
        _ => value.as_map().is_some(),
    }
}

/// Whether the digits of one number, as written, are a multiple of the other's.
fn is_multiple(value: &Value, divisor: &Value) -> bool {
    let (Some((digits, exponent)), Some((divisor, scale))) = (decimal(value), decimal(divisor))
    else {
        return false;
    };
    if digits == 0 {
        return true;
    }
    // The digits end with no zero, so that a divisor of a larger exponent cannot divide them.
    let Ok(zeros) = usize::try_from(exponent - scale) else { return false };
    let first = digits % divisor;
    (0..zeros).fold(first, |rest, _| rest * 10 % divisor) == 0
}

/// A number as digits, which end with no zero, and an exponent of ten. Its sign is left out.
fn decimal(value: &Value) -> Option<(u128, i32)> {
    let (mut digits, mut exponent) = match value {
        Value::Int(number) => (number.unsigned_abs(), 0),
        Value::Float(number) => {
            let text = format!("{:e}", number.abs());
            let (digits, exponent) = text.split_once('e')?;
            let fraction = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len());
            let exponent = exponent.parse::<i32>().ok()? - i32::try_from(fraction).ok()?;
            (digits.replace('.', "").parse().ok()?, exponent)
        }
        _ => return None,
    };
    while digits != 0 && digits % 10 == 0 {
        digits /= 10;
        exponent += 1;
    }
    Some((digits, exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_multiple_is_one_of_the_digits_as_written() {
        for (value, divisor, multiple) in [
            (Value::Float(4.5), Value::Float(1.5), true),
            (Value::Float(0.0075), Value::Float(0.0001), true),
            (Value::Float(0.00751), Value::Float(0.0001), false),
            (Value::Float(1e308), Value::Float(0.123_456_789), false),
            (Value::Float(1e308), Value::Float(0.5), true),
            (Value::Int(-35), Value::Int(7), true),
            (Value::Int(35), Value::Int(10), false),
            (Value::Int(0), Value::Float(0.3), true),
            (Value::Int(1_000_000), Value::Int(1000), true),
        ] {
            assert_eq!(is_multiple(&value, &divisor), multiple, "{value:?} {divisor:?}");
        }
    }
}
