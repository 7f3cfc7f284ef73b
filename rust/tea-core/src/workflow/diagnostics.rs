//! Reads parts of a workflow file and collects every problem on the way.

use std::rc::Rc;

use crate::errors::{Error, Location, Problem};
use crate::spec::{self, Level, ValueType};
use crate::suggest::nearest;
use crate::yaml::document::{Entry, Mapping, Node, NodeKind};

/// The problems and warnings of one file, and checks that add to them.
///
/// A check that finds a problem gives nothing or leaves the value out; the file is refused in the
/// end, so nothing goes on with less than was written.
#[derive(Default)]
pub(crate) struct Diagnostics {
    /// The node that is read now, as messages name it.
    within: Option<String>,
    pub problems: Vec<Problem>,
    pub warnings: Vec<Problem>,
}

impl Diagnostics {
    /// Note something wrong.
    pub fn problem(&mut self, place: &Location, message: impl AsRef<str>, hint: impl Into<String>) {
        let message = match &self.within {
            Some(node) => format!("{node}: {}", message.as_ref()),
            None => message.as_ref().into(),
        };
        self.problems.push(Problem { place: place.clone(), message, hint: hint.into() });
    }

    /// Begin the messages of `work` with `name`, after those of what it is in.
    pub fn within<T>(&mut self, name: Option<&str>, work: impl FnOnce(&mut Diagnostics) -> T) -> T {
        let before = self.within.clone();
        if let Some(name) = name {
            self.within = Some(match &before {
                Some(outer) => format!("{outer}: {name}"),
                None => name.into(),
            });
        }
        let done = work(self);
        self.within = before;
        done
    }

    /// Note something doubtful.
    pub fn warn(&mut self, place: &Location, message: String) {
        self.warnings.push(Problem { place: place.clone(), message, hint: String::new() });
    }

    /// Note an error in `node`, such as a template that is not well formed.
    pub fn error(&mut self, node: &Node, error: Error) {
        self.problem(&node.place, error.message, error.hint);
    }

    /// Refuse keys that are unknown or not done here; warn of those without effect.
    pub fn keys(&mut self, table: &Mapping, level: &Level) {
        for entry in table.iter() {
            let key = &*entry.key;
            if level.knows(key) {
                continue;
            }
            if let Some((_, why)) = level.ignored.iter().find(|(ignored, _)| *ignored == key) {
                self.without_effect(entry, level.title, why);
            } else if key.starts_with('_') {
                self.without_effect(entry, level.title, "such a name is for other programs");
            } else if level.unsupported.contains(&key) {
                let shown = match entry.value.text() {
                    Some(value) => format!("\"{key}: {value}\""),
                    None => format!("\"{key}\""),
                };
                let message = format!("{shown} in {} is not supported here", level.title);
                self.problem(&entry.place, message, "");
            } else {
                let hint = nearest_or_all(key, level.known.keys());
                let message = format!("unknown key \"{key}\" in {}", level.title);
                self.problem(&entry.place, message, hint);
            }
        }
    }

    /// Note a key that changes nothing.
    pub fn without_effect(&mut self, entry: &Entry, place: &str, why: &str) {
        let separator = if why.is_empty() { "" } else { ": " };
        let key = &entry.key;
        let message = format!("\"{key}\" in {place} has no effect here{separator}{why}");
        self.warn(&entry.place, message);
    }

    /// The entry of `key` of the level when it is there and fits.
    pub fn value<'t>(&mut self, table: &'t Mapping, key: &str, level: &Level) -> Option<&'t Entry> {
        self.typed(table, key, level.known.get(key)?)
    }

    /// The same for a key that may be null, too.
    pub fn value_or_null<'t>(
        &mut self,
        table: &'t Mapping,
        key: &str,
        level: &Level,
    ) -> Option<&'t Entry> {
        match table.entry(key)? {
            entry if entry.value.is_null() => Some(entry),
            _ => self.value(table, key, level),
        }
    }

    fn typed<'t>(&mut self, table: &'t Mapping, key: &str, of: &ValueType) -> Option<&'t Entry> {
        let entry = table.entry(key)?;
        if let Some(wrong) = of.wrong(&entry.value.plain()) {
            self.problem(&entry.value.place, format!("{key}: {wrong}"), "");
            return None;
        }
        Some(entry)
    }

    /// The text of `key`; None where it is not there or wrong.
    pub fn text(&mut self, table: &Mapping, key: &str) -> Option<String> {
        self.typed(table, key, spec::NODE.known.get("name")?)?.value.text().map(Into::into)
    }

    /// The map of `key`; one without a value is as if it were not there.
    pub fn table<'t>(&mut self, table: &'t Mapping, key: &str) -> Option<&'t Mapping> {
        match &self.present(table, key)?.kind {
            NodeKind::Mapping(found) => Some(found),
            _ => self.expected(table, key, "a map"),
        }
    }

    /// The list of `key`; one without a value is as if it were not there.
    pub fn items<'t>(&mut self, table: &'t Mapping, key: &str) -> Option<&'t [Rc<Node>]> {
        match &self.present(table, key)?.kind {
            NodeKind::Sequence(found) => Some(found),
            _ => self.expected(table, key, "a list"),
        }
    }

    fn present<'t>(&self, table: &'t Mapping, key: &str) -> Option<&'t Rc<Node>> {
        table.get(key).filter(|node| !node.is_null())
    }

    fn expected<T>(&mut self, table: &Mapping, key: &str, what: &str) -> Option<T> {
        let node = table.get(key)?;
        let got = node.plain().describe();
        self.problem(&node.place, format!("{key}: expected {what}, got {got}"), "");
        None
    }
}

/// The nearest known word, or all of them.
pub(crate) fn nearest_or_all<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> String {
    let known: Vec<&str> = known.collect();
    or_all(nearest(word, known.iter().copied()), known)
}

/// The hint, or where there is none all known words.
pub(crate) fn or_all(hint: String, mut known: Vec<&str>) -> String {
    if !hint.is_empty() {
        return hint;
    }
    known.sort_unstable();
    format!("known: {}", known.join(", "))
}
