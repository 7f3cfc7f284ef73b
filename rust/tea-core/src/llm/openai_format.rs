//! The texts that an OpenAI-compatible API sends, taken apart.
//!
//! Source: OpenAI's API reference: chat completions, streaming events, embeddings, errors.

use std::collections::BTreeMap;

use super::backend::{ChatReply, EmbedReply, FinishReason, OnText, ToolCall};
use crate::errors::{Error, Kind};
use crate::redact::shorten;
use crate::value::json;
use crate::value::{Map, Value};

fn failed(message: impl Into<String>) -> Error {
    Error::new(Kind::Api, message)
}

/// Bytes of a reply.
pub const MAX_REPLY: usize = 64_000_000;
/// Of tokens; what is more is no count.
const MAX_COUNT: u64 = 1 << 53;
/// Characters of what is no answer.
const SHOWN: usize = 120;
/// Characters of an error's own text.
const SHOWN_ERROR: usize = 300;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// An answer as it comes: its beginning shows whether it is JSON or events.
#[derive(Default)]
pub struct Reply {
    body: Vec<u8>,
    size: usize,
    stream: Option<Stream>,
}

impl Reply {
    /// Take the next bytes; `on_text` gets each piece of an answer that comes as events.
    ///
    /// # Errors
    /// `ApiError`: an error was sent, something that is no answer, or too much.
    pub fn feed(&mut self, bytes: &[u8], on_text: OnText<'_>) -> Result<(), Error> {
        self.size += bytes.len();
        check_size(self.size)?;
        if let Some(stream) = &mut self.stream {
            return stream.feed(bytes, on_text);
        }
        let was_short = self.body.len() < "retry:".len();
        self.body.extend(bytes);
        if was_short {
            let start = self.body.strip_prefix(BOM).unwrap_or(&self.body).trim_ascii_start();
            self.body = start.to_vec();
            let begins = |name: &&str| self.body.starts_with(name.as_bytes());
            if ["data:", "event:", "id:", "retry:", ":"].iter().any(begins) {
                let mut stream = Stream::default();
                stream.feed(&std::mem::take(&mut self.body), on_text)?;
                self.stream = Some(stream);
            }
        }
        Ok(())
    }

    /// Whether the server has said that nothing follows.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.done)
    }

    /// The whole answer; `on_text` gets what it did not get yet.
    ///
    /// # Errors
    /// `ApiError`: there is no answer, or it broke off before its end.
    pub fn finish(self, asked_model: &str, on_text: OnText<'_>) -> Result<ChatReply, Error> {
        if let Some(stream) = self.stream {
            return stream.finish(asked_model, on_text);
        }
        let reply = chat_reply(&self.body, asked_model)?;
        if !reply.content.is_empty() {
            on_text(&reply.content);
        }
        Ok(reply)
    }
}

/// Refuse a reply of more bytes than one may have.
///
/// # Errors
/// `ApiError`.
pub fn check_size(bytes: usize) -> Result<(), Error> {
    match bytes > MAX_REPLY {
        true => Err(failed(format!("the API's reply is longer than {} MB", MAX_REPLY / 1_000_000))),
        false => Ok(()),
    }
}

fn chat_reply(body: &[u8], asked_model: &str) -> Result<ChatReply, Error> {
    let data = object(body)?;
    let choice = first_choice(&data)?;
    let message = choice.get("message").and_then(Value::as_map);
    let content = message.and_then(text_of);
    let mut more = More::default();
    message.into_iter().for_each(|message| more.take(message));
    let reason = finish_reason(choice)?;
    if content.as_ref().is_none_or(String::is_empty) {
        more.refuse_reasoning_alone(reason.as_ref())?;
    }
    let is_usual = matches!(reason, None | Some(FinishReason::Stop | FinishReason::Length));
    if content.is_none() && is_usual && more.calls.is_empty() {
        return Err(strange("an answer without a text", body));
    }
    let reason = reason.unwrap_or(FinishReason::Stop);
    let content = content.unwrap_or_default();
    more.added_to(reply(content, &data, asked_model, reason, data.get("usage")))
}

