//! YAML text into values that know their place in the file.
//!
//! The language is one document of YAML 1.2 with the core schema (`yes` and `on` are text) and
//! merge keys. saphyr gives the events; the schema, duplicate keys and the limits are decided here.

use std::rc::Rc;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::errors::Location;
use crate::value::json;
use crate::value::{Map, Value};

/// A value with its place. `size` is that of its source, in bytes.
#[derive(Debug)]
pub struct Node {
    /// Where it begins.
    pub place: Location,
    /// The value.
    pub kind: NodeKind,
    pub(crate) size: usize,
}

/// The three kinds of values.
#[derive(Debug)]
pub enum NodeKind {
    /// Text, a number, a truth value or null.
    Scalar {
        /// The value.
        value: Value,
        /// Whether it is a block text (`|`), whose first line is the one after its place.
        literal: bool,
    },
    /// A sequence.
    Sequence(Vec<Rc<Node>>),
    /// A mapping.
    Mapping(Mapping),
}

/// One key of a table, with the place of the key, and its value.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key.
    pub key: Arc<str>,
    /// The place of the key.
    pub place: Location,
    /// The value.
    pub value: Rc<Node>,
}

/// The entries of a mapping, in the order written.
#[derive(Debug, Default)]
pub struct Mapping(pub(crate) IndexMap<Arc<str>, Entry>);

impl Mapping {
    /// The place of the value that keys and numbers lead to, as far as they lead.
    #[must_use]
    pub fn place_at(&self, path: &[Arc<str>]) -> Option<&Location> {
        let (first, rest) = path.split_first()?;
        let mut found = self.get(first)?;
        for key in rest {
            let inner = match &found.kind {
                NodeKind::Mapping(mapping) => mapping.get(key),
                NodeKind::Sequence(items) => {
                    key.parse::<usize>().ok().and_then(|number| items.get(number))
                }
                NodeKind::Scalar { .. } => None,
            };
            match inner {
                Some(inner) => found = inner,
                None => break,
            }
        }
        Some(&found.place)
    }

    /// The entry of `key`.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.0.get(key)
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Rc<Node>> {
        self.0.get(key).map(|entry| &entry.value)
    }

    /// Whether there is such a key.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.0.values()
    }
}

impl Node {
    /// The value without places.
    #[must_use]
    pub fn plain(&self) -> Value {
        match &self.kind {
            NodeKind::Scalar { value, .. } => value.clone(),
            NodeKind::Sequence(items) => {
                Value::list(items.iter().map(|item| item.plain()).collect())
            }
            NodeKind::Mapping(table) => Value::map(table.plain()),
        }
    }

    /// How a message names what was written: text as it is, anything else as JSON.
    #[must_use]
    pub fn shown(&self) -> String {
        match self.plain() {
            Value::Text(text) => text.to_string(),
            other => json::write(&other, None),
        }
    }

    /// The scalar that this is.
    #[must_use]
    pub fn scalar(&self) -> Option<&Value> {
        match &self.kind {
            NodeKind::Scalar { value, .. } => Some(value),
            _ => None,
        }
    }

    /// The text that this is.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.scalar().and_then(Value::as_text)
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self.scalar(), Some(Value::Null))
    }
}

impl Mapping {
    /// The map without places.
    #[must_use]
    pub fn plain(&self) -> Map {
        self.iter().map(|entry| (entry.key.clone(), entry.value.plain())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::compose::parse;

    fn place(text: &str) -> String {
        let node = parse(text, "f").unwrap();
        let NodeKind::Mapping(table) = &node.kind else { unreachable!("a map was written") };
        table.get("k").unwrap().place.to_string()
    }

    #[test]
    fn a_value_begins_where_it_is_written() {
        for (text, at) in [
            ("k: v", "f:1:4"),
            ("k:\n  - v\n", "f:2:3"),
            ("k: |\n  a\n", "f:1:4"),
            ("k:\n  >-\n\n    a\n", "f:2:3"),
            ("k: |\n", "f:1:4"),
            ("k: &a |\n  | x\n", "f:1:4"),
            ("ä: {x: 1}\nk: \"v\"", "f:2:4"),
        ] {
            assert_eq!(place(text), at, "{text}");
        }
    }

    #[test]
    fn the_name_of_a_wrong_alias_is_in_its_message() {
        for (text, message) in [
            ("a: [*none, 1]", "f:1:5: the alias *none has no anchor before it"),
            ("a: &b [1, *b]", "f:1:11: the alias *b is inside the value that it names"),
        ] {
            assert_eq!(parse(text, "f").unwrap_err().to_string(), message);
        }
    }
}
