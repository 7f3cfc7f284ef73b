//! JSON text, read and written: whole numbers of any size up to 128 bits stay whole, keys keep
//! their order, characters stay as they are.

use std::fmt::Write;
use std::sync::Arc;

use crate::numbers::float_text;
use crate::value::{Map, Value};

/// Deeper texts are refused; what goes into the state may have far fewer levels.
const MAX_DEPTH: usize = 500;

/// How a value is written.
#[derive(Debug, Clone)]
pub struct Style<'a> {
    /// Spaces for each level, each part on its own line; None for one line.
    pub indent: Option<usize>,
    /// What stands between parts.
    pub comma: &'a str,
    /// What stands after a key.
    pub colon: &'a str,
    /// Whether characters beyond ASCII are escaped.
    pub ascii: bool,
}

impl Style<'_> {
    /// One line with `, ` and `: `, or each part on its own line.
    #[must_use]
    pub fn new(indent: Option<usize>) -> Style<'static> {
        let comma = if indent.is_some() { "," } else { ", " };
        Style { indent, comma, colon: ": ", ascii: false }
    }
}

/// Write `value` in the usual style.
///
/// Values that exist only inside a template are written as null.
#[must_use]
pub fn write(value: &Value, indent: Option<usize>) -> String {
    write_styled(value, &Style::new(indent))
}

/// Write `value` in this style.
#[must_use]
pub fn write_styled(value: &Value, style: &Style<'_>) -> String {
    let mut text = String::new();
    write_into(&mut text, value, style, 0);
    text
}

fn write_into(out: &mut String, value: &Value, style: &Style<'_>, level: usize) {
    match value {
        Value::Null | Value::Absent(_) | Value::Loop(_) => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Int(number) => out.push_str(&number.to_string()),
        Value::Float(number) => out.push_str(&float_text(*number)),
        Value::Text(text) => write_text(out, text, style.ascii),
        Value::List(items) | Value::Group(items) => {
            write_parts(out, ('[', ']'), style, level, items.iter(), |out, item| {
                write_into(out, item, style, level + 1);
            });
        }
        Value::Map(map) => {
            write_parts(out, ('{', '}'), style, level, map.iter(), |out, (key, item)| {
                write_text(out, key, style.ascii);
                out.push_str(style.colon);
                write_into(out, item, style, level + 1);
            });
        }
    }
}

fn write_parts<T>(
    out: &mut String,
    brackets: (char, char),
    style: &Style<'_>,
    level: usize,
    parts: impl ExactSizeIterator<Item = T>,
    write_one: impl Fn(&mut String, T),
) {
    let is_empty = parts.len() == 0;
    let new_line = |out: &mut String, level: usize| {
        if let Some(width) = style.indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', width * level));
        }
    };
    out.push(brackets.0);
    for (number, part) in parts.enumerate() {
        if number > 0 {
            out.push_str(style.comma);
        }
        new_line(out, level + 1);
        write_one(out, part);
    }
    if !is_empty {
        new_line(out, level);
    }
    out.push(brackets.1);
}

fn write_text(out: &mut String, text: &str, ascii: bool) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' => {
                let _ = write!(out, "\\u{:04x}", character as u32);
            }
            character if ascii && !character.is_ascii() => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            character => out.push(character),
        }
    }
    out.push('"');
}

/// What is wrong with a text that is not JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at character {at}")]
pub struct JsonError {
    /// What is wrong.
    pub reason: &'static str,
    /// The character where it is, from 1.
    pub at: usize,
}

