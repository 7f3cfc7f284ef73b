//! JSON text, written.

use std::fmt::Write;

use crate::value::numbers::float_text;
use crate::value::Value;

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
