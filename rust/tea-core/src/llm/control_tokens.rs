//! Control tokens in message texts, which are text to the model and begin or end no turn.
//!
//! A chat template writes control tokens such as `<|im_end|>`. Where a message has the same
//! letters, a placeholder stands for them while the template is rendered, and what the template
//! makes of that stretch is tokenized as plain text.

use std::sync::Arc;

use super::backend::Message;
use crate::errors::Error;
use crate::value::{Map, Value};

/// Templates look for these marks, to take the reasoning out of earlier answers.
const THINKING: [&str; 2] = ["think", "thought"];
/// The first of the characters that stand for control tokens, all for private use.
const PRIVATE_USE: char = '\u{f0000}';

/// A piece of a prompt.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    /// The piece.
    pub text: String,
    /// Whether the names of control tokens in it are these tokens.
    pub special: bool,
}

/// Stands in for the control tokens in the texts of a conversation and of tools.
pub struct Placeholders {
    pairs: Vec<(String, String)>, // control token and placeholder, the longest token first
}

impl Placeholders {
    /// Hide the control tokens of `messages` and `tools`; `control_texts` are those that a text has
    /// in it.
    ///
    /// # Errors
    /// Those of `control_texts`.
    pub fn hide(
        messages: &[Message],
        tools: &[Value],
        control_texts: impl Fn(&str) -> Result<Vec<String>, Error>,
    ) -> Result<(Placeholders, Vec<Message>, Vec<Value>), Error> {
        let mut texts: Vec<&str> = messages.iter().map(|message| &*message.content).collect();
        for call in messages.iter().flat_map(|message| &message.tool_calls) {
            texts.extend(call.arguments.keys().map(|key| &**key));
            call.arguments.values().for_each(|value| texts_in(value, &mut texts));
        }
        tools.iter().for_each(|tool| texts_in(tool, &mut texts));
        let mut hidden = Vec::new();
        for text in &texts {
            hidden.extend(control_texts(text)?);
        }
        hidden.retain(|control| {
            let small = control.to_lowercase();
            !THINKING.iter().any(|mark| small.contains(mark))
        });
        longest_first(&mut hidden);
        let is_used = |mark: &char| texts.iter().any(|text| text.contains(*mark));
        let spare = (PRIVATE_USE..=char::MAX).filter(|mark| !is_used(mark));
        let pairs: Vec<_> = hidden.into_iter().zip(spare.map(String::from)).collect();
        let replaced = |text: &str| -> Arc<str> {
            let hide =
                |text: String, (control, mark): &(String, String)| text.replace(control, mark);
            pairs.iter().fold(text.to_string(), hide).into()
        };
        let messages = messages.iter().map(|each| {
            let mut message = Message { content: replaced(&each.content), ..each.clone() };
            for call in &mut message.tool_calls {
                call.arguments = with_texts(&call.arguments, &replaced);
            }
            message
        });
        let messages = messages.collect();
        let tools = tools.iter().map(|tool| with_text(tool, &replaced)).collect();
        Ok((Placeholders { pairs }, messages, tools))
    }

    /// Split `prompt`, rendered from the messages, and put the control tokens back as text.
    ///
    /// A part of plain text goes from one control token of the template to the next, so that it is
    /// tokenized as if nothing in it had a special meaning.
    ///
    /// # Errors
    /// Those of `control_texts`.
    pub fn parts(
        &self,
        prompt: &str,
        control_texts: impl Fn(&str) -> Result<Vec<String>, Error>,
    ) -> Result<Vec<Part>, Error> {
        if !self.stands_in(prompt) {
            return Ok(vec![Part { text: prompt.into(), special: true }]);
        }
        let mut controls = control_texts(prompt)?;
        longest_first(&mut controls);
        let mut parts: Vec<Part> = Vec::new();
        for piece in split(prompt, &controls) {
            let special = !self.stands_in(piece);
            let text = self
                .pairs
                .iter()
                .fold(piece.to_string(), |text, (control, mark)| text.replace(mark, control));
            match parts.last_mut().filter(|last| last.special && special) {
                Some(last) => last.text.push_str(&text),
                None => parts.push(Part { text, special }),
            }
        }
        Ok(parts)
    }

