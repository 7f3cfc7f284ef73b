//! All cases of an engine, played and judged.

use crate::case::load_cases;
use crate::judge::{differences, refusal_differences};
use crate::stage::{Outcome, Stage};

/// What came of all cases.
#[derive(Debug)]
pub struct Judged {
    /// How many cases were played.
    pub played: usize,
    /// Name and differences of each that failed.
    pub failed: Vec<String>,
}

/// Play every case that is meant for `engine` and runs no program.
///
/// # Errors
/// A case cannot be read or laid out, or `play` cannot play.
pub fn play_all(
    engine: &str,
    mut play: impl FnMut(&Stage) -> Result<Vec<Outcome>, String>,
) -> Result<Judged, String> {
    let mut judged = Judged { played: 0, failed: Vec::new() };
    for case in load_cases()? {
        if !case.runs_on(engine) || case.is_command() {
            continue;
        }
        judged.played += 1;
        let stage = Stage::new(&case).map_err(|error| format!("{}: {error}", case.name))?;
        let outcomes = play(&stage).map_err(|error| format!("{}: {error}", case.name))?;
        let found: Vec<String> = match case.refused_node(engine) {
            Some(node) => refusal_differences(&outcomes[0], node, engine),
            None => outcomes.iter().flat_map(|each| differences(each, &stage)).collect(),
        };
        if !found.is_empty() {
            judged.failed.push(format!("{}\n    {}", case.name, found.join("\n    ")));
        }
    }
    Ok(judged)
}
