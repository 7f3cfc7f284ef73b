//! What an OpenAI-compatible API is asked: messages, tools and formats in its own words.
//!
//! Source: OpenAI's API reference: chat completions, structured outputs, function calling.

use super::backend::{ChatRequest, Message, ToolCall, ToolChoice};
use super::shape::Shape;
use super::tool_form::framed;
use crate::errors::Error;
use crate::value::{json, Map, Value};

/// Of a schema that has none.
const NAME: &str = "answer";
/// The key of the map that a choice is sent in.
const CHOICE: &str = "choice";

/// A message as an API takes it.
pub(super) fn message(message: &Message) -> Value {
    let content = || Value::Text(message.content.clone());
    let has_calls = !message.tool_calls.is_empty();
    let said = if has_calls && message.content.is_empty() { Value::Null } else { content() };
    let mut fields = vec![("role", message.role.word().into()), ("content", said)];
    if has_calls {
        let calls = message.tool_calls.iter().map(call).collect();
        fields.push(("tool_calls", Value::list(calls)));
    }
    fields.extend(message.tool_call_id.clone().map(|id| ("tool_call_id", Value::Text(id))));
    map(fields)
}

fn call(call: &ToolCall) -> Value {
    let arguments = json::write(&Value::map(call.arguments.clone()), None);
    let function = [("name", Value::Text(call.name.clone())), ("arguments", arguments.into())];
    Value::record([
        ("id", Value::Text(call.id.clone())),
        ("type", "function".into()),
        ("function", Value::record(function)),
    ])
}

/// The fields that hold the answer to a shape, and the tools.
///
/// # Errors
/// `ActionError`: no API holds an answer to such a shape.
pub(super) fn form(request: &ChatRequest) -> Result<Vec<(&'static str, Value)>, Error> {
    let mut fields = Vec::new();
    if let Some(shape) = &request.shape {
        fields.push(("response_format", response_format(shape, &request.schema_options)?));
    }
    if request.tools.is_empty() {
        return Ok(fields);
    }
    fields.push(("tools", Value::list(request.tools.iter().map(framed).collect())));
    match &request.tool_choice {
        ToolChoice::Auto => {}
        ToolChoice::Named(name) => {
            let function = Value::record([("name", Value::Text(name.clone()))]);
            let named = [("type", "function".into()), ("function", function)];
            fields.push(("tool_choice", Value::record(named)));
        }
        other => fields.push(("tool_choice", other.word().into())),
    }
    Ok(fields)
}

/// The choice in an answer: in a map, or as it is where the API knows no formats.
pub(super) fn choice_in(content: String) -> String {
    let data = json::read(&content).ok();
    let choice = data.as_ref().and_then(Value::as_map).and_then(|map| map.get(CHOICE));
    choice.and_then(Value::as_text).map_or(content, Into::into)
}

fn response_format(shape: &Shape, options: &Map) -> Result<Value, Error> {
    let named = match shape {
        Shape::JsonObject => return Ok(Value::record([("type", "json_object".into())])),
        Shape::JsonSchema(schema) => {
            let mut named = Map::new();
            named.insert("name".into(), NAME.into());
            named.extend(options.clone());
            named.insert("schema".into(), schema.clone());
            Value::map(named)
        }
        Shape::Choices(texts) => {
            let texts = texts.iter().cloned().map(Value::Text).collect();
            let text = [("type", "string".into()), ("enum", Value::list(texts))];
            let schema = Value::record([
                ("type", "object".into()),
                ("properties", Value::record([(CHOICE, Value::record(text))])),
                ("required", Value::list(vec![CHOICE.into()])),
                ("additionalProperties", false.into()),
            ]);
            Value::record([("name", CHOICE.into()), ("strict", true.into()), ("schema", schema)])
        }
        Shape::Regex(_) | Shape::Lark(_) => {
            let name = if matches!(shape, Shape::Regex(_)) { "regex" } else { "grammar" };
            let message = format!("an API cannot hold an answer to a {name}");
            return Err(Error::action(message).hint("set backend: local, or use schema or choices"));
        }
    };
    Ok(Value::record([("type", "json_schema".into()), ("json_schema", named)]))
}

fn map(fields: Vec<(&str, Value)>) -> Value {
    Value::map(fields.into_iter().map(|(key, value)| (key.into(), value)).collect())
}
