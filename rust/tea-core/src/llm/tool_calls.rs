//! The tools that an answer calls, read from its text and checked.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use super::backend::{ChatReply, ChatRequest, FinishReason, OnText, ToolCall, ToolChoice};
use super::tool_form::{offered, ToolForm};
use crate::errors::{Error, Kind};
use crate::schema::validate;
use crate::value::text::strip;
use crate::value::{json, Map, Value};

const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";

/// A call that was not checked yet: name and arguments.
pub(super) type Named = (Arc<str>, Value);

/// A model's reply with the tools that its text calls, and without their text.
///
/// # Errors
/// `LimitError`: `max_tokens` cut a call, or the answer before the call that it must have.
/// `ModelError`: a call is damaged, of no tool that there is, or there is none.
pub fn read(form: ToolForm, request: &ChatRequest, reply: ChatReply) -> Result<ChatReply, Error> {
    if offered(request).is_empty() {
        return Ok(reply);
    }
    let was_cut = reply.finish_reason == FinishReason::Length;
    let found = match form {
        ToolForm::Hermes => hermes(&reply.content),
        ToolForm::Llama3 => llama3(&reply.content),
        ToolForm::Json => own(&reply.content),
    };
    let (content, found) = match found {
        Ok(found) => found,
        Err(_) if was_cut => return Err(cut(&reply)),
        Err(what) => {
            return Err(Error::new(Kind::Model, format!("the model calls a tool with {what}")))
        }
    };
    if was_cut && (!found.is_empty() || request.tool_choice != ToolChoice::Auto) {
        return Err(cut(&reply));
    }
    let earlier = request.messages.iter().flat_map(|message| &message.tool_calls);
    let mut taken: HashSet<String> = earlier.map(|call| call.id.to_string()).collect();
    let with_id = |(name, arguments)| {
        let mut number = taken.len() + 1;
        while taken.contains(&format!("call_{number}")) {
            number += 1;
        }
        let id = format!("call_{number}");
        taken.insert(id.clone());
        (id.into(), (name, arguments))
    };
    let calls = checked(request, found.into_iter().map(with_id).collect(), Kind::Model)?;
    if calls.is_empty() {
        return Ok(reply);
    }
    Ok(ChatReply { content, tool_calls: calls, finish_reason: FinishReason::ToolCalls, ..reply })
}

/// The calls of an answer, once they are of tools that the request has.
///
/// # Errors
/// `failure`: one is of another tool than it may be, its arguments are not such, or none is there
/// though one must be.
pub(super) fn checked(
    request: &ChatRequest,
    calls: Vec<(Arc<str>, Named)>,
    failure: Kind,
) -> Result<Vec<ToolCall>, Error> {
    let choice = &request.tool_choice;
    if calls.is_empty() && !matches!(choice, ToolChoice::Auto | ToolChoice::None) {
        let choice = choice.word();
        let message = format!("the model calls no tool, tool_choice is {choice}");
        return Err(Error::new(failure, message));
    }
    let check = |(id, (name, arguments)): (Arc<str>, Named)| {
        let wrong =
            |what: &str| Error::new(failure, format!("the model calls the tool \"{name}\"{what}"));
        let Some(tool) = request.tools.iter().find(|tool| tool.name == name) else {
            let names: Vec<&str> = request.tools.iter().map(|tool| &*tool.name).collect();
            let hint = format!("tools: {}", names.join(", "));
            return Err(wrong(", which is not there").hint(hint));
        };
        if matches!(choice, ToolChoice::Named(wanted) if *wanted != name) {
            return Err(wrong(&format!(", tool_choice is {}", choice.word())));
        }
        let Some(map) = arguments.as_map() else {
            return Err(wrong(" with arguments that are no map"));
        };
        if let Some(error) = validate::errors(&tool.parameters, &arguments).into_iter().next() {
            let place = if error.path.is_empty() { "the whole of it" } else { &error.path };
            let what = "with arguments that its parameters do not accept";
            return Err(wrong(&format!(" {what}: {place} {}", error.message)));
        }
        Ok(ToolCall { id, arguments: map.clone(), name })
    };
    calls.into_iter().map(check).collect()
}

/// Whether whole calls are of tools that the request has. Errors as `checked`.
pub(super) fn check(request: &ChatRequest, calls: &[ToolCall], failure: Kind) -> Result<(), Error> {
    let named = |call: &ToolCall| {
        (call.id.clone(), (call.name.clone(), Value::map(call.arguments.clone())))
    };
    checked(request, calls.iter().map(named).collect(), failure).map(drop)
}

/// Gives on an answer as it comes, without what is, or may become, the call of a tool.
pub struct TextBeforeCalls<'a> {
    form: ToolForm,
    on_text: OnText<'a>,
    text: RefCell<String>,
    shown: RefCell<usize>,
}

