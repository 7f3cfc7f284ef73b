//! What a YAML text is made of, before it is parsed.

use std::sync::Arc;

use crate::errors::{Place, Problem};

/// The first character that YAML does not allow, if there is one.
pub(crate) fn forbidden_character(text: &str, file: &Arc<str>) -> Option<Problem> {
    let allowed = |c: char| {
        matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}')
            || c >= '\u{10000}'
    };
    let (at, character) = text.char_indices().find(|(_, character)| !allowed(*character))?;
    let before = &text[..at];
    let start = before.rfind('\n').map_or(0, |line_end| line_end + 1);
    let place = Place {
        file: file.clone(),
        line: before.matches('\n').count() + 1,
        column: before[start..].chars().count() + 1,
    };
    Some(Problem {
        place,
        message: format!("the character U+{:04X} is not allowed in YAML", character as u32),
        hint: "write it as an escape in \"double quotes\"".into(),
    })
}
