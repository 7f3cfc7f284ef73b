//! Checking a workflow file without running it.

use tea_core::errors::Problem;
use tea_core::value::json;
use tea_core::value::Value;
use tea_core::workflow::load::load;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::registry::registry_to_check;
use crate::ENGINE;

/// What is wrong and what is doubtful in a workflow file, as JSON: `{problems, warnings}`, each a
/// list of `{file, line, column, message, hint}`.
#[wasm_bindgen]
#[must_use]
pub fn check(source: &str, name: &str) -> String {
    let (problems, warnings) = match load(source, name, &registry_to_check(), ENGINE) {
        Ok(workflow) => (Vec::new(), workflow.warnings),
        Err(error) => (error.problems, Vec::new()),
    };
    let found = [("problems", list(&problems)), ("warnings", list(&warnings))];
    json::write(&Value::record(found), None)
}

/// The problems as data.
#[must_use]
pub fn list(problems: &[Problem]) -> Value {
    Value::list(problems.iter().map(record).collect())
}

fn record(problem: &Problem) -> Value {
    let count = |number: usize| Value::Int(number.try_into().unwrap_or(i128::MAX));
    Value::record([
        ("file", Value::text(&*problem.place.file)),
        ("line", count(problem.place.line)),
        ("column", count(problem.place.column)),
        ("message", Value::text(&problem.message)),
        ("hint", Value::text(&problem.hint)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_action_is_refused_by_name_and_place() {
        let found = check("nodes:\n  - {name: a, uses: file.read, with: {path: x}}\n", "w.yaml");
        let found = json::read(&found).unwrap();
        let problems = found.as_map().unwrap()["problems"].as_list().unwrap().to_vec();
        let first = problems[0].as_map().unwrap();
        assert_eq!(first["line"].as_int(), Some(2));
        let message = first["message"].as_text().unwrap();
        assert!(message.contains("file.read") && message.contains("browser"), "{message}");
    }

    #[test]
    fn a_good_file_has_no_problem() {
        let found = check("nodes:\n  - {name: a, uses: template, with: {template: x}}\n", "w");
        assert_eq!(found, r#"{"problems": [], "warnings": []}"#);
    }
}