impl<'a> TextBeforeCalls<'a> {
    /// What can be shown is given to `on_text`.
    #[must_use]
    pub fn new(form: ToolForm, on_text: OnText<'a>) -> TextBeforeCalls<'a> {
        TextBeforeCalls { form, on_text, text: RefCell::default(), shown: RefCell::default() }
    }

    /// Take the next piece.
    pub fn feed(&self, piece: &str) {
        let mut text = self.text.borrow_mut();
        text.push_str(piece);
        let is_blank = strip(&text).is_empty();
        match self.form {
            ToolForm::Hermes => self.show(before_mark(&text).trim_end()),
            _ if !is_blank && !strip(&text).starts_with('{') => self.show(&text),
            _ => {}
        }
    }

    /// Give on the rest of the text beside the calls.
    pub fn finish(&self, content: &str) {
        self.show(content);
    }

    fn show(&self, text: &str) {
        let mut shown = self.shown.borrow_mut();
        if let Some(new) = text.get(*shown..).filter(|new| !new.is_empty()) {
            *shown = text.len();
            (self.on_text)(new);
        }
    }
}

/// The text up to the mark of a call, or up to what may be its beginning.
fn before_mark(text: &str) -> &str {
    if let Some((before, _)) = text.split_once(OPEN) {
        return before;
    }
    let begun = (1..OPEN.len()).rev().find(|length| text.ends_with(&OPEN[..*length]));
    &text[..text.len() - begun.unwrap_or(0)]
}

/// The text beside the calls and the calls, or what there is instead.
type Found = Result<(String, Vec<Named>), String>;

fn hermes(text: &str) -> Found {
    let (before, mut rest) = split(text);
    let mut beside = vec![before.trim_end().to_string()];
    let mut calls = Vec::new();
    while let Some(call) = rest {
        let (value, after) = first_json(call)?;
        calls.push(named(&value, "arguments")?);
        let (between, next) = split(after);
        beside.push(strip(between).into());
        rest = next;
    }
    beside.retain(|part| !part.is_empty());
    Ok((beside.join("\n"), calls))
}

fn split(text: &str) -> (&str, Option<&str>) {
    text.split_once(OPEN).map_or((text, None), |(before, rest)| (before, Some(rest)))
}

/// The JSON before a closing mark, which may be within its texts too, and the rest.
fn first_json(text: &str) -> Result<(Value, &str), String> {
    for (end, _) in text.match_indices(CLOSE) {
        if let Ok(value) = json::read(&text[..end]) {
            return Ok((value, &text[end + CLOSE.len()..]));
        }
    }
    Ok((any(text)?, ""))
}

fn llama3(text: &str) -> Found {
    let free = || Ok((text.to_string(), Vec::new()));
    let stripped = strip(text);
    if !stripped.starts_with('{') {
        return free();
    }
    let Ok(value) = json::read(stripped) else {
        return if begins(stripped, "\"name\"") {
            any(stripped).and_then(|_| free())
        } else {
            free()
        };
    };
    let is_call = |map: &Map| {
        let known = |key: &str| matches!(key, "type" | "name" | "parameters");
        map.contains_key("name")
            && map.contains_key("parameters")
            && map.keys().all(|key| known(key))
    };
    match value.as_map().is_some_and(is_call) {
        true => Ok((String::new(), vec![named(&value, "parameters")?])),
        false => free(),
    }
}

fn own(text: &str) -> Found {
    if !begins(strip(text), "\"tool_calls\"") {
        return Ok((text.into(), Vec::new()));
    }
    let value = any(text)?;
    let map = value.as_map().filter(|map| map.len() == 1);
    let calls = map.and_then(|map| map.get("tool_calls")).and_then(Value::as_list);
    let calls = calls.filter(|calls| !calls.is_empty()).ok_or("JSON of another shape")?;
    let calls: Result<_, _> = calls.iter().map(|call| named(call, "arguments")).collect();
    Ok((String::new(), calls?))
}

/// Whether `text` is a JSON map whose first key is `key`.
fn begins(text: &str, key: &str) -> bool {
    text.strip_prefix('{').is_some_and(|rest| rest.trim_start().starts_with(key))
}

fn any(text: &str) -> Result<Value, String> {
    json::read(text).map_err(|error| format!("something other than JSON: {error}"))
}

fn named(value: &Value, key: &str) -> Result<Named, String> {
    let map = value.as_map();
    let name = map.and_then(|map| map.get("name")).and_then(Value::as_text);
    let (Some(map), Some(name)) = (map, name) else {
        return Err("JSON that has no name".into());
    };
    let arguments = map.get(key).cloned().unwrap_or_else(|| Value::map(Map::new()));
    Ok((name.into(), arguments))
}

fn cut(reply: &ChatReply) -> Error {
    let tokens = reply.completion_tokens;
    Error::limit(format!(
        "max_tokens cut the answer after {tokens} tokens, before the call of a tool was complete"
    ))
    .hint("raise max_tokens")
}