    fn stands_in(&self, text: &str) -> bool {
        self.pairs.iter().any(|(_, mark)| text.contains(mark))
    }
}

fn texts_in<'v>(value: &'v Value, texts: &mut Vec<&'v str>) {
    match value {
        Value::Text(text) => texts.push(text),
        Value::List(items) => items.iter().for_each(|item| texts_in(item, texts)),
        Value::Map(map) => {
            texts.extend(map.keys().map(|key| &**key));
            map.values().for_each(|item| texts_in(item, texts));
        }
        _ => {}
    }
}

fn with_text(value: &Value, text: &dyn Fn(&str) -> Arc<str>) -> Value {
    match value {
        Value::Text(own) => Value::Text(text(own)),
        Value::List(items) => Value::list(items.iter().map(|item| with_text(item, text)).collect()),
        Value::Map(map) => Value::map(with_texts(map, text)),
        other => other.clone(),
    }
}

fn with_texts(map: &Map, text: &dyn Fn(&str) -> Arc<str>) -> Map {
    map.iter().map(|(key, item)| (text(key), with_text(item, text))).collect()
}

fn longest_first(controls: &mut Vec<String>) {
    controls.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    controls.dedup();
}

/// The control tokens in `text`, and what is between them, in order.
fn split<'t>(text: &'t str, controls: &[String]) -> Vec<&'t str> {
    let mut pieces = Vec::new();
    let (mut start, mut at) = (0, 0);
    while let Some(character) = text[at..].chars().next() {
        match controls.iter().find(|control| text[at..].starts_with(control.as_str())) {
            Some(control) => {
                pieces.extend([&text[start..at], &text[at..at + control.len()]]);
                at += control.len();
                start = at;
            }
            None => at += character.len_utf8(),
        }
    }
    pieces.push(&text[start..]);
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::backend::Role;

    fn controls(text: &str) -> Result<Vec<String>, Error> {
        let all = ["<end>", "<bos>", "<end>x", "</think>"];
        Ok(all.iter().filter(|each| text.contains(**each)).map(ToString::to_string).collect())
    }

    fn hide(texts: &[&str]) -> (Placeholders, Vec<Message>) {
        let messages: Vec<_> = texts.iter().map(|text| Message::new(Role::User, *text)).collect();
        let (hidden, messages, _) = Placeholders::hide(&messages, &[], controls).unwrap();
        (hidden, messages)
    }

    fn part(text: &str, special: bool) -> Part {
        Part { text: text.into(), special }
    }

    #[test]
    fn control_tokens_in_a_message_are_text() {
        let (hidden, messages) = hide(&["a<end>b<end>x", "c"]);
        let prompt = format!("<bos>u:{}<end>u:{}<end>", &messages[0].content, &messages[1].content);
        assert_eq!(
            hidden.parts(&prompt, controls).unwrap(),
            [part("<bos>", true), part("u:a<end>b<end>x", false), part("<end>u:c<end>", true)]
        );
    }

    #[test]
    fn a_template_sees_thinking_marks_and_no_other_control_token() {
        let (_, messages) = hide(&["<bos>hm</think>a"]);
        assert!(messages[0].content.ends_with("hm</think>a"));
        assert!(!messages[0].content.contains("<bos>"));
    }

    #[test]
    fn a_prompt_without_them_stays_in_one_piece() {
        let (hidden, messages) = hide(&["\u{f0000}"]);
        assert_eq!(&*messages[0].content, "\u{f0000}");
        let prompt = "<bos>\u{f0000}<end>";
        assert_eq!(hidden.parts(prompt, controls).unwrap(), [part(prompt, true)]);
    }
}
