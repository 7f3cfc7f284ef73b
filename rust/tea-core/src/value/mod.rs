//! Values: JSON data, and what templates compute with besides.

pub mod json;
pub(crate) mod numbers;
pub(crate) mod text;

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use indexmap::IndexMap;

use crate::errors::{Error, Kind};
use crate::limits::{Budget, MAX_DEPTH, MAX_TEXT, MAX_VALUES};
use crate::spec::Number;
use crate::value::numbers::float_text;

/// A map with text keys, in the order written.
pub type Map = IndexMap<Arc<str>, Value>;

const GUARD: &str = "give it a value, or write: | default(...)";

/// JSON data. The last three kinds exist only inside a template: `to_data` removes them.
#[derive(Debug, Clone)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Text(Arc<str>),
    /// A list.
    List(Arc<Vec<Value>>),
    /// A map.
    Map(Arc<Map>),
    /// A path of a template that leads to null or to nothing.
    Absent(Arc<Absent>),
    /// What `groupby` gives: the pair of a `grouper` and its `list`.
    Group(Arc<Vec<Value>>),
    /// The `loop` of a `for`.
    Loop(Arc<Loop>),
}

/// A path that leads to null or to nothing. By itself it is null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// The path as messages name it.
    pub path: String,
    /// Whether there is a null at its end.
    pub null: bool,
    /// What to say instead of the path.
    pub message: Option<&'static str>,
}

impl Absent {
    /// The error of using it as a value.
    #[must_use]
    pub fn error(&self) -> Error {
        let state = if self.null { "null" } else { "missing" };
        Error::template(match self.message {
            Some(message) => message.to_string(),
            None => format!("{} is {state}", self.path),
        })
        .hint(GUARD)
    }
}

/// Where a `for` is. Counts from 0.
#[derive(Debug)]
pub struct Loop {
    pub(crate) index: AtomicUsize,
    pub(crate) items: Vec<Value>,
    /// What `loop.changed` was given last.
    pub(crate) last: Mutex<Option<Value>>,
}

impl Value {
    /// Text.
    pub fn text(text: impl AsRef<str>) -> Value {
        Value::Text(Arc::from(text.as_ref()))
    }

    /// A list.
    #[must_use]
    pub fn list(items: Vec<Value>) -> Value {
        Value::List(Arc::new(items))
    }

    /// A map.
    #[must_use]
    pub fn map(map: Map) -> Value {
        Value::Map(Arc::new(map))
    }

    /// A map of a few keys.
    #[must_use]
    pub fn record<const N: usize>(entries: [(&str, Value); N]) -> Value {
        Value::map(entries.into_iter().map(|(key, value)| (Arc::from(key), value)).collect())
    }

    pub(crate) fn missing(path: impl Into<String>) -> Value {
        Value::absent(path.into(), false)
    }

    pub(crate) fn null_at(path: impl Into<String>) -> Value {
        Value::absent(path.into(), true)
    }

    fn absent(path: String, null: bool) -> Value {
        Value::Absent(Arc::new(Absent { path, null, message: None }))
    }

    /// The text that this is.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The map that this is.
    #[must_use]
    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The elements of the list that this is.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Value::List(items) | Value::Group(items) => Some(items),
            _ => None,
        }
    }

    /// The whole number that this is.
    #[must_use]
    pub fn as_int(&self) -> Option<i128> {
        match self {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The number that this is, whole or not.
    #[must_use]
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Value::Int(number) => Some(*number as f64),
            Value::Float(number) => Some(*number),
            _ => None,
        }
    }

    /// The truth value that this is.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// Whether it is a number; truth values are not.
    #[must_use]
    pub fn is_number(&self) -> bool {
        matches!(self, Value::Int(_) | Value::Float(_))
    }

    /// Whether it is null; what is missing is not.
    #[must_use]
    pub fn is_null(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Absent(absent) => absent.null,
            _ => false,
        }
    }

    /// Whether it is null or missing.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Value::Null | Value::Absent(_))
    }

    /// The truth of `if`, `and`, `or` and `not`: empty and zero are false.
    #[must_use]
    pub fn is_true(&self) -> bool {
        match self {
            Value::Null | Value::Absent(_) => false,
            Value::Bool(truth) => *truth,
            Value::Int(number) => *number != 0,
            Value::Float(number) => *number != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::List(items) | Value::Group(items) => !items.is_empty(),
            Value::Map(map) => !map.is_empty(),
            Value::Loop(_) => true,
        }
    }

    /// The truth of the result of a condition: some words are false, too.
    #[must_use]
    pub fn truth(&self) -> bool {
        let Value::Text(text) = self else { return self.is_true() };
        !["", "false", "0", "no", "none", "null"]
            .contains(&crate::value::text::strip(text).to_lowercase().as_str())
    }

    /// Name the type for a message.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Value::Null => "null".into(),
            Value::Bool(_) => "a truth value".into(),
            Value::Int(_) => "a whole number".into(),
            Value::Float(_) => "a number".into(),
            Value::Text(_) => "text".into(),
            Value::List(_) | Value::Group(_) => "a list".into(),
            Value::Map(_) => "a map".into(),
            Value::Absent(absent) => absent.error().message,
            Value::Loop(_) => "a value of no type".into(),
        }
    }

    /// The value, which must be there.
    ///
    /// # Errors
    /// `TemplateError` where it is null or missing; `path` names a null.
    pub(crate) fn require(&self, path: &str) -> Result<&Value, Error> {
        match self {
            Value::Null => {
                let path = if path.is_empty() { "the value" } else { path };
                Err(Absent { path: path.into(), null: true, message: None }.error())
            }
            Value::Absent(absent) => Err(absent.error()),
            value => Ok(value),
        }
    }

    /// The text that stands for it inside a text.
    ///
    /// # Errors
    /// `TemplateError` where it is null or missing; `path` names a null.
    pub(crate) fn text_form(&self, path: &str, budget: &Budget) -> Result<Arc<str>, Error> {
        match self.require(path)? {
            Value::Text(text) => Ok(text.clone()),
            value => Ok(value.json_text(None, budget)?.into()),
        }
    }

    /// It as JSON: keys in their order, characters as they are.
    ///
    /// # Errors
    /// `TemplateError` for a part that JSON does not have, `LimitError` where it is too long.
    pub(crate) fn json_text(
        &self,
        indent: Option<usize>,
        budget: &Budget,
    ) -> Result<String, Error> {
        let data = self.to_data(None).map_err(|error| match error.kind {
            Kind::Action => Error { kind: Kind::Template, ..error },
            _ => error,
        })?;
        budget.check_text(least_length(&data, indent.unwrap_or(0), 0))?;
        let text = json::write(&data, indent);
        budget.check_text(text.chars().count())?;
        Ok(text)
    }

    /// A copy as JSON data: what is absent becomes null, `mask` is laid over all text.
    ///
    /// # Errors
    /// `ActionError` for a part that JSON does not have, `LimitError` where it is too large.
    pub fn to_data(&self, mask: Option<&dyn Mask>) -> Result<Value, Error> {
        Copier { mask, values: 0, characters: 0 }.copy(self, 0)
    }
}

