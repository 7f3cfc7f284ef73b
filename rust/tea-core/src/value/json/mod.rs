//! JSON text, read and written: whole numbers of any size up to 128 bits stay whole, keys keep
//! their order, characters stay as they are.

mod writing;

use std::sync::Arc;

pub use writing::{write, write_styled, Style};

use crate::limits::MAX_DEPTH;
use crate::value::{Map, Value};

const TOO_DEEP: &str = "nested deeper than 100 levels";

const OUT_OF_RANGE: &str = "a number out of range";

/// What is wrong with a text that is not JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at character {at}")]
pub struct JsonError {
    /// What is wrong.
    pub reason: &'static str,
    /// The character where it is, from 1.
    pub at: usize,
}

/// Read a JSON text. A byte order mark before it is no part of it.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn read(text: &str) -> Result<Value, JsonError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader { text, position: 0 };
    reader.skip_space();
    let value = reader.value(0)?;
    reader.skip_space();
    match reader.rest().is_empty() {
        true => Ok(value),
        false => Err(reader.error("more after the end")),
    }
}

/// Of maps and lists that are looked for in a text.
const MAX_BEGINNINGS: usize = 1000;

/// What a text means or, where it is not JSON, the longest map or list within it.
///
/// # Errors
/// As `read`, where there is none.
pub fn find(text: &str) -> Result<Value, JsonError> {
    let failure = match read(text) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let mut longest = "";
    let mut at = 0;
    for _ in 0..MAX_BEGINNINGS {
        let Some(begin) = text[at..].find(['[', '{']) else { break };
        let begin = at + begin;
        let mut reader = Reader { text, position: begin };
        at = match reader.value(0) {
            Ok(_) => reader.position,
            Err(_) => begin + 1,
        };
        let found = &text[begin..at];
        if at > begin + 1 && found.chars().count() > longest.chars().count() {
            longest = found;
        }
    }
    if longest.is_empty() {
        Err(failure)
    } else {
        read(longest)
    }
}

