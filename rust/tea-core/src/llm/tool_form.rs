//! How a model writes the calls of tools, and what it is told of them.
//!
//! A chat template that knows tools is given them, calls and results as they are, and has one of
//! two forms (Hermes, which Qwen shares, and Llama 3). Every other model is told in the system
//! text, and answers in a form of our own.
//!
//! Source: Hugging Face's documentation of tool use in chat templates; Llama 3.1's prompt format.

use std::collections::HashMap;
use std::sync::Arc;

use super::backend::{ChatRequest, Message, Role, Tool, ToolCall, ToolChoice};
use crate::spec::{TOOLS_PROMPT, TOOL_RESULT_PROMPT};
use crate::value::{json, Value};

/// The text of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolForm {
    /// `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, several.
    Hermes,
    /// `{"name": …, "parameters": {…}}`, one.
    Llama3,
    /// `{"tool_calls": [{"name": …, "arguments": {…}}]}`.
    Json,
}

/// Calls between the same marks that are no JSON: of Qwen3-Coder, and of GLM.
const NO_JSON: [&str; 3] = ["<function=", "<arg_key>", "<parameter="];

impl ToolForm {
    /// The form of this name: hermes, llama3 or json.
    #[must_use]
    pub fn from_word(word: &str) -> Option<ToolForm> {
        match word {
            "hermes" => Some(ToolForm::Hermes),
            "llama3" => Some(ToolForm::Llama3),
            "json" => Some(ToolForm::Json),
            _ => None,
        }
    }

    /// Its name.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            ToolForm::Hermes => "hermes",
            ToolForm::Llama3 => "llama3",
            ToolForm::Json => "json",
        }
    }

    /// The form that a chat template asks its model for.
    #[must_use]
    pub fn of_template(source: &str) -> ToolForm {
        let has = |mark: &str| source.contains(mark);
        if !names(source, "tools") || NO_JSON.into_iter().any(has) {
            return ToolForm::Json;
        }
        if has("<tool_call>") && has("</tool_call>") && has("arguments") {
            return ToolForm::Hermes;
        }
        // The role of a tool's result in Llama 3 is ipython.
        let begins_call = has("{\"name") || has("{\\\"name");
        match has("ipython") && begins_call && has("\"parameters") {
            true => ToolForm::Llama3,
            false => ToolForm::Json,
        }
    }

    /// The tools for the chat template; none where it is not the one to write them.
    #[must_use]
    pub fn template_tools(self, tools: &[Tool]) -> Vec<Value> {
        match self {
            ToolForm::Json => Vec::new(),
            _ => tools.iter().map(framed).collect(),
        }
    }

    /// The conversation for the chat template: in our own form it has no tools left.
    #[must_use]
    pub fn messages(self, given: &[Message], tools: &[Tool]) -> Vec<Message> {
        if self != ToolForm::Json {
            return given.to_vec();
        }
        let mut told: Vec<Message> = Vec::new();
        let mut names = HashMap::new();
        let mut after_result = false;
        for message in given {
            names.extend(message.tool_calls.iter().map(|call| (&call.id, &call.name)));
            let said = as_text(message, &names);
            let is_result = message.role == Role::Tool;
            // Most templates want user and assistant in turns.
            let joins = said.role == Role::User && (is_result || after_result);
            match told.last_mut().filter(|last| joins && last.role == Role::User) {
                Some(last) => last.content = format!("{}\n\n{}", last.content, said.content).into(),
                None => told.push(said),
            }
            after_result = is_result;
        }
        if !tools.is_empty() {
            let lines: Vec<_> =
                tools.iter().map(|tool| json::write(&tool.to_value(), None)).collect();
            let mut prompt = TOOLS_PROMPT.replace("{tools}", &lines.join("\n"));
            if told.first().is_some_and(|first| first.role == Role::System) {
                prompt = format!("{}\n\n{prompt}", told.remove(0).content);
            }
            told.insert(0, Message::new(Role::System, prompt));
        }
        told
    }
}

/// The tools that the model may call.
#[must_use]
pub fn offered(request: &ChatRequest) -> &[Tool] {
    match request.tool_choice {
        ToolChoice::None => &[],
        _ => &request.tools,
    }
}

/// A tool in OpenAI's frame, as chat templates and APIs take it.
#[must_use]
pub fn framed(tool: &Tool) -> Value {
    Value::record([("type", "function".into()), ("function", tool.to_value())])
}

/// A call as chat templates take it.
#[must_use]
pub fn framed_call(call: &ToolCall) -> Value {
    let function = Value::record([
        ("name", Value::Text(call.name.clone())),
        ("arguments", Value::map(call.arguments.clone())),
    ]);
    Value::record([
        ("type", "function".into()),
        ("id", Value::Text(call.id.clone())),
        ("function", function),
    ])
}

/// Whether `source` has `name` as a word.
fn names(source: &str, name: &str) -> bool {
    let is_part = |sign: char| sign.is_alphanumeric() || sign == '_';
    source.match_indices(name).any(|(at, _)| {
        !source[..at].ends_with(is_part) && !source[at + name.len()..].starts_with(is_part)
    })
}

/// A message with its calls, or with a tool's result, as a text.
fn as_text(message: &Message, names: &HashMap<&Arc<str>, &Arc<str>>) -> Message {
    if !message.tool_calls.is_empty() {
        let calls = message.tool_calls.iter().map(|call| {
            let arguments = Value::map(call.arguments.clone());
            Value::record([("name", Value::Text(call.name.clone())), ("arguments", arguments)])
        });
        let calls = Value::record([("tool_calls", Value::list(calls.collect()))]);
        let text = json::write(&calls, None);
        let content = match message.content.is_empty() {
            true => text,
            false => format!("{}\n{text}", message.content),
        };
        return Message::new(message.role, content);
    }
    if message.role != Role::Tool {
        return message.clone();
    }
    let asked = message.tool_call_id.clone().unwrap_or_default();
    let name = message.name.as_ref().or_else(|| names.get(&asked).copied()).unwrap_or(&asked);
    let text = TOOL_RESULT_PROMPT.replace("{name}", name);
    let (head, tail) = text.split_once("{content}").unwrap_or((&text, ""));
    Message::new(Role::User, format!("{head}{}{tail}", message.content))
}
