//! From the bytes that a model emits to the text of an answer.

use std::sync::Arc;

use super::backend::OnText;

/// Puts pieces of bytes together to text, up to the first stop text.
///
/// `on_text` gets text as soon as it is sure: whole characters only, and nothing that may turn out
/// to be the beginning of a stop text.
pub struct StopSequenceBuffer<'a> {
    stop: Vec<Arc<str>>,
    on_text: Option<OnText<'a>>,
    bytes: Vec<u8>, // of an unfinished character
    said: String,
    held: String,
}

impl<'a> StopSequenceBuffer<'a> {
    /// Begin an answer.
    #[must_use]
    pub fn new(stop: &[Arc<str>], on_text: Option<OnText<'a>>) -> StopSequenceBuffer<'a> {
        let stop = stop.to_vec();
        StopSequenceBuffer {
            stop,
            on_text,
            bytes: Vec::new(),
            said: String::new(),
            held: String::new(),
        }
    }

    /// Add `piece`; true when a stop text is complete. Feed nothing after that.
    pub fn feed(&mut self, piece: &[u8]) -> bool {
        let new = self.decoded(piece);
        self.held.push_str(&new);
        let mut text = std::mem::take(&mut self.held);
        if let Some(end) = self.stop.iter().filter_map(|stop| text.find(&**stop)).min() {
            text.truncate(end);
            self.say(&text);
            return true;
        }
        let hold = self.stop.iter().map(|stop| overlap(&text, stop)).max().unwrap_or(0);
        self.held = text.split_off(text.len() - hold);
        self.say(&text);
        false
    }

    /// What was shown so far.
    #[must_use]
    pub fn said(&self) -> &str {
        &self.said
    }

    /// The whole answer. What is left of an unfinished character is dropped.
    #[must_use]
    pub fn finish(mut self) -> String {
        let held = std::mem::take(&mut self.held);
        self.say(&held);
        self.said
    }

    /// The characters that are complete; wrong bytes become U+FFFD.
    fn decoded(&mut self, piece: &[u8]) -> String {
        self.bytes.extend_from_slice(piece);
        let mut text = String::new();
        let mut rest = &self.bytes[..];
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    rest = &[];
                    break;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(valid));
                    rest = after;
                    let Some(wrong) = error.error_len() else { break };
                    text.push('\u{fffd}');
                    rest = &rest[wrong..];
                }
            }
        }
        self.bytes = rest.to_vec();
        text
    }

    fn say(&mut self, text: &str) {
        if !text.is_empty() {
            self.said.push_str(text);
            if let Some(on_text) = self.on_text {
                on_text(text);
            }
        }
    }
}

/// How many bytes at the end of `text` begin `stop`.
fn overlap(text: &str, stop: &str) -> usize {
    let starts = stop.char_indices().map(|(at, _)| at).skip(1);
    starts.filter(|length| text.ends_with(&stop[..*length])).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn said(stop: &[&str], pieces: &[&[u8]]) -> (Vec<String>, String) {
        let stop: Vec<Arc<str>> = stop.iter().map(|text| Arc::from(*text)).collect();
        let seen = RefCell::new(Vec::new());
        let on_text = |text: &str| seen.borrow_mut().push(text.to_string());
        let mut answer = StopSequenceBuffer::new(&stop, Some(&on_text));
        let _ = pieces.iter().any(|piece| answer.feed(piece));
        let whole = answer.finish();
        (seen.into_inner(), whole)
    }

    #[test]
    fn a_character_in_pieces_is_shown_whole() {
        let (pieces, whole) = said(&[], &["é".as_bytes().split_at(1).0, &[0xa9], b"!", &[0xf0]]);
        assert_eq!((pieces, whole), (vec!["é".into(), "!".into()], "é!".into()));
    }

    #[test]
    fn nothing_of_a_stop_text_is_shown() {
        let (pieces, whole) = said(&["END", "."], &[b"a E", b"N", b"X E", b"ND b"]);
        assert_eq!((pieces, whole), (vec!["a ".into(), "ENX ".into()], "a ENX ".into()));
    }

    #[test]
    fn what_only_looked_like_a_stop_text_is_shown_at_the_end() {
        assert_eq!(said(&["END"], &[b"a EN"]).1, "a EN");
        assert_eq!(said(&["END"], &[b"a\xff"]).1, "a\u{fffd}");
    }
}