struct Reader<'a> {
    text: &'a str,
    position: usize, // in bytes
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.position..]
    }

    fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    /// Counts the characters before it, so that it is made only where it is returned.
    fn error(&self, reason: &'static str) -> JsonError {
        JsonError { reason, at: self.text[..self.position].chars().count() + 1 }
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.position += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn takes(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word);
        if found {
            self.position += word.len();
        }
        found
    }

    fn value(&mut self, depth: usize) -> Result<Value, JsonError> {
        match self.next() {
            Some(b'{' | b'[') if depth >= MAX_DEPTH => Err(self.error(TOO_DEEP)),
            Some(b'"') => Ok(Value::Text(self.text_value()?)),
            Some(b'{') => self.map(depth),
            Some(b'[') => self.list(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ if self.takes("null") => Ok(Value::Null),
            _ if self.takes("true") => Ok(Value::Bool(true)),
            _ if self.takes("false") => Ok(Value::Bool(false)),
            _ => Err(self.error("no value")),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.position += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.takes("]") {
            return Ok(Value::list(items));
        }
        loop {
            self.skip_space();
            items.push(self.value(depth + 1)?);
            self.skip_space();
            if self.takes("]") {
                return Ok(Value::list(items));
            }
            if !self.takes(",") {
                return Err(self.error("no comma"));
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, JsonError> {
        const NO_NAME: &str = "no key in double quotes";
        self.position += 1;
        let mut map = Map::new();
        self.skip_space();
        if self.takes("}") {
            return Ok(Value::map(map));
        }
        loop {
            self.skip_space();
            if self.next() != Some(b'"') {
                return Err(self.error(NO_NAME));
            }
            let start = self.position;
            let key = self.text_value()?;
            if map.contains_key(&key) {
                self.position = start;
                return Err(self.error("duplicate key"));
            }
            self.skip_space();
            if !self.takes(":") {
                return Err(self.error("no colon"));
            }
            self.skip_space();
            map.insert(key, self.value(depth + 1)?);
            self.skip_space();
            if self.takes("}") {
                return Ok(Value::map(map));
            }
            if !self.takes(",") {
                return Err(self.error("no comma"));
            }
        }
    }

    fn number(&mut self) -> Result<Value, JsonError> {
        let bytes = self.rest().as_bytes();
        let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
        let start = usize::from(bytes[0] == b'-');
        let whole = if bytes.get(start) == Some(&b'0') { 1 } else { digits(start) };
        if whole == 0 {
            return Err(self.error("no value"));
        }
        let mut end = start + whole;
        let mut is_whole = true;
        if bytes.get(end) == Some(&b'.') && digits(end + 1) > 0 {
            end += 1 + digits(end + 1);
            is_whole = false;
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            if digits((end + 1 + sign).min(bytes.len())) > 0 {
                end += 1 + sign + digits(end + 1 + sign);
                is_whole = false;
            }
        }
        let text = &self.rest()[..end];
        let number = if is_whole {
            Value::Int(text.parse().map_err(|_| self.error(OUT_OF_RANGE))?)
        } else {
            let number = text.parse().ok().filter(|number: &f64| number.is_finite());
            Value::Float(number.ok_or_else(|| self.error(OUT_OF_RANGE))?)
        };
        self.position += end;
        Ok(number)
    }

    fn text_value(&mut self) -> Result<Arc<str>, JsonError> {
        let start = self.position;
        self.position += 1;
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let plain = rest.find(|c: char| c == '"' || c == '\\' || c < ' ').unwrap_or(rest.len());
            text.push_str(&rest[..plain]);
            self.position += plain;
            match self.next() {
                Some(b'"') => {
                    self.position += 1;
                    return Ok(text.into());
                }
                Some(b'\\') => text.push(self.escape(start)?),
                Some(_) => return Err(self.error("a control character")),
                None => return Err(self.unfinished(start)),
            }
        }
    }

    fn unfinished(&mut self, start: usize) -> JsonError {
        self.position = start;
        self.error("a text without end")
    }

    fn escape(&mut self, start: usize) -> Result<char, JsonError> {
        let Some(letter) = self.text.as_bytes().get(self.position + 1) else {
            return Err(self.unfinished(start));
        };
        let character = match letter {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => return Err(self.error("an unknown escape")),
        };
        self.position += 2;
        Ok(character)
    }

    fn unicode(&mut self) -> Result<char, JsonError> {
        let first = self.hexadecimal()?;
        if let Some(character) = char::from_u32(first) {
            return Ok(character);
        }
        let after = self.position;
        let half = |reader: &Self| JsonError {
            reason: "half of a character",
            at: reader.text[..after].chars().count() + 1,
        };
        if first >= 0xdc00 || !self.rest().starts_with("\\u") {
            return Err(half(self));
        }
        let second = self.hexadecimal()?;
        if !(0xdc00..0xe000).contains(&second) {
            return Err(half(self));
        }
        char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
            .ok_or_else(|| half(self))
    }

    fn hexadecimal(&mut self) -> Result<u32, JsonError> {
        let digits = self.text.get(self.position + 2..self.position + 6);
        let digits = digits.filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = digits
            .and_then(|text| u32::from_str_radix(text, 16).ok())
            .ok_or_else(|| self.error("an unknown escape"))?;
        self.position += 6;
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_the_same() {
        for text in [
            r#"{"b": 1, "a": [true, null, -2.5, "ä\n\"\\"]}"#,
            "[]",
            "{}",
            "123456789012345678901234567890",
            "1e-07",
            r#""\u0001""#,
        ] {
            assert_eq!(read(text).map(|value| write(&value, None)), Ok(text.into()));
        }
    }

    #[test]
    fn parts_can_stand_on_lines_of_their_own() {
        let value = read(r#"{"a": [1, {}], "b": []}"#).unwrap();
        assert_eq!(write(&value, Some(2)), "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}");
    }

    #[test]
    fn an_error_has_its_reason_and_its_character() {
        for (text, reason, at) in [
            ("", "no value", 1),
            ("[1,]", "no value", 4),
            ("[1 2]", "no comma", 4),
            ("{a: 1}", "no key in double quotes", 2),
            ("{\"ä\" 1}", "no colon", 6),
            ("1 x", "more after the end", 3),
            ("01", "more after the end", 2),
            ("1.", "more after the end", 2),
            ("-", "no value", 1),
            ("\"a", "a text without end", 1),
            ("\"\\", "a text without end", 1),
            ("\"\n\"", "a control character", 2),
            ("\"\\u12\"", "an unknown escape", 2),
            ("\"\\ud800\"", "half of a character", 8),
            ("NaN", "no value", 1),
            (r#"{"a": 1, "a": 2}"#, "duplicate key", 10),
            ("[1e999]", OUT_OF_RANGE, 2),
            ("170141183460469231731687303715884105728", OUT_OF_RANGE, 1),
        ] {
            assert_eq!(read(text).unwrap_err(), JsonError { reason, at }, "{text}");
        }
    }

    #[test]
    fn characters_beyond_the_first_plane_are_two_escapes() {
        assert_eq!(read(r#""\ud83d\ude00""#).unwrap().as_text(), Some("😀"));
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_overflow() {
        assert_eq!(read(&"[".repeat(100_000)).unwrap_err().reason, TOO_DEEP);
        let lists = |count: usize| "[".repeat(count) + &"]".repeat(count);
        assert!(read(&lists(MAX_DEPTH)).is_ok());
        assert_eq!(read(&lists(MAX_DEPTH + 1)).unwrap_err().reason, TOO_DEEP);
    }
}