/// The characters of the texts in JSON data, and of the spaces before its parts.
fn least_length(data: &Value, indent: usize, level: usize) -> usize {
    let parts = |count: usize, inner: usize| {
        let spaces = indent.saturating_mul((level + 1) * count + level);
        if count == 0 {
            0
        } else {
            spaces.saturating_add(inner)
        }
    };
    let inner = |part: &Value| least_length(part, indent, level + 1);
    let sum = |total: usize, length: usize| total.saturating_add(length);
    match data {
        Value::Text(text) => crate::value::text::length(text),
        Value::List(items) => parts(items.len(), items.iter().map(inner).fold(0, sum)),
        Value::Map(map) => parts(map.len(), map.values().map(inner).fold(0, sum)),
        _ => 0,
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Value {
        Value::Bool(truth)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::text(text)
    }
}

impl From<Number> for Value {
    fn from(number: Number) -> Value {
        match number {
            Number::Float(number) => Value::Float(number),
            Number::Int(number) => Value::Int(number.into()),
        }
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::text(text)
    }
}

/// Hides parts of texts.
pub trait Mask {
    /// `text` with what it hides replaced.
    fn text(&self, text: &str) -> Option<String>;
    /// Whether a number, written as `text`, is hidden as a whole.
    fn hides_number(&self, text: &str) -> bool;
    /// What stands in the place of a hidden value.
    fn mark(&self) -> Value;
}

/// Copies values as JSON data and counts what it copies.
struct Copier<'a> {
    mask: Option<&'a dyn Mask>,
    values: usize,
    characters: usize,
}

impl Copier<'_> {
    fn copy(&mut self, value: &Value, depth: usize) -> Result<Value, Error> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(Error::limit(format!("the value has more than {MAX_VALUES} parts")));
        }
        if depth > MAX_DEPTH {
            return Err(Error::limit(format!(
                "the value is nested deeper than {MAX_DEPTH} levels"
            )));
        }
        Ok(match value {
            Value::Null | Value::Absent(_) => Value::Null,
            Value::Bool(truth) => Value::Bool(*truth),
            Value::Int(number) => self.number(value, &number.to_string()),
            Value::Float(number) if number.is_finite() => self.number(value, &float_text(*number)),
            Value::Float(_) => {
                return Err(Error::action("infinity and not-a-number are not JSON data"));
            }
            Value::Text(text) => Value::Text(self.text(text)?),
            Value::List(items) | Value::Group(items) => {
                let copies: Result<Vec<_>, _> =
                    items.iter().map(|item| self.copy(item, depth + 1)).collect();
                Value::list(copies?)
            }
            Value::Map(map) => {
                let mut copies = Map::with_capacity(map.len());
                for (key, item) in map.iter() {
                    copies.insert(self.text(key)?, self.copy(item, depth + 1)?);
                }
                Value::map(copies)
            }
            Value::Loop(_) => {
                return Err(Error::action("a loop is not JSON data"));
            }
        })
    }

    fn number(&self, value: &Value, text: &str) -> Value {
        match self.mask {
            Some(mask) if mask.hides_number(text) => mask.mark(),
            _ => value.clone(),
        }
    }

    fn text(&mut self, text: &Arc<str>) -> Result<Arc<str>, Error> {
        let masked = self.mask.and_then(|mask| mask.text(text));
        let text = masked.map_or_else(|| text.clone(), Arc::from);
        self.characters += text.chars().count();
        let most = 10 * MAX_TEXT;
        if self.characters > most {
            return Err(Error::limit(format!("the value has more than {most} characters")));
        }
        Ok(text)
    }
}
