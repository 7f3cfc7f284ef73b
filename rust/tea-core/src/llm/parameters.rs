//! The parameters of the llm actions and of `settings.llm`, and what each allows.

use std::sync::Arc;

use super::backend::{ChatRequest, EmbedRequest};
use crate::redact::shorten;
use crate::value::json;
use crate::value::{Map, Value};
use crate::workflow::schema::LLM;

/// llama.cpp takes the next number for "any".
pub const MAX_SEED: u32 = u32::MAX - 1;

/// What a value must be.
#[derive(Clone, Copy)]
enum Rule {
    Whole(i128, Option<i128>),
    Number(u8, u8),
    Choice(&'static [&'static str]),
    Text,
    Name,
    Stop,
    Seconds,
    Messages,
    Texts,
    LowMemory,
}

impl Rule {
    fn allows(self, value: &Value) -> bool {
        let is_name = |value: &Value| value.as_text().is_some_and(|text| !text.is_empty());
        let full_list = || value.as_list().filter(|items| !items.is_empty());
        match self {
            Rule::Whole(least, most) => value
                .as_int()
                .is_some_and(|number| number >= least && most.is_none_or(|most| number <= most)),
            Rule::Number(least, most) => value
                .as_number()
                .is_some_and(|number| (f64::from(least)..=f64::from(most)).contains(&number)),
            Rule::Choice(words) => value.as_text().is_some_and(|text| words.contains(&text)),
            Rule::Text => value.as_text().is_some(),
            Rule::Name => is_name(value),
            Rule::Stop => {
                is_name(value) || value.as_list().is_some_and(|items| items.iter().all(is_name))
            }
            Rule::Seconds => {
                value.as_number().is_some_and(|seconds| seconds > 0.0 && seconds.is_finite())
            }
            Rule::LowMemory => matches!(value, Value::Bool(_)) || value.as_text() == Some("auto"),
            Rule::Messages => full_list().is_some_and(|items| items.iter().all(is_message)),
            Rule::Texts => {
                value.as_text().is_some()
                    || full_list().is_some_and(|items| items.iter().all(|i| i.as_text().is_some()))
            }
        }
    }

    fn words(self) -> String {
        match self {
            Rule::Whole(least, None) => format!("a whole number, {least} or more"),
            Rule::Whole(least, Some(most)) => format!("a whole number from {least} to {most}"),
            Rule::Number(least, most) => format!("a number from {least} to {most}"),
            Rule::Choice(words) => format!("one of {}", words.join(", ")),
            Rule::Text => "text".into(),
            Rule::Name => "text, not empty".into(),
            Rule::Stop => "text or a list of texts, none of them empty".into(),
            Rule::Seconds => "a number of seconds above 0".into(),
            Rule::Messages => "a list, not empty, of maps with role (system, user, assistant) \
                               and content (text)"
                .into(),
            Rule::Texts => "text or a list of texts, not empty".into(),
            Rule::LowMemory => "auto, true or false".into(),
        }
    }
}

fn is_message(value: &Value) -> bool {
    value.as_map().is_some_and(|map| {
        map.len() == 2
            && map
                .get("role")
                .and_then(Value::as_text)
                .is_some_and(|role| matches!(role, "system" | "user" | "assistant"))
            && map.get("content").is_some_and(|content| content.as_text().is_some())
    })
}

/// The parameters of a chat.
pub const CHAT: &[&str] = &[
    "messages",
    "prompt",
    "system",
    "temperature",
    "max_tokens",
    "max_completion_tokens",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "stop",
    "backend",
    "model",
    "timeout",
    "max_retries",
];
/// Those that `settings.llm` may give for all chats: every one but the text of a chat.
pub(crate) const CHAT_DEFAULTS: &[&str] = CHAT.split_at(2).1;
/// The parameters of an embedding.
pub const EMBED: &[&str] = &["text", "backend", "model", "timeout", "max_retries"];

