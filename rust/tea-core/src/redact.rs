//! Keeps secrets out of everything that leaves a run: state, events and messages.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::{Rc, Weak};

use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use base64::Engine;
use percent_encoding::{utf8_percent_encode, AsciiSet, NON_ALPHANUMERIC};

use crate::value::json;
use crate::value::numbers::float_text;
use crate::value::text::{length, strip};
use crate::value::{Map, Mask, Value};

const MARK: &str = "***";
/// Shorter secrets are masked as whole values only: they are parts of common words.
const MIN_PART: usize = 4;
/// Shorter ones are placeholders for servers that want none.
const MIN_API_KEY: usize = 16;
const API_KEYS: [&str; 2] = ["OPENAI_API_KEY", "AZURE_OPENAI_API_KEY"];
/// What stands for itself in a URL. Source: RFC 3986, 2.3.
const URL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const URL_PATH: &AsciiSet = &URL.remove(b'/');

thread_local! {
    /// Those that are in use: what is cut is masked by all of them first, wherever it is cut.
    static IN_USE: RefCell<Vec<Weak<Masker>>> = const { RefCell::new(Vec::new()) };
}

/// Puts `***` in the place of every secret in a text, in any of its forms.
#[derive(Debug, Default)]
pub(crate) struct Masker {
    whole: HashSet<String>,
    /// By their first byte; the longest first, so that a secret that is part of another does not
    /// leave its rest.
    parts: HashMap<u8, Vec<String>>,
}

impl Masker {
    /// A masker of all that is secret in a run; it is in use until it is dropped.
    pub fn new(secrets: &Value, settings: &Map, env: &Map) -> Rc<Masker> {
        let mut values = Vec::new();
        leaves(secrets, &mut values);
        let llm = settings.get("llm").and_then(Value::as_map);
        let keys = API_KEYS.map(|name| env.get(name));
        let keys = keys.into_iter().chain([llm.and_then(|llm| llm.get("api_key"))]);
        let keys = keys.flatten().filter_map(Value::as_text);
        values.extend(keys.filter(|key| length(key) >= MIN_API_KEY).map(String::from));
        Masker::of(values)
    }

    /// A masker of these texts.
    pub fn of(values: Vec<String>) -> Rc<Masker> {
        let whole: HashSet<String> = values.into_iter().filter(|each| !each.is_empty()).collect();
        let all: HashSet<String> = whole.iter().flat_map(|value| forms(value)).collect();
        let mut parts: HashMap<u8, Vec<String>> = HashMap::new();
        for part in all.into_iter().filter(|part| length(part) >= MIN_PART) {
            parts.entry(part.as_bytes()[0]).or_default().push(part);
        }
        for same_start in parts.values_mut() {
            same_start.sort_by_key(|part| std::cmp::Reverse(part.len()));
        }
        let masker = Rc::new(Masker { whole, parts });
        if !masker.whole.is_empty() {
            IN_USE.with_borrow_mut(|all| {
                all.retain(|other| other.strong_count() > 0);
                all.push(Rc::downgrade(&masker));
            });
        }
        masker
    }

    /// `text` without secrets.
    pub fn masked(&self, text: &str) -> String {
        self.text(text).unwrap_or_else(|| text.into())
    }

    /// The secret that begins where `text` does.
    fn found_at(&self, text: &str) -> Option<&str> {
        let parts = self.parts.get(text.as_bytes().first()?)?;
        parts.iter().map(String::as_str).find(|part| text.starts_with(part))
    }

