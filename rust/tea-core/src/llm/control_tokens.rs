//! Control tokens in message texts, which are text to the model and begin or end no turn.
//!
//! A chat template writes control tokens such as `<|im_end|>`. Where a message has the same
//! letters, a placeholder stands for them while the template is rendered, and what the template
//! makes of that stretch is tokenized as plain text.

use super::backend::Message;
use crate::errors::Error;

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

/// Stands in for the control tokens in the texts of a conversation.
pub struct Placeholders {
    pairs: Vec<(String, String)>, // control token and placeholder, the longest token first
}

impl Placeholders {
    /// Hide the control tokens of `messages`; `control_texts` are those that a text has in it.
    ///
    /// # Errors
    /// Those of `control_texts`.
    pub fn hide(
        messages: &[Message],
        control_texts: impl Fn(&str) -> Result<Vec<String>, Error>,
    ) -> Result<(Placeholders, Vec<Message>), Error> {
        let mut hidden = Vec::new();
        for message in messages {
            hidden.extend(control_texts(&message.content)?);
        }
        hidden.retain(|control| {
            let small = control.to_lowercase();
            !THINKING.iter().any(|mark| small.contains(mark))
        });
        longest_first(&mut hidden);
        let is_used = |mark: &char| messages.iter().any(|each| each.content.contains(*mark));
        let spare = (PRIVATE_USE..=char::MAX).filter(|mark| !is_used(mark));
        let pairs: Vec<_> = hidden.into_iter().zip(spare.map(String::from)).collect();
        let messages = messages.iter().map(|each| {
            let replaced = pairs.iter().fold(each.content.to_string(), |text, (control, mark)| {
                text.replace(control, mark)
            });
            Message { content: replaced.into(), ..each.clone() }
        });
        let messages = messages.collect();
        Ok((Placeholders { pairs }, messages))
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
        Placeholders::hide(&messages, controls).unwrap()
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