/// The text of a message or a delta, which may be in parts; None where it has none.
fn text_of(message: &Map) -> Option<String> {
    match message.get("content")? {
        Value::Text(text) => Some(text.to_string()),
        Value::List(parts) => {
            let part = |part: &Value| part.as_map()?.get("text")?.as_text().map(String::from);
            let texts: Vec<String> = parts.iter().filter_map(part).collect();
            (!texts.is_empty()).then(|| texts.concat())
        }
        _ => None,
    }
}

/// What an answer has beside its text, which comes whole or, in a stream, in pieces.
#[derive(Default)]
struct More {
    reasoning: String,
    /// Id, name and arguments of the calls of tools, by index.
    calls: BTreeMap<i128, [String; 3]>,
}

impl More {
    /// Take what a message has, or what a delta adds.
    fn take(&mut self, message: &Map) {
        // Either of the names in use.
        let names = ["reasoning_content", "reasoning"];
        let reasoning = names.iter().filter_map(|name| message.get(*name));
        let reasoning = reasoning.filter(|value| value.is_true()).find_map(Value::as_text);
        self.reasoning.push_str(reasoning.unwrap_or_default());
        let calls = message.get("tool_calls").and_then(Value::as_list).unwrap_or_default();
        for (position, call) in calls.iter().enumerate() {
            let call = call.as_map().cloned().unwrap_or_default();
            let function = call.get("function").and_then(Value::as_map).cloned();
            let function = function.unwrap_or_default();
            let index = call.get("index").and_then(Value::as_int).unwrap_or(position as i128);
            let parts = self.calls.entry(index).or_default();
            let given = [call.get("id"), function.get("name"), function.get("arguments")];
            for (part, value) in parts.iter_mut().zip(given) {
                part.push_str(value.and_then(Value::as_text).unwrap_or_default());
            }
        }
    }

    fn refuse_reasoning_alone(&self, reason: Option<&FinishReason>) -> Result<(), Error> {
        if self.reasoning.is_empty() || !self.calls.is_empty() {
            return Ok(());
        }
        let ended = reason.map(|word| format!(" and ended with {}", word.word()));
        let ended = ended.unwrap_or_default();
        Err(failed(format!("the API sent reasoning but no text{ended}"))
            .hint("raise max_tokens: reasoning counts, too"))
    }

    fn added_to(self, mut reply: ChatReply) -> Result<ChatReply, Error> {
        for (index, [id, name, arguments]) in self.calls {
            let text = if arguments.is_empty() { "{}" } else { &arguments };
            let read = json::read(text).map_err(|error| {
                let what = format!("something other than JSON: {error}");
                failed(format!("the model calls the tool \"{name}\" with {what}"))
            })?;
            let Some(arguments) = read.as_map().cloned() else {
                let what = "arguments that are no map";
                return Err(failed(format!("the model calls the tool \"{name}\" with {what}")));
            };
            let id = if id.is_empty() { format!("call_{}", index + 1) } else { id };
            reply.tool_calls.push(ToolCall { id: id.into(), name: name.into(), arguments });
        }
        if !reply.tool_calls.is_empty() && reply.finish_reason == FinishReason::Stop {
            reply.finish_reason = FinishReason::ToolCalls;
        }
        reply.reasoning = Some(self.reasoning).filter(|text| !text.is_empty());
        Ok(reply)
    }
}

/// An answer whose pieces come as server-sent events.
///
/// Source: HTML Standard, 9.2.6 (interpreting an event stream).
#[derive(Default)]
struct Stream {
    line: Vec<u8>,
    data: Vec<Vec<u8>>,
    after_return: bool,
    said: String,
    more: More,
    first: Option<Map>,
    usage: Option<Value>,
    reason: Option<FinishReason>,
    done: bool,
}