fn rule(key: &str) -> Option<Rule> {
    Some(match key {
        "messages" => Rule::Messages,
        "prompt" | "system" => Rule::Text,
        "text" => Rule::Texts,
        "temperature" => Rule::Number(0, 2),
        "top_p" | "min_p" => Rule::Number(0, 1),
        "max_tokens" | "max_completion_tokens" | "n_ctx" | "n_threads" => Rule::Whole(1, None),
        "top_k" | "max_retries" => Rule::Whole(0, None),
        "seed" => Rule::Whole(0, Some(MAX_SEED as i128)),
        "n_gpu_layers" => Rule::Whole(-1, None),
        "low_memory" => Rule::LowMemory,
        "cache_type" => Rule::Choice(&["f16", "q8_0"]),
        "stop" => Rule::Stop,
        "backend" => Rule::Choice(&["local", "api", "auto"]),
        "provider" => Rule::Choice(&["openai", "ollama", "azure"]),
        "model" | "model_path" | "api_base" | "api_key" => Rule::Name,
        "timeout" => Rule::Seconds,
        _ => return None,
    })
}

fn problems(known: impl Fn(&str) -> bool, values: &Map) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    for (key, value) in values {
        let Some(rule) = rule(key).filter(|_| known(key)) else { continue };
        if !matches!(value, Value::Null) && !rule.allows(value) {
            found.push((&**key, format!("{key} must be {}, not {}", rule.words(), shown(value))));
        }
    }
    found
}

fn shown(value: &Value) -> String {
    shorten(&json::write(value, None), 60)
}

/// The key and the message of each parameter of a chat that is wrong. Null means not given.
#[must_use]
pub fn chat_problems(values: &Map) -> Vec<(&str, String)> {
    problems(|key| CHAT.contains(&key), values)
}

/// The same for an embedding.
#[must_use]
pub fn embed_problems(values: &Map) -> Vec<(&str, String)> {
    problems(|key| EMBED.contains(&key), values)
}

/// The same for `settings.llm`.
#[must_use]
pub fn settings_problems(values: &Map) -> Vec<(&str, String)> {
    problems(|key| LLM.known.contains(key), values)
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
}

/// Null for one of these means that an API is not sent it and chooses itself.
pub(crate) const UNSENT: [&str; 4] =
    ["temperature", "top_p", "max_tokens", "max_completion_tokens"];

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
    let fields = [
        ("temperature", first(&["temperature"])),
        ("top_p", first(&["top_p"])),
        ("max_tokens", limits),
    ];
    let number = |index: usize, default: f64| {
        fields[index].1.and_then(|(_, value)| value.as_number()).unwrap_or(default)
    };
    let is_null = |found: &Option<(&str, &Value)>| matches!(found, Some((_, Value::Null)));
    let unsent = fields.iter().filter(|(_, found)| is_null(found)).map(|(name, _)| *name);
    let limit = limits.and_then(|(_, value)| value.as_int());
    let seed = given.value("seed").and_then(Value::as_int);
    ChatRequest {
        messages: Vec::new(),
        prompt: None,
        temperature: number(0, 0.7),
        max_tokens: limit.and_then(|limit| u64::try_from(limit).ok()).unwrap_or(512),
        top_p: number(1, 0.95),
        top_k: given.count("top_k", 40),
        min_p: given.number("min_p", 0.05),
        seed: seed.and_then(|seed| u32::try_from(seed).ok()),
        stop,
        model: given.text("model"),
        timeout: given.number("timeout", 300.0),
        max_retries: given.count("max_retries", 0),
        unsent: unsent.collect(),
        limit_name: limits.map_or("max_tokens", |(name, _)| name),
    }
}

/// A request for vectors of `texts`.
#[must_use]
pub fn embedding(texts: Vec<Arc<str>>, params: &Map, settings: &Map) -> EmbedRequest {
    let given = Given(params, settings);
    EmbedRequest {
        texts,
        model: given.text("model"),
        timeout: given.number("timeout", 300.0),
        max_retries: given.count("max_retries", 0),
    }
}
