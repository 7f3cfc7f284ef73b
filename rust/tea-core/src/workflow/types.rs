//! The kinds of values that keys take: each says what it expects where a value does not fit.

use crate::suggest::nearest;
use crate::value::numbers::float_text;
use crate::value::Value;

/// What a key takes.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Text that is not empty.
    Text,
    /// Text, or nothing.
    OptionalText,
    /// `true` or `false`.
    Flag,
    /// Text or a list of texts.
    Texts,
    /// A whole number from the first to the second.
    Whole(i128, Option<i128>),
    /// A number from this on.
    Number(u8),
    /// One of the words.
    Choice(&'static [&'static str]),
}

impl Kind {
    /// What is wrong with a value, if anything.
    pub fn wrong(self, value: &Value) -> Option<String> {
        let is_text = value.as_text().is_some();
        let fits = match self {
            Kind::Text => value.as_text().is_some_and(|text| !text.is_empty()),
            Kind::OptionalText => is_text || matches!(value, Value::Null),
            Kind::Flag => value.as_bool().is_some(),
            Kind::Texts => {
                let all_texts = |items: &[Value]| items.iter().all(|i| i.as_text().is_some());
                is_text || value.as_list().is_some_and(all_texts)
            }
            Kind::Whole(least, most) => value
                .as_int()
                .is_some_and(|number| number >= least && most.is_none_or(|most| number <= most)),
            Kind::Number(least) => value
                .as_number()
                .is_some_and(|number| number.is_finite() && number >= f64::from(least)),
            Kind::Choice(words) => value.as_text().is_some_and(|text| words.contains(&text)),
        };
        if fits {
            return None;
        }
        let mut message = format!("expected {}, got {}", self.words(), shown(value));
        if let (Kind::Choice(words), Some(text)) = (self, value.as_text()) {
            let hint = nearest(text, words.iter().copied());
            if !hint.is_empty() {
                message = format!("{message}; {hint}");
            }
        }
        Some(message)
    }

    fn words(self) -> String {
        match self {
            Kind::Text | Kind::OptionalText => "text".into(),
            Kind::Flag => "true or false".into(),
            Kind::Texts => "text or a list of texts".into(),
            Kind::Whole(least, None) => format!("a whole number from {least} on"),
            Kind::Whole(least, Some(most)) => format!("a whole number from {least} to {most}"),
            Kind::Number(least) => format!("a number from {least} on"),
            Kind::Choice(words) => format!("one of {}", words.join(", ")),
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) if text.chars().count() <= 40 => format!("\"{text}\""),
        Value::Text(_) => "a text".into(),
        Value::Bool(truth) => truth.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => float_text(*number),
        other => other.describe(),
    }
}

pub(crate) const ERROR_HANDLING: &[(&str, Kind)] = &[
    ("mode", Kind::Choice(&["raise", "graceful", "retry"])),
    ("max_retries", Kind::Whole(0, None)),
    ("retry_delay", Kind::Number(0)),
    ("backoff_multiplier", Kind::Number(1)),
    ("retryable_errors", Kind::Texts),
    ("fallback", Kind::Text),
];
pub(crate) const RETRY: &[(&str, Kind)] = &[
    ("max_retries", Kind::Whole(0, None)),
    ("base_delay_ms", Kind::Number(0)),
    ("max_delay_ms", Kind::Number(0)),
    ("backoff_multiplier", Kind::Number(1)),
    ("jitter", Kind::Flag),
];
pub(crate) const MAX_ITERATIONS: Kind = Kind::Whole(1, None);
