//! Finds schemas that no value can satisfy, as far as that shows without a search.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::check::{at, bound, identity, subschemas, Path, Problem, TYPES};
use super::order;
use super::validate::Validator;
use crate::value::{Map, Value};

const BOUNDS: [(&str, &str, &str); 3] = [
    ("minLength", "maxLength", "string"),
    ("minItems", "maxItems", "array"),
    ("minProperties", "maxProperties", "object"),
];

/// Why nothing can satisfy a checked schema; None where that is not known.
///
/// A part that a value can do without may be one that nothing satisfies: it is named only where the
/// whole is then without a value.
#[must_use]
pub fn problem(root: &Value) -> Option<Problem> {
    let mut all = Vec::new();
    collect(root, &[], &mut all);
    let search = Search { root, validator: Validator::new(root) };
    let reasons: HashMap<*const Value, String> = all
        .iter()
        .filter_map(|(_, schema)| Some((identity(schema), search.contradiction(schema.as_map()?)?)))
        .collect();
    let finite = search.finite(&all, &reasons);
    if root.as_bool() == Some(true) || finite.contains(&identity(root)) {
        return None;
    }
    let named = all
        .iter()
        .find_map(|(path, schema)| Some((path.clone(), reasons.get(&identity(schema))?.clone())));
    Some(named.unwrap_or_else(|| {
        let why = "nothing can satisfy it: it has no end, or needs what it forbids";
        (Path::new(), why.into())
    }))
}

fn collect<'s>(schema: &'s Value, path: &[Arc<str>], all: &mut Vec<(Path, &'s Value)>) {
    all.push((path.to_vec(), schema));
    for (inner, each) in schema.as_map().map(subschemas).unwrap_or_default() {
        collect(each, &[path, &inner].concat(), all);
    }
}

fn types(schema: &Map) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::Text(one)) => vec![one],
        Some(several) => {
            several.as_list().unwrap_or_default().iter().filter_map(Value::as_text).collect()
        }
        None => TYPES.to_vec(),
    }
}

struct Search<'s> {
    root: &'s Value,
    validator: Validator<'s>,
}

impl Search<'_> {
    /// Why the keywords of one schema exclude each other; None where they do not.
    fn contradiction(&self, schema: &Map) -> Option<String> {
        let types = types(schema);
        let why = |why: String| Some(format!("nothing can satisfy it: {why}"));
        if let Some(values) = values(schema) {
            let whole = Value::map(schema.clone());
            let fits = values.iter().any(|value| self.validator.accepts(&whole, value));
            return if fits {
                None
            } else {
                why("none of its values fits its other keywords".into())
            };
        }
        for (least, most, kind) in BOUNDS {
            if types == [kind] && exceeds(bound(schema, least), bound(schema, most)) {
                return why(format!("{least} is more than {most}"));
            }
        }
        if types.iter().all(|name| matches!(*name, "integer" | "number")) {
            let whole = !types.contains(&"number");
            return if has_number(schema, whole) {
                None
            } else {
                why("there is no number within its bounds".into())
            };
        }
        if types == ["object"] {
            let required = schema.get("required").and_then(Value::as_list).unwrap_or_default();
            let count = Value::Int(i128::try_from(required.len()).unwrap_or(i128::MAX));
            if exceeds(Some(&count), bound(schema, "maxProperties")) {
                return why("it requires more keys than maxProperties".into());
            }
            if schema.get("additionalProperties").and_then(Value::as_bool) == Some(false) {
                let names = required.iter().filter_map(Value::as_text);
                let missing = names.into_iter().find(|name| !self.allows(schema, name));
                return missing
                    .and_then(|name| why(format!("it requires {name} and does not allow it")));
            }
        }
        None
    }

    fn allows(&self, schema: &Map, name: &str) -> bool {
        let map = |key: &str| schema.get(key).and_then(Value::as_map);
        map("properties").is_some_and(|known| known.contains_key(name))
            || map("patternProperties")
                .is_some_and(|known| known.keys().any(|key| self.validator.matches(key, name)))
    }

    /// The schemas that some value of a finite size may satisfy.
    fn finite(
        &self,
        all: &[(Path, &Value)],
        reasons: &HashMap<*const Value, String>,
    ) -> HashSet<*const Value> {
        let mut known: HashSet<*const Value> = HashSet::new();
        loop {
            let before = known.len();
            for (_, schema) in all {
                let here = identity(schema);
                let Some(map) = schema.as_map() else { continue };
                if !reasons.contains_key(&here) && self.may_be_finite(map, &known) {
                    known.insert(here);
                }
            }
            if known.len() == before {
                return known;
            }
        }
    }

    fn may_be_finite(&self, schema: &Map, known: &HashSet<*const Value>) -> bool {
        let holds = |schema: &Value| match schema.as_bool() {
            Some(truth) => truth,
            None => known.contains(&identity(schema)),
        };
        let list = |key: &str| schema.get(key).and_then(Value::as_list);
        let reference = schema.get("$ref").and_then(Value::as_text);
        if reference.is_some_and(|text| !at(self.root, text).is_ok_and(holds)) {
            return false;
        }
        if !list("allOf").unwrap_or_default().iter().all(holds) {
            return false;
        }
        if ["anyOf", "oneOf"].iter().any(|key| list(key).is_some_and(|all| !all.iter().any(holds)))
        {
            return false;
        }
        match types(schema)[..] {
            ["object"] => {
                let properties = schema.get("properties").and_then(Value::as_map);
                let of = |name: &str| properties.and_then(|all| all.get(name));
                let required = list("required").unwrap_or_default().iter();
                required.filter_map(Value::as_text).all(|name| of(name).is_none_or(holds))
            }
            ["array"] => {
                let first = list("prefixItems").unwrap_or_default();
                let least = bound(schema, "minItems").and_then(Value::as_number).unwrap_or(0.0);
                first.iter().take(least as usize).all(holds)
                    && (least <= first.len() as f64 || schema.get("items").is_none_or(holds))
            }
            _ => true,
        }
    }
}

/// The only values that a schema allows, where it lists them.
fn values(schema: &Map) -> Option<Vec<Value>> {
    match schema.get("enum") {
        Some(values) => Some(values.as_list().unwrap_or_default().to_vec()),
        None => schema.get("const").map(|value| vec![value.clone()]),
    }
}

fn exceeds(least: Option<&Value>, most: Option<&Value>) -> bool {
    match (least, most) {
        (Some(least), Some(most)) => order(least, most) == Some(Ordering::Greater),
        _ => false,
    }
}

/// Whether there is a number within the bounds.
fn has_number(schema: &Map, whole: bool) -> bool {
    let of = |key: &str, other: f64| bound(schema, key).and_then(Value::as_number).unwrap_or(other);
    let (infinity, least_open, most_open) = (
        f64::INFINITY,
        of("exclusiveMinimum", f64::NEG_INFINITY),
        of("exclusiveMaximum", f64::INFINITY),
    );
    let least = of("minimum", -infinity).max(least_open);
    let most = of("maximum", infinity).min(most_open);
    if least.is_infinite() || most.is_infinite() {
        return true;
    }
    let (without_least, without_most) = (least_open >= least, most_open <= most);
    if whole {
        let first = if without_least { least.floor() + 1.0 } else { least.ceil() };
        let last = if without_most { most.ceil() - 1.0 } else { most.floor() };
        return first <= last;
    }
    least < most || (least == most && !without_least && !without_most)
}
