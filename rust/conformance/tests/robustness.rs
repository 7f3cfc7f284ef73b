//! Whatever the text, load and run end with a state or with an error of their own.

#![allow(clippy::unwrap_used)] // a test that cannot read its data fails

use std::cell::RefCell;
use std::collections::VecDeque;

use tea_conformance::case::{load_cases, text, Case};
use tea_conformance::engine::play;
use tea_conformance::stage::{Ended, Stage};
use tea_core::value::{Map, Value};

const FRAGMENTS: &[&str] = &[
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "[",
    "]",
    "{",
    "}",
    "|",
    ":",
    "- ",
    "\n",
    "  ",
    "'",
    "\"",
    "&a ",
    "*a",
    "<<: ",
    "!!int ",
    "null",
    "-1",
    "1e400",
    "\0",
    "\u{feff}",
    "é",
    "goto: a",
    "name: a",
    "nodes:",
    "edges:",
    "state.x",
    "loop",
    "range(9)",
    "| default",
    "| tojson",
    "~",
    "%",
    "\t",
    "\u{85}",
    "\u{2028}",
    "? ",
    "--- ",
    "...",
    "(((((((((",
    "not not ",
    "- - - - ",
    "\u{f000}",
];

/// Numbers that are the same in every run.
///
/// Source: Marsaglia, Xorshift RNGs (2003).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

/// Load and run a text; a panic is a fault of the engine.
fn end(source: &str) {
    let data = [("workflow", Value::text(source)), ("expect", Value::map(Map::new()))];
    let data = data.into_iter().map(|(key, value)| (key.into(), value)).collect();
    let stage = Stage::new(&Case { name: "made".into(), data }).unwrap();
    for outcome in play(&stage) {
        match outcome.error {
            Some(Ended::Load(error)) => {
                assert!(!error.problems.is_empty(), "{source:?}");
                let is_there = |problem: &tea_core::errors::Problem| {
                    problem.place.line > 0 && problem.place.column > 0
                };
                assert!(error.problems.iter().all(is_there), "{source:?}");
                assert!(!error.to_string().contains('\n'), "{source:?}");
            }
            Some(Ended::Run(error)) => assert!(!error.cause().message.is_empty(), "{source:?}"),
            None => assert!(outcome.state.is_some(), "{source:?}"),
        }
    }
}

#[test]
fn arbitrary_bytes_are_a_workflow_or_an_invalid_file() {
    let mut random = Random(7);
    for _ in 0..400 {
        let bytes: Vec<u8> = (0..random.below(200)).map(|_| random.below(256) as u8).collect();
        end(&String::from_utf8_lossy(&bytes));
        let pieces: Vec<&str> =
            (0..random.below(30)).map(|_| FRAGMENTS[random.below(FRAGMENTS.len())]).collect();
        end(&pieces.concat());
    }
}

#[test]
fn a_mutated_workflow_ends_with_a_state_or_an_error_of_the_engine() {
    let cases = load_cases().unwrap();
    let sources: Vec<&str> = cases.iter().filter_map(|case| text(&case.data, "workflow")).collect();
    let mut random = Random(11);
    for _ in 0..1500 {
        let mut text: Vec<char> = sources[random.below(sources.len())].chars().collect();
        for _ in 0..=random.below(4) {
            let start = random.below(text.len() + 1);
            let stop = (start + random.below(13)).min(text.len());
            let new = FRAGMENTS[random.below(FRAGMENTS.len())];
            text.splice(start..stop, new.chars());
        }
        end(&text.iter().collect::<String>());
    }
}

#[test]
fn deep_nesting_of_any_kind_is_refused_and_ends_nothing() {
    let deep = |open: &str, middle: &str, close: &str, times: usize| {
        format!("{}{middle}{}", open.repeat(times), close.repeat(times))
    };
    let made = RefCell::new(VecDeque::new());
    for times in [20, 60, 100, 150, 250, 1000, 20_000] {
        let add = |text: String| made.borrow_mut().push_back(text);
        add(deep("(", "1", ")", times));
        add(deep("[", "1", "]", times));
        add(deep("{'a': ", "1", "}", times));
        add(deep("not ", "1", "", times));
        add(deep("- ", "1", "", times));
        add(deep("+ ", "1", "", times));
        add(deep("1 + ", "1", "", times));
        add(deep("'a' ~ ", "1", "", times));
        add(deep("1 if 1 else ", "1", "", times));
        add(deep("1 < ", "1", "", times));
        add(deep("", "state", ".a", times));
        add(deep("", "state", "[0]", times));
        add(deep("", "1", "|string", times));
        add(deep("", "1", " is number", times));
        add(deep("", "''", ".upper()", times));
        add(deep("'' | default(", "1", ")", times));
    }
    for expression in made.into_inner() {
        end(&format!("nodes:\n  - name: a\n    uses: template\n    with: {{template: \"{{{{ {expression} }}}}\"}}\n"));
        end(&format!(
            "nodes:\n  - name: a\n    run: {{type: expression, value: \"{expression}\"}}\n"
        ));
    }
    for times in [10, 50, 90, 1000, 20_000] {
        for text in [
            deep("{% if 1 %}", "x", "{% endif %}", times),
            deep("{% for x in [1] %}", "x", "{% endfor %}", times),
            deep("{% set x %}", "x", "{% endset %}", times),
            format!("{{% if 1 %}}{}{{% endif %}}", "{% elif 1 %}".repeat(times)),
            "{% set x = 1 %}".repeat(times),
        ] {
            end(&format!(
                "nodes:\n  - name: a\n    uses: template\n    with: {{template: \"{text}\"}}\n"
            ));
        }
        end(&"[".repeat(times));
        end(&"- ".repeat(times));
        end(&format!("initial_state: {}1", "{a: ".repeat(times)));
    }
}
