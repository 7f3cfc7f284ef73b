//! What keys and parameters take: each value is held to the type that the table gives its key.

use crate::redact::shorten;
use crate::schema::check::Problem;
use crate::spec::{Kind, Level, Parameters, Types, ValueType};
use crate::suggest::nearest;
use crate::value::{json, Map, Value};

impl ValueType {
    /// What is wrong with a value, if anything.
    pub(crate) fn wrong(&self, value: &Value) -> Option<String> {
        if self.has_kind(value) && self.in_range(value) {
            return None;
        }
        let mut message = format!("expected {}, got {}", self.expected, shown(value));
        if let Some(text) = value.as_text().filter(|_| !self.words.is_empty()) {
            let hint = nearest(text, self.words.iter().copied());
            if !hint.is_empty() {
                message = format!("{message}; {hint}");
            }
        }
        Some(message)
    }

    fn has_kind(&self, value: &Value) -> bool {
        let is_text = |value: &Value| value.as_text().is_some();
        let is_name = |value: &Value| value.as_text().is_some_and(|text| !text.is_empty());
        let all = |each: &dyn Fn(&Value) -> bool| {
            value.as_list().is_some_and(|items| items.iter().all(each))
        };
        let is_empty = || value.as_list().is_some_and(<[Value]>::is_empty);
        match self.kind {
            Kind::Text | Kind::Choice => is_text(value),
            Kind::Name => is_name(value),
            Kind::Flag => value.as_bool().is_some(),
            Kind::Auto => value.as_bool().is_some() || value.as_text() == Some("auto"),
            Kind::Whole => value.as_int().is_some(),
            Kind::Number => value.as_number().is_some_and(f64::is_finite),
            Kind::Texts => is_text(value) || all(&is_text),
            Kind::SomeTexts => is_text(value) || (all(&is_text) && !is_empty()),
            Kind::Names => is_name(value) || all(&is_name),
            Kind::Messages => all(&is_message) && !is_empty(),
            Kind::ResponseFormat => value.as_map().is_some_and(is_response_format),
            Kind::Schema | Kind::Map => value.as_map().is_some(),
            Kind::List => all(&|_| true),
            Kind::Choices => all(&is_name) && !is_empty() && !has_twice(value),
            Kind::Tools => all(&is_tool),
            // Shapes that their own readers know.
            _ => true,
        }
    }

    fn in_range(&self, value: &Value) -> bool {
        if let (Some(text), false) = (value.as_text(), self.words.is_empty()) {
            return self.words.contains(&text);
        }
        let Some(number) = value.as_number() else { return true };
        self.least.is_none_or(|least| number >= least)
            && self.most.is_none_or(|most| number <= most)
            && self.above.is_none_or(|above| number > above)
    }
}

impl Types {
    /// What this key takes.
    pub(crate) fn get(self, key: &str) -> Option<&'static ValueType> {
        self.0.iter().find(|(name, _)| *name == key).map(|(_, of)| of)
    }

    /// All keys.
    pub(crate) fn keys(self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|(name, _)| *name)
    }

    /// The key and the message of each value that its key does not take. Null is always allowed.
    pub(crate) fn problems(self, values: &Map) -> Vec<(&str, String)> {
        let given = values.iter().filter(|(_, value)| !matches!(value, Value::Null));
        let wrong = given.filter_map(|(key, value)| {
            let wrong = self.get(key)?.wrong(value)?;
            Some((&**key, format!("{key}: {wrong}")))
        });
        wrong.collect()
    }
}

impl Parameters {
    /// The same, and the parameters that must be there and are null.
    pub(crate) fn problems(&self, values: &Map) -> Vec<Problem> {
        let mut problems = self.types.problems(values);
        let required = self.required.iter().filter_map(|key| values.get_key_value(*key));
        let is_any = |key: &str| self.types.get(key).is_some_and(|of| of.kind == Kind::Any);
        let missing = required.filter(|(key, value)| value.is_null() && !is_any(key));
        problems.extend(missing.map(|(key, _)| (&**key, format!("{key} is missing"))));
        problems.into_iter().map(|(key, message)| (vec![key.into()], message)).collect()
    }
}

impl Level {
    /// Whether this level has the key.
    pub(crate) fn knows(&self, key: &str) -> bool {
        self.known.get(key).is_some()
    }
}

fn is_message(value: &Value) -> bool {
    let Some(map) = value.as_map() else { return false };
    let role = map.get("role").and_then(Value::as_text);
    let keys: &[&str] = match role {
        Some("system" | "user") => &["role", "content"],
        Some("assistant") => &["role", "content", "tool_calls"],
        Some("tool") => &["role", "content", "tool_call_id", "name"],
        _ => return false,
    };
    let given = |key: &str| map.get(key).filter(|value| !matches!(value, Value::Null));
    let calls = given("tool_calls").map(|calls| calls.as_list().unwrap_or_default());
    let calls_well = given("tool_calls")
        .is_none_or(|calls| calls.as_list().is_some_and(|all| all.iter().all(is_tool_call)));
    let says = match given("content") {
        Some(content) => content.as_text().is_some(),
        None => calls.is_some_and(|calls| !calls.is_empty()),
    };
    map.keys().all(|key| keys.contains(&&**key))
        && says
        && calls_well
        && (role != Some("tool") || given("tool_call_id").is_some_and(is_name))
        && given("name").is_none_or(is_name)
}

fn is_name(value: &Value) -> bool {
    value.as_text().is_some_and(|text| !text.is_empty())
}

/// The map with the name of a tool, of its own or in OpenAI's form.
fn function(value: &Value) -> Option<&Map> {
    let map = value.as_map()?;
    let own = match map.get("type").and_then(Value::as_text) {
        Some("function") => map.get("function")?.as_map()?,
        _ => map,
    };
    own.get("name").is_some_and(is_name).then_some(own)
}

fn is_tool_call(value: &Value) -> bool {
    let Some(function) = function(value) else { return false };
    let id = value.as_map().and_then(|map| map.get("id"));
    let arguments = match function.get("arguments") {
        Some(Value::Text(text)) => json::read(text).ok(),
        other => other.cloned(),
    };
    id.is_some_and(is_name) && arguments.is_some_and(|value| value.as_map().is_some())
}

fn is_tool(value: &Value) -> bool {
    function(value).is_some_and(|function| {
        function.get("description").is_none_or(|text| text.as_text().is_some())
            && function.get("parameters").is_none_or(|schema| schema.as_map().is_some())
    })
}

fn is_response_format(map: &Map) -> bool {
    match map.get("type").and_then(Value::as_text) {
        Some("text" | "json_object") => true,
        Some("json_schema") => {
            let form = map.get("json_schema").and_then(Value::as_map);
            form.and_then(|form| form.get("schema")).is_some_and(|schema| schema.as_map().is_some())
        }
        _ => false,
    }
}

fn has_twice(texts: &Value) -> bool {
    let texts: Vec<_> = texts.as_list().unwrap_or_default().iter().map(Value::as_text).collect();
    texts.iter().enumerate().any(|(number, text)| texts[..number].contains(text))
}

fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) if text.chars().count() <= 40 => format!("\"{text}\""),
        Value::Text(_) => "a text".into(),
        other => shorten(&json::write(other, None), 60),
    }
}
