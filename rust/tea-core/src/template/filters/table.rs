//! Filters and tests by name, and those that call others.
//!
//! A filter of text takes the text form of numbers, truth values, lists and maps. Null and what is
//! missing are errors everywhere but in `default`, `tojson` (null alone) and the tests.

use super::function::{unfit, Arguments, Function, Run};
use super::lists::{attribute_of, chosen};
use super::{lists, numbers, texts};
use crate::errors::Error;
use crate::limits::Budget;
use crate::spec::{Signature, FILTERS, TESTS};
use crate::template::compare::elements;
use crate::value::json;
use crate::value::Value;

/// The filter of this name.
pub fn filter(name: &str) -> Option<Function> {
    let run: Run = match name {
        "default" => default,
        "join" => lists::join,
        "tojson" => texts::tojson,
        "fromjson" => texts::fromjson,
        "upper" => texts::upper,
        "lower" => texts::lower,
        "length" => lists::length,
        "trim" => texts::trim,
        "first" => lists::first,
        "last" => lists::last,
        "list" => lists::list,
        "sort" => lists::sort,
        "unique" => lists::unique,
        "map" => map,
        "select" => select,
        "reject" => reject,
        "selectattr" => selectattr,
        "rejectattr" => rejectattr,
        "groupby" => lists::groupby,
        "replace" => texts::replace,
        "round" => numbers::round,
        "int" => numbers::int,
        "float" => numbers::float,
        "string" => texts::string,
        "abs" => numbers::abs,
        "min" => lists::min,
        "max" => lists::max,
        "sum" => lists::sum,
        "reverse" => lists::reverse,
        "indent" => texts::indent,
        "truncate" => texts::truncate,
        "wordcount" => texts::wordcount,
        "sha256" => texts::sha256,
        "urlencode" => texts::urlencode,
        "batch" => lists::batch,
        _ => return None,
    };
    function(FILTERS, name, run)
}

/// The test of this name.
pub fn test(name: &str) -> Option<Function> {
    let run: Run = match name {
        "defined" => {
            |value, _| Ok(Value::Bool(!matches!(value, Value::Absent(absent) if !absent.null)))
        }
        "none" => |value, _| Ok(Value::Bool(value.is_null())),
        "string" => |value, _| Ok(Value::Bool(value.as_text().is_some())),
        "number" => |value, _| Ok(Value::Bool(value.is_number())),
        "mapping" => |value, _| Ok(Value::Bool(value.as_map().is_some())),
        "sequence" => |value, _| Ok(Value::Bool(value.as_list().is_some())),

        _ => return None,
    };
    function(TESTS, name, run)
}

fn function(table: &'static [Signature], name: &str, run: Run) -> Option<Function> {
    let signature = table.iter().find(|each| each.name == name)?;
    Some(Function { signature, run })
}

/// What an argument names. Errors where it names nothing.
fn lookup(find: fn(&str) -> Option<Function>, kind: &str, name: &Value) -> Result<Function, Error> {
    let found = name.as_text().and_then(find);
    found.ok_or_else(|| Error::template(format!("there is no {kind} {}", json::write(name, None))))
}

fn default(subject: &Value, given: &Arguments<'_>) -> Result<Value, Error> {
    let other_name = |name: &str| name == "default_value";
    if given.names.iter().any(|(name, _)| !other_name(name)) {
        return Err(Error::template("default was given more arguments than it takes"));
    }
    let named = given.names.first().map(|(_, value)| value);
    if subject.is_absent() || (given.is_true(1) && !subject.is_true()) {
        return Ok(named.or(given.get(0)).cloned().unwrap_or(Value::Null));
    }
    Ok(subject.clone())
}

fn map(value: &Value, given: &Arguments<'_>) -> Result<Value, Error> {
    let items = elements(value, "", given.budget)?;
    let named = |key: &str| given.names.iter().find(|(name, _)| &**name == key);
    if let Some((_, attribute)) = named("attribute") {
        let others = given.names.iter().filter(|(name, _)| !is_attribute_or_default(name));
        if !given.more.is_empty() || others.count() > 0 {
            return Err(Error::template("map was given more arguments than it takes"));
        }
        let fallback = named("default").map_or(Value::Null, |(_, value)| value.clone());
        let attributes = items.iter().map(|item| {
            let found = attribute_of(item, attribute)?;
            Ok(if found.is_absent() { fallback.clone() } else { found })
        });
        return attributes.collect::<Result<Vec<_>, Error>>().map(Value::list);
    }
    let Some((name, args)) = given.more.split_first() else {
        return Err(Error::template("map needs the name of a filter, or attribute="));
    };
    let chosen = lookup(filter, "filter", name)?;
    let results = items
        .iter()
        .map(|item| chosen.call(item, args.to_vec(), given.names.clone(), given.budget));
    results.collect::<Result<Vec<_>, Error>>().map(Value::list)
}

fn is_attribute_or_default(name: &str) -> bool {
    name == "attribute" || name == "default"
}

/// Whether `value` passes the test that `test` names, or is true where there is none.
fn passes(value: &Value, given: &[Value], budget: &Budget) -> Result<bool, Error> {
    let Some((name, args)) = given.split_first() else { return Ok(value.is_true()) };
    let chosen = lookup(test, "test", name)?;
    Ok(chosen.call(value, args.to_vec(), Vec::new(), budget)?.is_true())
}

fn filtered(
    value: &Value,
    given: &Arguments<'_>,
    attribute: Option<&Value>,
    wanted: bool,
) -> Result<Value, Error> {
    let mut kept = Vec::new();
    for item in elements(value, "", given.budget)? {
        if passes(&chosen(&item, attribute)?, &given.more, given.budget)? == wanted {
            kept.push(item);
        }
    }
    Ok(Value::list(kept))
}

fn select(value: &Value, given: &Arguments<'_>) -> Result<Value, Error> {
    filtered(value, given, None, true)
}

fn reject(value: &Value, given: &Arguments<'_>) -> Result<Value, Error> {
    filtered(value, given, None, false)
}

fn selectattr(value: &Value, given: &Arguments<'_>) -> Result<Value, Error> {
    filtered(value, given, Some(given.get(0).ok_or_else(|| unfit("selectattr"))?), true)
}

fn rejectattr(value: &Value, given: &Arguments<'_>) -> Result<Value, Error> {
    filtered(value, given, Some(given.get(0).ok_or_else(|| unfit("rejectattr"))?), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_has_its_function() {
        for row in FILTERS {
            assert!(filter(row.name).is_some(), "{}", row.name);
        }
        for row in TESTS {
            assert!(test(row.name).is_some(), "{}", row.name);
        }
    }
}
