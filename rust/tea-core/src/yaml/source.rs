//! What a YAML text is made of, before it is parsed.

use std::sync::Arc;

use crate::errors::{Location, Problem};

/// The first character that YAML does not allow, if there is one.
pub(crate) fn forbidden_character(text: &str, file: &Arc<str>) -> Option<Problem> {
    let allowed = |c: char| {
        matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}')
            || c >= '\u{10000}'
    };
    let (at, character) = text.char_indices().find(|(_, character)| !allowed(*character))?;
    let before = &text[..at];
    let start = before.rfind('\n').map_or(0, |line_end| line_end + 1);
    let place = Location {
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

/// The place of the `|` or `>` of a block text, of which the parser gives the first line.
pub(crate) fn block_header(lines: &[&str], first_line: Location) -> Location {
    let above = lines.iter().enumerate().take(first_line.line - 1).rev();
    let header = above.into_iter().find(|(_, line)| !line.trim().is_empty());
    let found = header.and_then(|(number, line)| Some((number, header_column(line)?)));
    match found {
        Some((number, column)) => Location { line: number + 1, column, ..first_line },
        None => first_line,
    }
}

/// The column of the mark that a line ends with, digits, signs and a comment after it aside.
fn header_column(line: &str) -> Option<usize> {
    let ends = |rest: &str| {
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-' || c == '+');
        rest.trim().is_empty()
            || (rest.starts_with([' ', '\t']) && rest.trim_start().starts_with('#'))
    };
    let mut before = ' ';
    for (column, (at, character)) in line.char_indices().enumerate() {
        if matches!(character, '|' | '>') && before.is_whitespace() && ends(&line[at + 1..]) {
            return Some(column + 1);
        }
        before = character;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_text_begins_at_its_mark() {
        for (line, column) in [
            ("a: |", Some(4)),
            ("ä: >-", Some(4)),
            ("- |2+ # a | b", Some(3)),
            ("|", Some(1)),
            ("a|: x", None),
            ("a: |x", None),
        ] {
            assert_eq!(header_column(line), column, "{line}");
        }
    }
}
