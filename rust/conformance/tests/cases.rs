//! Every case of conformance/ that does not run the program, on the Rust engine.

#![allow(clippy::unwrap_used)] // a test that cannot read its data fails

use tea_conformance::case::load_cases;
use tea_conformance::engine::play;
use tea_conformance::judge::{differences, refusal_differences};
use tea_conformance::stage::Stage;

#[test]
fn every_case_ends_as_the_format_says() {
    let cases = load_cases().unwrap();
    let mine: Vec<_> = cases.iter().filter(|case| case.runs_here() && !case.is_command()).collect();
    assert!(mine.len() > 400, "only {} cases were found", mine.len());
    let mut failed = Vec::new();
    for case in &mine {
        let stage = Stage::new(case).unwrap();
        let outcomes = play(&stage);
        let found: Vec<String> = match case.refused_node() {
            Some(node) => refusal_differences(&outcomes[0], node),
            None => outcomes.iter().flat_map(|each| differences(each, &stage)).collect(),
        };
        if !found.is_empty() {
            failed.push(format!("{}\n    {}", case.name, found.join("\n    ")));
        }
    }
    let (count, all) = (failed.len(), mine.len());
    assert!(failed.is_empty(), "{count} of {all} cases fail:\n{}", failed.join("\n"));
    println!("{all} of {all} cases pass");
}
