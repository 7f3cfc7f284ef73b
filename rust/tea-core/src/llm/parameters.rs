//! The parameters of the llm actions and of `settings.llm`, and what each allows.

use std::sync::Arc;

use super::api_settings::api_settings;
use super::backend::{
    ChatRequest, DecideRequest, EmbedRequest, Message, Normalize, Role, ToolCall, ToolChoice,
};
use super::shape::Shape;
use super::tools;
use crate::schema::check::{self, Problem};
use crate::schema::{held, pattern};
use crate::spec::{self, Sampling};
use crate::value::{json, Map, Value};

/// llama.cpp takes the next number for "any".
pub const MAX_SEED: u32 = u32::MAX - 1;

/// What is wrong with the parameters of a chat. Null means not given.
#[must_use]
pub fn chat_problems(values: &Map) -> Vec<Problem> {
    let mut problems = with_paths(spec::CHAT.types.problems(values));
    if problems.is_empty() {
        problems.extend(shape_problems(values));
        problems.extend(tools::problems(values, &[]));
    }
    problems
}

/// The same for a decision.
#[must_use]
pub fn decide_problems(values: &Map) -> Vec<Problem> {
    with_paths(spec::DECIDE.types.problems(values))
}

/// The same for an embedding.
#[must_use]
pub fn embed_problems(values: &Map) -> Vec<Problem> {
    with_paths(spec::EMBED.types.problems(values))
}

/// The same for `settings.llm`.
#[must_use]
pub fn settings_problems(values: &Map) -> Vec<(&str, String)> {
    spec::LLM.known.problems(values)
}

pub(crate) fn with_paths(problems: Vec<(&str, String)>) -> Vec<Problem> {
    problems.into_iter().map(|(key, message)| (vec![key.into()], message)).collect()
}

/// What the call gives, or else the settings.
struct Given<'a>(&'a Map, &'a Map);

impl Given<'_> {
    fn value(&self, key: &str) -> Option<&Value> {
        let given = |map: &'_ Map| map.get(key).is_some_and(|v| !matches!(v, Value::Null));
        [self.0, self.1].into_iter().find(|map| given(map)).and_then(|map| map.get(key))
    }

    fn number(&self, key: &str, default: f64) -> f64 {
        self.value(key).and_then(Value::as_number).unwrap_or(default)
    }

    fn count(&self, key: &str, default: u64) -> u64 {
        let number = self.value(key).and_then(Value::as_int);
        number.and_then(|number| u64::try_from(number).ok()).unwrap_or(default)
    }

    fn text(&self, key: &str) -> Option<Arc<str>> {
        self.value(key).and_then(Value::as_text).map(Into::into)
    }

    fn flag(&self, key: &str) -> Option<bool> {
        self.value(key).and_then(Value::as_bool)
    }
}

const SHAPES: [&str; 5] = ["response_format", "schema", "choices", "regex", "grammar"];

/// What is wrong with the shapes in `values`, which are of the right types.
pub(crate) fn shape_problems(values: &Map) -> Vec<Problem> {
    let given = |key: &str| values.get(key).filter(|value| !value.is_null());
    let mut shapes = SHAPES.into_iter().filter(|key| given(key).is_some());
    let first = shapes.next().unwrap_or_default();
    let message = |key: &str| {
        let message = format!("{key}: the answer is held to {first} already; give one of the two");
        (vec![key.into()], message)
    };
    let mut problems: Vec<Problem> = shapes.map(message).collect();
    if let Some(schema) = given("schema") {
        problems.extend(schema_problems(schema, &["schema"], values));
    }
    let form = given("response_format").and_then(Value::as_map);
    if let Some(schema) = form.and_then(named_schema) {
        let place = ["response_format", "json_schema", "schema"];
        problems.extend(schema_problems(schema, &place, values));
    }
    if let Some(Err(why)) = given("regex").and_then(Value::as_text).map(pattern::whole) {
        problems.push((vec!["regex".into()], format!("regex: {why}")));
    }
    problems
}

fn schema_problems(schema: &Value, place: &[&str], values: &Map) -> Vec<Problem> {
    let is_local = values.get("backend").and_then(Value::as_text) != Some("api");
    check::labelled(held::answer_problems(schema, is_local), place)
}

/// The schema in a `response_format` of the type `json_schema`.
fn named_schema(form: &Map) -> Option<&Value> {
    let is_schema = form.get("type").and_then(Value::as_text) == Some("json_schema");
    let form = form.get("json_schema").filter(|_| is_schema)?;
    form.as_map()?.get("schema")
}

/// What checked parameters hold the answer to; None: free text.
fn shape(params: &Map) -> Option<Shape> {
    let text = |key: &str| params.get(key).and_then(Value::as_text).map(Arc::<str>::from);
    let form = params.get("response_format").and_then(Value::as_map);
    let word = form.and_then(|form| form.get("type")).and_then(Value::as_text);
    if word == Some("json_object") {
        return Some(Shape::JsonObject);
    }
    let schema = params.get("schema").filter(|schema| schema.as_map().is_some());
    if let Some(schema) = form.and_then(named_schema).or(schema) {
        return Some(Shape::JsonSchema(schema.clone()));
    }
    if let Some(choices) = params.get("choices").filter(|v| v.as_list().is_some()) {
        return Some(Shape::Choices(texts(choices)));
    }
    let pattern = text("regex").and_then(|text| pattern::whole(&text).ok());
    pattern.map(|pattern| Shape::Regex(pattern.into())).or_else(|| text("grammar").map(Shape::Lark))
}

