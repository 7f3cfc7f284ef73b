//! Keeps secrets out of everything that leaves a run: state, events and messages.

use std::collections::HashSet;

use crate::numbers::float_text;
use crate::text::length;
use crate::value::{Map, Mask, Value};

const MARK: &str = "***";
/// Shorter secrets are masked as whole values only: they are parts of common words.
const MIN_PART: usize = 4;
/// Shorter ones are placeholders for servers that want none.
const MIN_API_KEY: usize = 16;

/// Puts `***` in the place of every secret in a text.
#[derive(Debug, Default)]
pub(crate) struct Masker {
    whole: HashSet<String>,
    /// The longest first, so that a secret that is part of another does not leave its rest.
    parts: Vec<String>,
}

impl Masker {
    pub fn new(secrets: &Value, settings: &Map) -> Masker {
        let mut values = Vec::new();
        leaves(secrets, &mut values);
        let llm = settings.get("llm").and_then(Value::as_map);
        if let Some(key) = llm.and_then(|llm| llm.get("api_key")).and_then(Value::as_text) {
            if length(key) >= MIN_API_KEY {
                values.push(key.into());
            }
        }
        values.retain(|value| !value.is_empty());
        let mut parts: Vec<String> =
            values.iter().filter(|value| length(value) >= MIN_PART).cloned().collect();
        parts.sort_by_key(|part| std::cmp::Reverse(length(part)));
        Masker { whole: values.into_iter().collect(), parts }
    }

    /// `text` without secrets.
    pub fn masked(&self, text: &str) -> String {
        self.text(text).unwrap_or_else(|| text.into())
    }

    /// How many bytes at the end of `text` may be the start of a secret.
    fn unfinished(&self, text: &str) -> usize {
        let longest = self.parts.iter().map(String::len).max().unwrap_or(0);
        let starts = text.char_indices().map(|(start, _)| start);
        let mut starts = starts.filter(|start| text.len() - start < longest);
        let start = starts.find(|start| {
            let end = &text[*start..];
            self.parts.iter().any(|part| part.starts_with(end))
        });
        start.map_or(0, |start| text.len() - start)
    }
}

impl Mask for Masker {
    fn text(&self, text: &str) -> Option<String> {
        if self.whole.contains(text) {
            return Some(MARK.into());
        }
        let mut masked = String::new();
        let mut rest = text;
        // At each place the longest secret that begins there.
        let mut from = 0;
        while let Some(character) = rest[from..].chars().next() {
            match self.parts.iter().find(|part| rest[from..].starts_with(part.as_str())) {
                Some(part) => {
                    masked.push_str(&rest[..from]);
                    masked.push_str(MARK);
                    rest = &rest[from + part.len()..];
                    from = 0;
                }
                None => from += character.len_utf8(),
            }
        }
        if rest.len() == text.len() {
            return None;
        }
        masked.push_str(rest);
        Some(masked)
    }

    fn hides_number(&self, text: &str) -> bool {
        length(text) >= MIN_PART && self.text(text).is_some_and(|masked| masked == MARK)
    }

    fn mark(&self) -> Value {
        MARK.into()
    }
}

/// Masks a text that comes in pieces; holds back what may become a secret.
pub(crate) struct StreamMask<'a> {
    masker: &'a Masker,
    held: String,
}

impl<'a> StreamMask<'a> {
    pub fn new(masker: &'a Masker) -> StreamMask<'a> {
        StreamMask { masker, held: String::new() }
    }

    /// What can be shown after `piece`.
    pub fn feed(&mut self, piece: &str) -> String {
        self.held.push_str(piece);
        let mut text = self.masker.masked(&self.held);
        let hold = self.masker.unfinished(&text);
        self.held = text.split_off(text.len() - hold);
        text
    }

    /// What is still held back, at the end of the text.
    pub fn rest(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

fn leaves(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Text(text) => found.push(text.to_string()),
        Value::Int(number) => found.push(number.to_string()),
        Value::Float(number) => found.push(float_text(*number)),
        Value::Map(map) => map.values().for_each(|part| leaves(part, found)),
        other => other.as_list().unwrap_or_default().iter().for_each(|part| leaves(part, found)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masker() -> Masker {
        let secrets = Value::record([
            ("a", "token".into()),
            ("b", Value::list(vec!["token-long".into(), "abc".into(), Value::Int(12345)])),
        ]);
        Masker::new(&secrets, &Map::new())
    }

    #[test]
    fn the_longest_secret_is_masked_and_short_ones_only_alone() {
        let masker = masker();
        assert_eq!(masker.masked("x token-longer token abc"), "x ***er *** abc");
        assert_eq!(masker.masked("abc"), "***");
        assert!(masker.hides_number("12345") && !masker.hides_number("2345"));
    }

    #[test]
    fn a_secret_in_pieces_is_never_shown() {
        let masker = masker();
        let mut stream = StreamMask::new(&masker);
        let shown: Vec<String> = ["a to", "k", "en", "!", " tok"].map(|p| stream.feed(p)).into();
        assert_eq!(shown, ["a ", "", "***", "!", " "]);
        assert_eq!(stream.rest(), "tok");
    }
}
