//! The texts that an OpenAI-compatible API sends, taken apart.
//!
//! Source: OpenAI's API reference: chat completions, streaming events, embeddings, errors.

use super::backend::{ChatReply, EmbedReply, FinishReason, OnText};
use crate::errors::{Error, Kind};
use crate::json;
use crate::text::quoted;
use crate::value::{Map, Value};

fn failed(message: impl Into<String>) -> Error {
    Error::new(Kind::Api, message)
}

/// The answer in `body`.
///
/// # Errors
/// `ApiError` when it has none.
pub fn chat_reply(body: &[u8], asked_model: &str) -> Result<ChatReply, Error> {
    let data = object(body)?;
    let choice = first_choice(&data)?;
    let content = choice.get("message").and_then(Value::as_map).and_then(|m| m.get("content"));
    let reason = finish_reason(choice)?;
    let Some(content) = content.and_then(Value::as_text) else {
        return Err(strange("an answer without a text", body));
    };
    let usage = data.get("usage");
    Ok(reply(content.into(), &data, asked_model, reason.unwrap_or(FinishReason::Stop), usage))
}

/// An answer whose pieces come as server-sent events.
#[derive(Default)]
pub struct Stream {
    line: Vec<u8>,
    after_return: bool,
    said: String,
    first: Option<Map>,
    usage: Option<Value>,
    reason: Option<FinishReason>,
    done: bool,
}

impl Stream {
    /// Take the next bytes; `on_text` gets each piece of the answer.
    ///
    /// # Errors
    /// `ApiError`: an error was sent, or something that is no answer.
    pub fn feed(&mut self, bytes: &[u8], on_text: OnText<'_>) -> Result<(), Error> {
        for byte in bytes {
            let ends_before = std::mem::replace(&mut self.after_return, *byte == b'\r');
            match byte {
                b'\n' if ends_before => {}
                b'\n' | b'\r' => self.end_of_line(on_text)?,
                other => self.line.push(*other),
            }
        }
        Ok(())
    }

    /// Whether the server has said that nothing follows.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// The whole answer.
    ///
    /// # Errors
    /// `ApiError`: the stream broke off before its end.
    pub fn finish(mut self, asked_model: &str, on_text: OnText<'_>) -> Result<ChatReply, Error> {
        self.end_of_line(on_text)?;
        let Some(reason) = self.reason else {
            return Err(failed("the API's stream broke off before the answer was complete"));
        };
        let first = self.first.unwrap_or_default();
        Ok(reply(self.said, &first, asked_model, reason, self.usage.as_ref()))
    }

    fn end_of_line(&mut self, on_text: OnText<'_>) -> Result<(), Error> {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        let Some(value) = line.strip_prefix("data:").filter(|_| !self.done) else { return Ok(()) };
        let value = crate::text::strip(value);
        if value == "[DONE]" {
            self.done = true;
            self.reason = self.reason.or(Some(FinishReason::Stop));
            return Ok(());
        }
        let data = object(value.as_bytes())?;
        if let Some(usage) = data.get("usage").filter(|usage| usage.is_true()) {
            self.usage = Some(usage.clone());
        }
        if data.get("choices").is_some_and(Value::is_true) {
            let choice = first_choice(&data)?;
            let delta = choice.get("delta").and_then(Value::as_map);
            let piece = delta.and_then(|delta| delta.get("content")).and_then(Value::as_text);
            if let Some(piece) = piece.filter(|piece| !piece.is_empty()) {
                self.said.push_str(piece);
                on_text(piece);
            }
            self.reason = finish_reason(choice)?.or(self.reason);
        }
        self.first.get_or_insert(data);
        Ok(())
    }
}