fn texts(value: &Value) -> Vec<Arc<str>> {
    let items = value.as_list().unwrap_or_default();
    items.iter().filter_map(Value::as_text).map(Into::into).collect()
}

/// The message that a checked map describes.
#[must_use]
pub fn message(given: &Map) -> Option<Message> {
    let text = |key: &str| given.get(key).and_then(Value::as_text).map(Arc::<str>::from);
    let calls = given.get("tool_calls").and_then(Value::as_list).unwrap_or_default();
    Some(Message {
        role: Role::from_word(&text("role")?)?,
        content: text("content").unwrap_or_default(),
        tool_calls: calls.iter().filter_map(tool_call).collect(),
        tool_call_id: text("tool_call_id"),
        name: text("name"),
    })
}

fn tool_call(given: &Value) -> Option<ToolCall> {
    let function = tools::function(given)?;
    let name = function.get("name").and_then(Value::as_text)?;
    let arguments = match function.get("arguments")? {
        Value::Text(text) => json::read(text).ok()?,
        other => other.clone(),
    };
    Some(ToolCall {
        id: given.as_map()?.get("id")?.as_text()?.into(),
        name: name.into(),
        arguments: arguments.as_map()?.clone(),
    })
}

fn model(params: &Map, settings: &Map) -> Option<Arc<str>> {
    api_settings(params, settings).get("model").and_then(Value::as_text).map(Into::into)
}

/// A chat request without messages; the call's own parameters go before the settings.
#[must_use]
pub fn sampling(params: &Map, settings: &Map) -> ChatRequest {
    let given = Given(params, settings);
    let stop = match given.value("stop") {
        Some(Value::Text(one)) => vec![one.clone()],
        Some(other) => {
            let items = other.as_list().unwrap_or_default();
            items.iter().filter_map(Value::as_text).map(Into::into).collect()
        }
        None => Vec::new(),
    };
    // The call's own goes before the settings', null too.
    let first = |names: &[&'static str]| {
        [params, settings].into_iter().find_map(|map| {
            names.iter().find_map(|name| map.get(*name).map(|value| (*name, value)))
        })
    };
    let limits = first(&["max_completion_tokens", "max_tokens"]);
    let mut sampling = Sampling::default();
    let mut unsent = Vec::new();
    for (name, _) in sampling.fields() {
        let found = match name {
            "max_tokens" => limits.map(|(_, value)| value),
            _ if spec::SENT.contains(&name) => first(&[name]).map(|(_, value)| value),
            _ => given.value(name),
        };
        match found {
            Some(Value::Null) => unsent.push(name),
            Some(value) => {
                let whole = value.as_int().and_then(|number| u64::try_from(number).ok());
                sampling.set(name, value.as_number(), whole);
            }
            None if spec::SENT_WHERE_GIVEN.contains(&name) => unsent.push(name),
            None => {}
        }
    }
    let seed = given.value("seed").and_then(Value::as_int);
    ChatRequest {
        messages: Vec::new(),
        prompt: None,
        sampling,
        seed: seed.and_then(|seed| u32::try_from(seed).ok()),
        stop,
        model: model(params, settings),
        timeout: given.number("timeout", spec::LLM_TIMEOUT),
        max_retries: given.count("max_retries", spec::LLM_MAX_RETRIES),
        unsent,
        limit_name: limits.map_or("max_tokens", |(name, _)| name),
        shape: shape(params),
        tools: params
            .get("tools")
            .and_then(Value::as_list)
            .unwrap_or_default()
            .iter()
            .filter_map(tools::tool)
            .collect(),
        tool_choice: given
            .text("tool_choice")
            .map_or_else(Default::default, |word| ToolChoice::from_word(&word)),
        thinking: given.flag("thinking"),
        schema_options: schema_options(params).unwrap_or_default(),
    }
}

fn schema_options(params: &Map) -> Option<Map> {
    let form = params.get("response_format")?.as_map()?.get("json_schema")?.as_map()?;
    let options = form.iter().filter(|(key, _)| &***key != "schema");
    Some(options.map(|(key, value)| (key.clone(), value.clone())).collect())
}

/// Whether the model is told the schema that its answer is held to.
pub(crate) fn tells_schema(params: &Map, settings: &Map) -> bool {
    Given(params, settings).flag("schema_in_prompt") != Some(false)
}

/// A request to decide between texts, without messages.
#[must_use]
pub fn decision(params: &Map, settings: &Map) -> DecideRequest {
    let given = Given(params, settings);
    DecideRequest {
        messages: Vec::new(),
        prompt: None,
        choices: params.get("choices").map(texts).unwrap_or_default(),
        normalize: match params.get("normalize").and_then(Value::as_text) {
            Some("per_byte") => Normalize::PerByte,
            _ => Normalize::None,
        },
        thinking: given.flag("thinking"),
    }
}

/// A request for vectors of `texts`.
#[must_use]
pub fn embedding(texts: Vec<Arc<str>>, params: &Map, settings: &Map) -> EmbedRequest {
    let given = Given(params, settings);
    EmbedRequest {
        texts,
        model: model(params, settings),
        timeout: given.number("timeout", spec::LLM_TIMEOUT),
        max_retries: given.count("max_retries", spec::LLM_MAX_RETRIES),
    }
}