impl Stream {
    fn feed(&mut self, bytes: &[u8], on_text: OnText<'_>) -> Result<(), Error> {
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

    fn finish(mut self, asked_model: &str, on_text: OnText<'_>) -> Result<ChatReply, Error> {
        self.end_of_line(on_text)?;
        self.end_of_event(on_text)?;
        let Some(reason) = self.reason else {
            return Err(failed("the API's stream broke off before the answer was complete"));
        };
        if self.said.is_empty() {
            self.more.refuse_reasoning_alone(Some(&reason))?;
        }
        let first = self.first.unwrap_or_default();
        self.more.added_to(reply(self.said, &first, asked_model, reason, self.usage.as_ref()))
    }

    fn end_of_line(&mut self, on_text: OnText<'_>) -> Result<(), Error> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return self.end_of_event(on_text);
        }
        if let Some(value) = line.strip_prefix(b"data:") {
            self.data.push(value.to_vec());
        }
        Ok(())
    }

    fn end_of_event(&mut self, on_text: OnText<'_>) -> Result<(), Error> {
        let lines = std::mem::take(&mut self.data);
        let whole = lines.join(&b'\n');
        let is_json = |data: &[u8]| std::str::from_utf8(data).is_ok_and(|t| json::read(t).is_ok());
        if lines.len() > 1 && !is_json(&whole) {
            // Of a server that leaves out the empty lines.
            return lines.iter().try_for_each(|line| self.take(line, on_text));
        }
        self.take(&whole, on_text)
    }

    /// Take the data of one event; what comes after the end is passed over.
    fn take(&mut self, value: &[u8], on_text: OnText<'_>) -> Result<(), Error> {
        let value = value.trim_ascii();
        if self.done || value.is_empty() {
            return Ok(());
        }
        if value == b"[DONE]" {
            self.done = true;
            self.reason.get_or_insert(FinishReason::Stop);
            return Ok(());
        }
        let data = object(value)?;
        if let Some(usage) = data.get("usage").filter(|usage| usage.is_true()) {
            self.usage = Some(usage.clone());
        }
        if data.get("choices").is_some_and(Value::is_true) {
            let choice = first_choice(&data)?;
            let delta = choice.get("delta").and_then(Value::as_map);
            delta.into_iter().for_each(|delta| self.more.take(delta));
            if let Some(piece) = delta.and_then(text_of).filter(|piece| !piece.is_empty()) {
                self.said.push_str(&piece);
                on_text(&piece);
            }
            if let Some(reason) = finish_reason(choice)? {
                self.reason = Some(reason);
            }
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
        let numbers: Option<Vec<f64>> = numbers
            .iter()
            .map(|number| number.as_number().filter(|number| number.is_finite()))
            .collect();
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
    text.split(crate::value::text::is_space)
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
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
        Some(message) => {
            let message = shorten(&message, SHOWN_ERROR);
            Err(failed(format!("the API answered with an error: {message}")))
        }
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
            Some("tool_calls") => Ok(Some(FinishReason::ToolCalls)),
            Some(other) => Ok(Some(FinishReason::Other(other.into()))),
            None => {
                let shown = shorten(&json::write(word, None), SHOWN);
                let why = "the API ended the answer for a reason that is no text";
                Err(failed(format!("{why}: {shown}")))
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
        data: None,
        reasoning: None,
        tool_calls: Vec::new(),
    }
}

fn model(data: &Map, asked: &str) -> String {
    let named = data.get("model").and_then(Value::as_text).filter(|name| !name.is_empty());
    named.unwrap_or(asked).into()
}

/// A number of tokens; 0 where a server does not count them.
fn tokens(usage: Option<&Value>, key: &str) -> u64 {
    let value = usage.and_then(Value::as_map).and_then(|usage| usage.get(key));
    let value = value.and_then(Value::as_int).and_then(|number| u64::try_from(number).ok());
    value.filter(|count| *count <= MAX_COUNT).unwrap_or(0)
}

fn strange(what: &str, body: &[u8]) -> Error {
    // Far more than is shown, so that no secret is cut before it is masked.
    let text = String::from_utf8_lossy(&body[..body.len().min(1_000_000)]);
    let shown = shorten(&one_line(&text), SHOWN);
    failed(format!("the API sent {what}: {shown:?}")).hint("is api_base right?")
}
