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
}