    /// Where that begins in `text` which more text may make a secret, or a longer one.
    ///
    /// What is a secret already before that is passed over: it is no beginning of another.
    fn unfinished(&self, text: &str) -> usize {
        let mut from = 0;
        while let Some(character) = text[from..].chars().next() {
            let rest = &text[from..];
            let parts = self.parts.get(&rest.as_bytes()[0]).map_or(&[][..], Vec::as_slice);
            if parts.iter().any(|part| part.len() > rest.len() && part.starts_with(rest)) {
                break;
            }
            from += self.found_at(rest).map_or(character.len_utf8(), str::len);
        }
        from
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
            match self.found_at(&rest[from..]) {
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
        let rest = self.held.split_off(self.masker.unfinished(&self.held));
        self.masker.masked(&std::mem::replace(&mut self.held, rest))
    }

    /// What is still held back, at the end of the text.
    pub fn rest(&mut self) -> String {
        self.masker.masked(&std::mem::take(&mut self.held))
    }
}

/// `text` without the secrets of anything that runs now.
#[must_use]
pub fn hide(text: &str) -> String {
    let maskers: Vec<Rc<Masker>> =
        IN_USE.with_borrow(|all| all.iter().filter_map(Weak::upgrade).collect());
    maskers.iter().fold(text.into(), |text: String, masker| masker.masked(&text))
}

/// `text` without secrets, then cut to `most` characters.
pub(crate) fn shorten(text: &str, most: usize) -> String {
    let text = hide(text);
    match length(&text) <= most {
        true => text,
        false => format!("{}…", text.chars().take(most - 3).collect::<String>()),
    }
}

/// The texts that give `secret` away: it, its lines, and each of these encoded.
fn forms(secret: &str) -> Vec<String> {
    let mut found = Vec::new();
    let lines = secret.split(['\n', '\r']).map(strip);
    let texts: HashSet<&str> = lines.chain([secret, strip(secret)]).collect();
    for text in texts.into_iter().filter(|text| length(text) >= MIN_PART) {
        found.push(text.to_string());
        for ascii in [false, true] {
            let style = json::Style { ascii, ..json::Style::new(None) };
            let quoted = json::write_styled(&Value::text(text), &style);
            found.push(quoted[1..quoted.len() - 1].into());
        }
        let url = utf8_percent_encode(text, URL).to_string();
        found.extend([
            utf8_percent_encode(text, URL_PATH).to_string(),
            url.replace("%20", "+"),
            url,
        ]);
        for engine in [STANDARD, URL_SAFE] {
            found.extend((0..3).map(|before| base64_form(&engine, text.as_bytes(), before)));
        }
    }
    found
}

/// What of the base64 of `data`, after so many bytes, does not depend on the bytes around it.
fn base64_form(engine: &impl Engine, data: &[u8], before: usize) -> String {
    let text = engine.encode([&vec![0; before], data].concat());
    text[(before * 8).div_ceil(6)..(before + data.len()) * 8 / 6].into()
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

    fn masker() -> Rc<Masker> {
        let secrets = Value::record([
            ("a", "token".into()),
            ("b", Value::list(vec!["token-long".into(), "abc".into(), Value::Int(12345)])),
        ]);
        Masker::new(&secrets, &Map::new(), &Map::new())
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
        let pieces = ["a to", "k", "en", "!", " token", "-lo", "ng", " tok"];
        let shown: Vec<String> = pieces.map(|piece| stream.feed(piece)).into();
        assert_eq!(shown, ["a ", "", "", "***!", " ", "", "***", " "]);
        assert_eq!(stream.rest(), "tok");
    }

    #[test]
    fn what_is_cut_is_masked_before() {
        let _masker = masker();
        assert_eq!(shorten("abcdefghij token-long kl", 20), "abcdefghij *** kl");
        assert_eq!(shorten(&"é".repeat(30), 20), "é".repeat(17) + "…");
    }

    #[test]
    fn only_long_api_keys_of_the_environment_are_secrets() {
        let env = |key: &str| [("OPENAI_API_KEY".into(), key.into())].into_iter().collect();
        let long = Masker::new(&Value::Null, &Map::new(), &env("sk-0123456789abcdef"));
        let short = Masker::new(&Value::Null, &Map::new(), &env("ollama"));
        assert_eq!(long.masked("sk-0123456789abcdef"), "***");
        assert_eq!(short.masked("ollama"), "ollama");
    }
}