/// The `count` vectors in `body`.
///
/// # Errors
/// `ApiError` when it has not that many.
pub fn embed_reply(body: &[u8], asked_model: &str, count: usize) -> Result<EmbedReply, Error> {
    let data = object(body)?;
    let rows = data.get("data").and_then(Value::as_list).filter(|rows| rows.len() == count);
    let Some(rows) = rows else {
        return Err(strange(&format!("something other than {count} vectors"), body));
    };
    let mut vectors: Vec<Vec<f64>> = vec![Vec::new(); count];
    for (position, row) in rows.iter().enumerate() {
        let row = row.as_map();
        let numbers = row.and_then(|row| row.get("embedding")).and_then(Value::as_list);
        let index = match row.and_then(|row| row.get("index")) {
            Some(index) => index.as_int(),
            None => Some(position as i128),
        };
        let (Some(numbers), Some(index)) = (numbers.filter(|all| !all.is_empty()), index) else {
            return Err(strange("a vector without numbers", body));
        };
        let place = usize::try_from(index).ok().and_then(|index| vectors.get_mut(index));
        let numbers: Option<Vec<f64>> = numbers.iter().map(Value::as_number).collect();
        let (Some(place), Some(numbers)) = (place, numbers) else {
            return Err(strange("a vector that is none", body));
        };
        *place = numbers;
    }
    if vectors.iter().any(Vec::is_empty) {
        return Err(strange("the same vector twice", body));
    }
    Ok(EmbedReply {
        embeddings: vectors,
        model: model(&data, asked_model),
        tokens: tokens(data.get("usage"), "prompt_tokens"),
    })
}

/// What an error response says, in one line; nothing when it says nothing.
#[must_use]
pub fn error_text(body: &[u8]) -> String {
    match std::str::from_utf8(body).ok().and_then(|text| json::read(text).ok()) {
        Some(data) => data.as_map().and_then(error_in).unwrap_or_default(),
        None => one_line(&String::from_utf8_lossy(body)),
    }
}

fn one_line(text: &str) -> String {
    text.split(crate::text::is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn error_in(data: &Map) -> Option<String> {
    let error = data.get("error").filter(|error| error.is_true())?;
    let message = error.as_map().and_then(|map| map.get("message")).filter(|m| m.is_true());
    Some(one_line(&match message.unwrap_or(error) {
        Value::Text(text) => text.to_string(),
        other => json::write(other, None),
    }))
}

fn object(body: &[u8]) -> Result<Map, Error> {
    let text = std::str::from_utf8(body).ok();
    let Some(data) = text.and_then(|text| json::read(text).ok()) else {
        return Err(strange("something other than JSON", body));
    };
    let Value::Map(data) = data else { return Err(strange("JSON of another shape", body)) };
    match error_in(&data) {
        Some(message) => Err(failed(format!("the API answered with an error: {message}"))),
        None => Ok(std::sync::Arc::unwrap_or_clone(data)),
    }
}

fn first_choice(data: &Map) -> Result<&Map, Error> {
    let choices = data.get("choices").and_then(Value::as_list);
    let choice = choices.and_then(<[Value]>::first).and_then(Value::as_map);
    choice.ok_or_else(|| failed("the API sent a response without an answer"))
}

fn finish_reason(choice: &Map) -> Result<Option<FinishReason>, Error> {
    match choice.get("finish_reason") {
        None | Some(Value::Null) => Ok(None),
        Some(word) => match word.as_text() {
            Some("") => Ok(None),
            Some("stop") => Ok(Some(FinishReason::Stop)),
            Some("length") => Ok(Some(FinishReason::Length)),
            _ => {
                let shown = word.as_text().map_or_else(|| json::write(word, None), Into::into);
                Err(failed(format!("the API ended the answer for another reason: {shown}")))
            }
        },
    }
}

fn reply(
    content: String,
    data: &Map,
    asked_model: &str,
    finish_reason: FinishReason,
    usage: Option<&Value>,
) -> ChatReply {
    ChatReply {
        content,
        model: model(data, asked_model),
        finish_reason,
        prompt_tokens: tokens(usage, "prompt_tokens"),
        completion_tokens: tokens(usage, "completion_tokens"),
    }
}

fn model(data: &Map, asked: &str) -> String {
    let named = data.get("model").and_then(Value::as_text).filter(|name| !name.is_empty());
    named.unwrap_or(asked).into()
}

/// A number of tokens; 0 where a server does not count them.
fn tokens(usage: Option<&Value>, key: &str) -> u64 {
    let value = usage.and_then(Value::as_map).and_then(|usage| usage.get(key));
    value.and_then(Value::as_int).and_then(|number| u64::try_from(number).ok()).unwrap_or(0)
}

fn strange(what: &str, body: &[u8]) -> Error {
    let shown = one_line(&String::from_utf8_lossy(&body[..body.len().min(120)]));
    failed(format!("the API sent {what}: {}", quoted(&shown))).hint("is api_base right?")
}
