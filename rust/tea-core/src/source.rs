//! What a YAML text is made of, before it is parsed.

use std::collections::HashSet;
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

/// Replace the characters that YAML 1.2 took out of its line breaks, for the parser still folds
/// text at them, by some that the text does not have.
pub(crate) fn hide_old_breaks(text: &str) -> (String, Vec<(char, char)>) {
    const OLD_BREAKS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];
    if !text.contains(OLD_BREAKS) {
        return (text.into(), Vec::new());
    }
    let used: HashSet<char> = text.chars().collect();
    let spare = ('\u{e000}'..'\u{f8ff}').filter(|character| !used.contains(character));
    let pairs: Vec<(char, char)> = OLD_BREAKS.into_iter().zip(spare).collect();
    let hide = |c: char| pairs.iter().find(|(old, _)| *old == c).map_or(c, |(_, new)| *new);
    (text.chars().map(hide).collect(), pairs)
}
