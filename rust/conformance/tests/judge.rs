//! The judge itself: a case that is told the opposite of what it expects must fail.

#![allow(clippy::unwrap_used)] // a test that cannot read its data fails

use tea_conformance::case::{load_cases, ENGINE};
use tea_conformance::engine::play;
use tea_conformance::judge::differences;
use tea_conformance::stage::Stage;
use tea_core::value::{Map, Value};

fn expectation<const N: usize>(entries: [(&str, Value); N]) -> Map {
    entries.into_iter().map(|(key, value)| (key.into(), value)).collect()
}

#[test]
fn every_case_fails_when_it_is_told_the_opposite() {
    let mut passed = Vec::new();
    for case in load_cases().unwrap() {
        if !case.runs_on(ENGINE) || case.is_command() || case.refused_node(ENGINE).is_some() {
            continue;
        }
        let expect = case.expect();
        let fails = expect.contains_key("error") || expect.contains_key("problems");
        if expect.contains_key("end") {
            continue;
        }
        let mut stage = Stage::new(&case).unwrap();
        let any = Value::map(Map::new());
        stage.expect =
            expectation([if fails { ("warnings", Value::list(vec![])) } else { ("error", any) }]);
        stage.expect.insert("sleeps".into(), "any".into());
        let outcomes = play(&stage);
        if outcomes.iter().any(|outcome| differences(outcome, &stage).is_empty()) {
            passed.push(case.name);
        }
    }
    assert!(passed.is_empty(), "pass either way: {passed:?}");
}

#[test]
fn every_kind_of_expectation_can_fail() {
    let cases = load_cases().unwrap();
    for key in [
        "state",
        "state_has",
        "state_lacks",
        "state_order",
        "error_state",
        "events",
        "events_include",
        "events_lack",
        "requests",
        "sleeps",
        "model",
        "files",
        "only_files",
        "hidden",
        "exit",
        "warnings",
    ] {
        let wrong = match key {
            "state" | "error_state" => Value::record([("type", "never".into())]),
            "state_has" | "files" => Value::record([("never", "there".into())]),
            "exit" => Value::Int(77),
            "sleeps" => Value::list(vec![Value::Float(77.0)]),
            "model" => "never".into(),
            "state_lacks" => Value::list(vec!["x".into()]),
            "events_lack" => Value::list(vec!["start".into()]),
            "hidden" => Value::list(vec!["type".into()]),
            "events" | "events_include" | "warnings" => Value::list(vec![Value::record([
                ("type", "never".into()),
                ("message", Value::list(vec!["never".into()])),
            ])]),
            _ => Value::list(vec!["never".into()]),
        };
        let case = cases.iter().find(|case| case.name == "templates/arithmetic").unwrap();
        let mut stage = Stage::new(case).unwrap();
        stage.expect = expectation([(key, wrong)]);
        let mut outcome = play(&stage).remove(0);
        if let Some(state) = &mut outcome.state {
            state.insert("x".into(), Value::Null);
        }
        assert!(!differences(&outcome, &stage).is_empty(), "{key} cannot fail");
    }
}
