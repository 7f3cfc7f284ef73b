//! Which API a call asks: what it says itself, and `settings.llm`.

use crate::value::{Map, Value};

/// What chooses an API and its model.
pub(crate) const API: &[&str] = &["provider", "api_base", "api_key", "model"];
const SAME: &[(&str, &str)] =
    &[("default_model", "model"), ("deployment", "model"), ("endpoint", "api_base")];

/// `settings.llm` with what the call says of the API over it, one name for each.
///
/// A key is not sent to another provider than the one that it was written beside.
#[must_use]
pub fn api_settings(params: &Map, settings: &Map) -> Map {
    let concerns = |key: &str| API.contains(&key) || key == "deployment";
    let own = params.iter().filter(|(key, _)| concerns(key));
    let own = one_name(own.map(|(key, value)| (key.clone(), value.clone())).collect());
    let mut merged = one_name(settings.clone());
    let provider = |map: &Map| map.get("provider").and_then(Value::as_text).map(String::from);
    let others = provider(&merged).unwrap_or_else(|| "openai".into());
    if provider(&own).is_some_and(|provider| provider != others) {
        merged.shift_remove("api_base");
        merged.shift_remove("api_key");
    }
    merged.extend(own);
    merged
}

fn one_name(mut given: Map) -> Map {
    given.retain(|key, value| !API.contains(&&**key) || !value.is_null());
    for (name, first) in SAME {
        let value = given.shift_remove(*name).filter(|value| !value.is_null());
        if let Some(value) = value.filter(|_| *name == "deployment" || !given.contains_key(*first))
        {
            given.insert((*first).into(), value);
        }
    }
    if given.get("provider").and_then(Value::as_text) == Some("azure_openai") {
        given.insert("provider".into(), "azure".into());
    }
    given
}
