//! The actions of this engine.

use std::rc::Rc;

use tea_core::actions::{data, llm, ActionSpec, Check, Registry};
use tea_core::llm::backend::Backends;
use tea_core::schema::check::{labelled, Problem};
use tea_core::schema::gbnf;
use tea_core::value::{Map, Value};

use crate::ENGINE;

const NO_FILES: &str = "cannot reach files";
const NO_LIKELIHOODS: &str = "cannot be told how likely a text is";
const ONLY_JSON: &str = "cannot be held to";

/// Every action that a page can do; those that it cannot are refused by name.
#[must_use]
pub fn registry(backends: &Rc<Backends>) -> Registry {
    let mut registry = Registry::default();
    data::add_actions(&mut registry);
    llm::add_actions(&mut registry, backends);
    for name in ["file.read", "file.write", "csv.read", "csv.write", "jsonl.read", "jsonl.append"] {
        registry.refuse(name, NO_FILES);
    }
    for name in ["llm.call", "llm.chat", "llm.complete", "llm.stream", "llm.tools"] {
        check_schemas(&mut registry, name);
    }
    registry.refuse("llm.decide", NO_LIKELIHOODS);
    registry.refuse_parameter("regex", ONLY_JSON);
    registry.refuse_parameter("grammar", ONLY_JSON);
    registry
}

/// Refuse schemas that the model in a page cannot be held to.
fn check_schemas(registry: &mut Registry, name: &'static str) {
    let Some(spec) = registry.get(name).cloned() else { return };
    let others = spec.check.clone();
    let check: Check = Rc::new(move |values| {
        let mut problems = others.as_ref().map(|check| check(values)).unwrap_or_default();
        if problems.is_empty() && values.get("backend").and_then(Value::as_text) != Some("api") {
            problems.extend(schema_problem(values));
        }
        problems
    });
    registry.add(name, ActionSpec { check: Some(check), ..spec });
}

fn schema_problem(values: &Map) -> Option<Problem> {
    let within = |keys: &[&str]| {
        let first = values.get(keys[0]);
        keys[1..].iter().fold(first, |value, key| value?.as_map()?.get(*key))
    };
    for place in [&["schema"][..], &["response_format", "json_schema", "schema"]] {
        if let Some(problem) = within(place).and_then(gbnf::problem) {
            let (path, message) = problem;
            let problem = (path, format!("{message} (in the engine {ENGINE})"));
            return labelled(vec![problem], place).pop();
        }
    }
    None
}

/// The same actions for checking files; none of them is ever run.
#[must_use]
pub fn registry_to_check() -> Registry {
    registry(&Rc::new(Backends::new(Box::new(|_| Ok(None)), Box::new(|_| Ok(None)), None)))
}
