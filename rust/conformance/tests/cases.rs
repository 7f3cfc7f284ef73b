//! Every case of conformance/ that does not run the program, on the Rust engine.

#![allow(clippy::unwrap_used)] // a test that cannot read its data fails

use tea_conformance::case::ENGINE;
use tea_conformance::engine::play;
use tea_conformance::suite::play_all;

#[test]
fn every_case_ends_as_the_format_says() {
    let judged = play_all(ENGINE, |stage| Ok(play(stage))).unwrap();
    assert!(judged.played > 400, "only {} cases were found", judged.played);
    let (count, all) = (judged.failed.len(), judged.played);
    assert!(judged.failed.is_empty(), "{count} of {all} cases fail:\n{}", judged.failed.join("\n"));
    println!("{all} of {all} cases pass");
}
