//! Text the way every engine reads it: white space, words, lengths in characters.

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// Whether `character` is white space: what Unicode says, and the four separators of ASCII.
#[must_use]
pub fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

/// `text` without white space at its ends.
#[must_use]
pub fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// Whether `character` is part of a word: a letter, a digit or an underscore.
#[must_use]
pub fn is_word(character: char) -> bool {
    character == '_'
        || character.is_ascii_alphanumeric()
        || (!character.is_ascii()
            && matches!(
                character.general_category_group(),
                GeneralCategoryGroup::Letter | GeneralCategoryGroup::Number
            ))
}

/// The number of characters.
#[must_use]
pub fn length(text: &str) -> usize {
    text.chars().count()
}

/// The text in quotes, as messages show names.
#[must_use]
pub fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut shown = String::from(quote);
    for character in text.chars() {
        match character {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            '\\' => shown.push_str("\\\\"),
            character if character == quote => {
                shown.push('\\');
                shown.push(character);
            }
            character if character.is_control() => {
                shown.push_str(&format!("\\x{:02x}", character as u32));
            }
            character => shown.push(character),
        }
    }
    shown.push(quote);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_that_joins_to_a_letter_is_no_part_of_a_word() {
        assert!(is_word('é') && is_word('語') && is_word('٣') && is_word('½'));
        assert!(!is_word('\u{93f}') && !is_word('-') && !is_word('\u{301}'));
    }

    #[test]
    fn the_separators_of_ascii_are_white_space() {
        assert_eq!(strip("\u{1c} a\u{1f}\u{a0}"), "a");
    }

    #[test]
    fn names_are_shown_in_the_quotes_that_they_do_not_have() {
        assert_eq!(quoted("a"), "'a'");
        assert_eq!(quoted("it's"), "\"it's\"");
        assert_eq!(quoted("a\n'\""), "'a\\n\\'\"'");
    }
}
