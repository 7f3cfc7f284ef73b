//! What an answer is held to: JSON, one of several texts, a pattern or a grammar.

use std::sync::Arc;

use crate::schema::validate;
use crate::spec::{JSON_PROMPT, SCHEMA_PROMPT};
use crate::value::{json, Value};

/// What an answer is held to.
#[derive(Debug, Clone)]
pub enum Shape {
    /// Any JSON map.
    JsonObject,
    /// JSON that this checked JSON Schema accepts; `schema::held::for_decoding` prepares it.
    JsonSchema(Value),
    /// One of several texts; none is empty or there twice.
    Choices(Vec<Arc<str>>),
    /// A text that the pattern, one of `schema::pattern::whole`, matches as a whole.
    Regex(Arc<str>),
    /// A text that follows a grammar in Lark's notation.
    Lark(Arc<str>),
}

impl Shape {
    /// Its key in a call, and its value there.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let text = |text: &Arc<str>| Value::Text(text.clone());
        let (key, value) = match self {
            Shape::JsonObject => {
                ("response_format", Value::record([("type", "json_object".into())]))
            }
            Shape::JsonSchema(schema) => ("schema", schema.clone()),
            Shape::Choices(texts) => ("choices", Value::list(texts.iter().map(text).collect())),
            Shape::Regex(pattern) => ("regex", text(pattern)),
            Shape::Lark(grammar) => ("grammar", text(grammar)),
        };
        Value::record([(key, value)])
    }

    /// What a model is told of it; None where that is nothing.
    #[must_use]
    pub fn told(&self) -> Option<String> {
        match self {
            Shape::JsonObject => Some(JSON_PROMPT.into()),
            Shape::JsonSchema(schema) => {
                Some(SCHEMA_PROMPT.replace("{schema}", &json::write(schema, None)))
            }
            _ => None,
        }
    }

    /// What an answer of this shape means.
    ///
    /// # Errors
    /// What it is instead.
    pub(super) fn data(&self, content: &str) -> Result<Value, String> {
        match self {
            Shape::Regex(pattern) if !validate::is_whole(pattern, content) => {
                Err("a text that the regex does not match".into())
            }
            Shape::Regex(_) | Shape::Lark(_) => Ok(Value::text(content)),
            Shape::Choices(texts) if texts.iter().any(|text| **text == *content) => {
                Ok(Value::text(content))
            }
            Shape::Choices(_) => Err("something other than one of the choices".into()),
            Shape::JsonObject | Shape::JsonSchema(_) => {
                let data = json::read(content)
                    .map_err(|error| format!("something other than JSON: {error}"))?;
                match (self, data.as_map()) {
                    (Shape::JsonObject, None) => Err("JSON that is no map".into()),
                    (Shape::JsonSchema(schema), _) => accepted(schema, data),
                    _ => Ok(data),
                }
            }
        }
    }
}

fn accepted(schema: &Value, data: Value) -> Result<Value, String> {
    let Some(error) = validate::errors(schema, &data).into_iter().next() else { return Ok(data) };
    let place = if error.path.is_empty() { "the whole of it" } else { &error.path };
    Err(format!("JSON that its schema does not accept: {place} {}", error.message))
}