/// Read a JSON text.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn read(text: &str) -> Result<Value, JsonError> {
    let mut reader = Reader { text, position: 0 };
    reader.skip_space();
    let value = reader.value(0)?;
    reader.skip_space();
    match reader.rest().is_empty() {
        true => Ok(value),
        false => Err(reader.error("Extra data")),
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
        if depth > MAX_DEPTH {
            return Err(self.error("nested too deep"));
        }
        match self.next() {
            Some(b'"') => Ok(Value::Text(self.text_value()?)),
            Some(b'{') => self.map(depth),
            Some(b'[') => self.list(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ if self.takes("null") => Ok(Value::Null),
            _ if self.takes("true") => Ok(Value::Bool(true)),
            _ if self.takes("false") => Ok(Value::Bool(false)),
            _ => Err(self.error("Expecting value")),
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
                return Err(self.error("Expecting ',' delimiter"));
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, JsonError> {
        const NO_NAME: &str = "Expecting property name enclosed in double quotes";
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
            let key = self.text_value()?;
            self.skip_space();
            if !self.takes(":") {
                return Err(self.error("Expecting ':' delimiter"));
            }
            self.skip_space();
            map.insert(key, self.value(depth + 1)?);
            self.skip_space();
            if self.takes("}") {
                return Ok(Value::map(map));
            }
            if !self.takes(",") {
                return Err(self.error("Expecting ',' delimiter"));
            }
        }
    }

    fn number(&mut self) -> Result<Value, JsonError> {
        let bytes = self.rest().as_bytes();
        let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
        let start = usize::from(bytes[0] == b'-');
        let whole = if bytes.get(start) == Some(&b'0') { 1 } else { digits(start) };
        if whole == 0 {
            return Err(self.error("Expecting value"));
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
            let too_long = self.error("a number with too many digits");
            Value::Int(text.parse().map_err(|_| too_long)?)
        } else {
            Value::Float(text.parse().unwrap_or(f64::INFINITY))
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
                Some(_) => return Err(self.error("Invalid control character at")),
                None => return Err(self.unfinished(start)),
            }
        }
    }

    fn unfinished(&mut self, start: usize) -> JsonError {
        self.position = start;
        self.error("Unterminated string starting at")
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
            _ => return Err(self.error("Invalid \\escape")),
        };
        self.position += 2;
        Ok(character)
    }

    fn unicode(&mut self) -> Result<char, JsonError> {
        let first = self.hexadecimal()?;
        if let Some(character) = char::from_u32(first) {
            return Ok(character);
        }
        let half = JsonError { reason: "half of a character", ..self.error("") };
        if first >= 0xdc00 || !self.rest().starts_with("\\u") {
            return Err(half);
        }
        let second = self.hexadecimal()?;
        if !(0xdc00..0xe000).contains(&second) {
            return Err(half);
        }
        char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)).ok_or(half)
    }

    fn hexadecimal(&mut self) -> Result<u32, JsonError> {
        let digits = self.text.get(self.position + 2..self.position + 6);
        let wrong = self.error("Invalid \\uXXXX escape");
        let digits = digits.filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = digits.and_then(|text| u32::from_str_radix(text, 16).ok()).ok_or(wrong)?;
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
        assert_eq!(
            write(&value, Some(2)),
            "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}"
        );
    }

    #[test]
    fn an_error_has_its_reason_and_its_character() {
        for (text, reason, at) in [
            ("", "Expecting value", 1),
            ("[1,]", "Expecting value", 4),
            ("[1 2]", "Expecting ',' delimiter", 4),
            ("{a: 1}", "Expecting property name enclosed in double quotes", 2),
            ("{\"ä\" 1}", "Expecting ':' delimiter", 6),
            ("1 x", "Extra data", 3),
            ("01", "Extra data", 2),
            ("1.", "Extra data", 2),
            ("-", "Expecting value", 1),
            ("\"a", "Unterminated string starting at", 1),
            ("\"\\", "Unterminated string starting at", 1),
            ("\"\n\"", "Invalid control character at", 2),
            ("\"\\u12\"", "Invalid \\uXXXX escape", 2),
            ("\"\\ud800\"", "half of a character", 8),
            ("NaN", "Expecting value", 1),
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
        assert_eq!(read(&"[".repeat(100_000)).unwrap_err().reason, "nested too deep");
    }
}
