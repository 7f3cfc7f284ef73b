//! The parameters of the llm actions and of `settings.llm`, and what each allows.

use std::sync::Arc;

use super::backend::{ChatRequest, EmbedRequest};
use crate::spec::{self, Sampling};
use crate::value::{Map, Value};

/// llama.cpp takes the next number for "any".
pub const MAX_SEED: u32 = u32::MAX - 1;

/// The key and the message of each parameter of a chat that is wrong. Null means not given.
#[must_use]
pub fn chat_problems(values: &Map) -> Vec<(&str, String)> {
    spec::CHAT.types.problems(values)
}

/// The same for an embedding.
#[must_use]
pub fn embed_problems(values: &Map) -> Vec<(&str, String)> {
    spec::EMBED.types.problems(values)
}

/// The same for `settings.llm`.
#[must_use]
pub fn settings_problems(values: &Map) -> Vec<(&str, String)> {
    spec::LLM.known.problems(values)
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
    let mut sampling = Sampling::default();
    for (name, _) in sampling.fields().iter().filter(|(name, _)| !spec::UNSENT.contains(name)) {
        if let Some(value) = given.value(name) {
            sampling.set(name, value);
        }
    }
    for (name, found) in &fields {
        if let Some((_, value)) = found {
            sampling.set(name, value);
        }
    }
    let is_null = |found: &Option<(&str, &Value)>| matches!(found, Some((_, Value::Null)));
    let unsent = fields.iter().filter(|(_, found)| is_null(found)).map(|(name, _)| *name);
    let seed = given.value("seed").and_then(Value::as_int);
    ChatRequest {
        messages: Vec::new(),
        prompt: None,
        sampling,
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
