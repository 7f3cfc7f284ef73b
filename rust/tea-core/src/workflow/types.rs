//! What keys and parameters take: each value is held to the type that the table gives its key.

use crate::redact::shorten;
use crate::spec::{Kind, Level, Types, ValueType};
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

impl Level {
    /// Whether this level has the key.
    pub(crate) fn knows(&self, key: &str) -> bool {
        self.known.get(key).is_some()
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

fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) if text.chars().count() <= 40 => format!("\"{text}\""),
        Value::Text(_) => "a text".into(),
        other => shorten(&json::write(other, None), 60),
    }
}
