//! Computes what a test asks for: one JSON map a line of standard input, with `template` or
//! `expression` and the values of its names, or with `workflow` (a file to check). The answer is
//! one JSON map a line of standard output: `value`, or `kind` and `message`.
//!
//! Tests that compare the engines on texts made at random start it once and talk to it.

use std::io::{self, BufRead, Write};
use std::rc::Rc;

use tea_conformance::case::{text, ENGINE};
use tea_conformance::host::Disk;
use tea_core::actions::{data, files, llm, Registry};
use tea_core::errors::{Error, Kind};
use tea_core::json;
use tea_core::llm::backend::Backends;
use tea_core::template::{Scope, Template, SCOPES};
use tea_core::value::{Map, Value};
use tea_core::workflow::load;

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let answer = match rendered(&line?) {
            Ok(value) => Value::record([("value", value)]),
            Err(error) => Value::record([
                ("kind", error.kind.word().into()),
                ("message", error.to_string().into()),
            ]),
        };
        writeln!(out, "{}", json::write(&answer, None))?;
        out.flush()?;
    }
    Ok(())
}

fn rendered(line: &str) -> Result<Value, Error> {
    let given = json::read(line).map_err(|error| Error::new(Kind::Action, error.to_string()))?;
    let given = given.as_map().cloned().unwrap_or_default();
    if let Some(source) = text(&given, "workflow") {
        let loaded = load(source, "w.yaml", &registry(), ENGINE);
        let warnings = loaded.map_err(|error| Error::new(Kind::File, error.to_string()))?.warnings;
        return Ok(Value::list(warnings.iter().map(|each| each.to_string().into()).collect()));
    }
    let empty = || Value::map(Map::new());
    let names = SCOPES.iter().map(|name| (*name, given.get(*name).cloned().unwrap_or_else(empty)));
    let scope = Scope::new(names.collect());
    let template = match text(&given, "expression") {
        Some(expression) => Template::compile_expression(expression, SCOPES)?,
        None => Template::compile_text(text(&given, "template").unwrap_or_default(), SCOPES)?,
    };
    template.render(&scope)
}

/// All actions, with nothing behind them.
fn registry() -> Registry {
    let none = || Box::new(|_: &Map| Ok(None));
    let mut registry = Registry::default();
    data::add_actions(&mut registry);
    files::add_actions(&mut registry, Rc::new(Disk { directory: ".".into() }), Vec::new());
    llm::add_actions(&mut registry, &Rc::new(Backends::new(none(), none(), None)));
    registry
}
