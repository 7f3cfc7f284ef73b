//! The templates of tests/parity, which every engine renders to the same.

#![allow(clippy::unwrap_used)] // a test that cannot read its data fails

use std::fs;
use std::path::Path;

use tea_core::document;
use tea_core::errors::Error;
use tea_core::json;
use tea_core::template::{Scope, Template, SCOPES};
use tea_core::value::{Map, Value};

fn table() -> Map {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity/templates.yaml");
    let text = fs::read_to_string(path).unwrap();
    document::parse(&text, "templates.yaml").unwrap().plain().as_map().unwrap().clone()
}

fn rendered(row: &Map, scope: &Scope) -> Result<Value, Error> {
    let text = |key: &str| row.get(key).and_then(Value::as_text);
    let template = match text("expression") {
        Some(expression) => Template::compile_expression(expression, SCOPES)?,
        None => Template::compile_text(text("template").unwrap(), SCOPES)?,
    };
    template.render(scope)
}

/// What is wrong with a result, if anything. Values must have the same types and order.
fn wrong(row: &Map, result: Result<Value, Error>) -> Option<String> {
    let shown = |value: &Value| json::write(value, None);
    let expected = |key: &str| row.get(key).map(|value| value.as_text().unwrap_or_default());
    match (row.get("gives"), result) {
        (Some(gives), Ok(value)) if shown(gives) == shown(&value) => None,
        (None, Err(error)) if expected("error") == Some(error.kind.word()) => {
            let said = error.to_string();
            expected("message").filter(|message| **message != said).map(|_| said)
        }
        (_, Ok(value)) => Some(shown(&value)),
        (_, Err(error)) => Some(format!("{}: {error}", error.kind.word())),
    }
}

#[test]
fn every_template_gives_what_the_table_says() {
    let table = table();
    let given = table["scopes"].as_map().unwrap();
    let empty = || Value::map(Map::new());
    let names = SCOPES.iter().map(|name| (*name, given.get(*name).cloned().unwrap_or_else(empty)));
    let scope = Scope::new(names.collect());
    let rows = table["templates"].as_list().unwrap();
    assert!(rows.len() >= 200);
    let failed: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let row = row.as_map().unwrap();
            let found = wrong(row, rendered(row, &scope))?;
            Some(format!("{}\n    gave {found}", json::write(&Value::map(row.clone()), None)))
        })
        .collect();
    assert!(failed.is_empty(), "{} differ:\n{}", failed.len(), failed.join("\n"));
}
