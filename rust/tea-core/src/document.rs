//! YAML text into values that know their place in the file.
//!
//! The language is one document of YAML 1.2 with the core schema (`yes` and `on` are text) and
//! merge keys. libyaml's grammar gives the events; the schema, duplicate keys and the limits are
//! decided here.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use indexmap::IndexMap;
use libyaml_safer::{Event, EventData, Mark, Parser, ScalarStyle};

use crate::errors::{InvalidFile, Place, Problem};
use crate::limits::MAX_DEPTH;
use crate::scalar;
use crate::source;
use crate::value::{Map, Value};

/// What all aliases of a file may add to it, in bytes.
const MAX_ALIAS_BYTES: usize = 1_000_000;

/// A value with its place. `size` is that of its source, in bytes.
#[derive(Debug)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    /// The value.
    pub kind: NodeKind,
    size: usize,
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
    Items(Vec<Rc<Node>>),
    /// A mapping.
    Table(Table),
}

/// One key of a table, with the place of the key, and its value.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key.
    pub key: Arc<str>,
    /// The place of the key.
    pub place: Place,
    /// The value.
    pub value: Rc<Node>,
}

/// The entries of a mapping, in the order written.
#[derive(Debug, Default)]
pub struct Table(IndexMap<Arc<str>, Entry>);

impl Table {
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
            NodeKind::Items(items) => Value::list(items.iter().map(|item| item.plain()).collect()),
            NodeKind::Table(table) => Value::map(table.plain()),
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

impl Table {
    /// The map without places.
    #[must_use]
    pub fn plain(&self) -> Map {
        self.iter().map(|entry| (entry.key.clone(), entry.value.plain())).collect()
    }
}

/// Read one YAML document; `file` is its name in messages.
///
/// # Errors
/// Every duplicate key, tag and wrong key, or the first syntax error.
pub fn parse(text: &str, file: &str) -> Result<Rc<Node>, InvalidFile> {
    let file: Arc<str> = Arc::from(file);
    if let Some(problem) = source::forbidden_character(text, &file) {
        return Err(InvalidFile { problems: vec![problem] });
    }
    let (hidden, restore) = source::hide_old_breaks(text);
    // With the mark in front, whatever the file begins with is not taken for one.
    let source = format!("\u{feff}{}", hidden.strip_prefix('\u{feff}').unwrap_or(&hidden));
    let mut input = source.as_bytes();
    let mut parser = Parser::new();
    parser.set_input(&mut input);
    let mut composer = Composer {
        file,
        restore,
        parser,
        anchors: HashMap::new(),
        alias_bytes: 0,
        depth: 0,
        problems: Vec::new(),
    };
    let document = composer.document();
    let mut problems = composer.problems;
    match document {
        Ok(node) if problems.is_empty() => Ok(node),
        _ => {
            problems.sort_by(|a, b| a.place.cmp(&b.place));
            Err(InvalidFile { problems })
        }
    }
}

/// Reading stops: the problem is noted.
struct Stopped;

struct Composer<'a> {
    file: Arc<str>,
    restore: Vec<(char, char)>,
    parser: Parser<&'a mut &'a [u8]>,
    anchors: HashMap<String, Option<Rc<Node>>>, // None while the value is being read
    alias_bytes: usize,
    depth: usize,
    problems: Vec<Problem>,
}

impl Composer<'_> {
    fn next(&mut self) -> Result<Event, Stopped> {
        self.parser.parse().map_err(|error| {
            let mark = error.problem_mark().or(error.context_mark()).unwrap_or_default();
            let reason = match error.context() {
                Some(context) => format!("{context} {}", error.problem()),
                None => error.problem().into(),
            };
            // A tab is the only such character that an editor makes by itself.
            let is_tab = error.problem().contains("cannot start any token");
            let hint = if is_tab { "indent with spaces, not with tabs" } else { "" };
            let place = self.place(mark);
            self.problem(&place, format!("not valid YAML: {reason}"), hint);
            Stopped
        })
    }

    fn document(&mut self) -> Result<Rc<Node>, Stopped> {
        self.next()?; // start of the stream
        let event = self.next()?;
        if matches!(event.data, EventData::StreamEnd) {
            let place = Place { file: self.file.clone(), line: 1, column: 1 };
            return self.fail(&place, "the file is empty".into());
        }
        let event = self.next()?;
        let node = self.node(event)?;
        self.next()?; // end of the document
        let event = self.next()?;
        if !matches!(event.data, EventData::StreamEnd) {
            let place = self.place(event.start_mark);
            self.problem(
                &place,
                "a second YAML document starts here".into(),
                "a workflow file has one document",
            );
        }
        Ok(node)
    }

    fn node(&mut self, event: Event) -> Result<Rc<Node>, Stopped> {
        let place = self.place(event.start_mark);
        let (anchor, tag) = match &event.data {
            EventData::Alias { anchor } => return self.alias(anchor, &place),
            EventData::Scalar { anchor, tag, .. }
            | EventData::SequenceStart { anchor, tag, .. }
            | EventData::MappingStart { anchor, tag, .. } => (anchor.clone(), tag.clone()),
            _ => (None, None),
        };
        if let Some(tag) = tag {
            let tag =
                tag.strip_prefix("tag:yaml.org,2002:").map_or(tag.clone(), |t| format!("!!{t}"));
            self.problem(
                &place,
                format!("the tag {tag} is not allowed"),
                "write the value without a tag",
            );
        }
        if let Some(anchor) = &anchor {
            self.anchors.insert(anchor.clone(), None);
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.fail(&place, format!("values are nested deeper than {MAX_DEPTH} levels"));
        }
        let node = Rc::new(match event.data {
            EventData::Scalar { value, style, .. } => self.scalar(&value, style, place),
            EventData::SequenceStart { .. } => self.items(place)?,
            _ => self.table(place)?,
        });
        self.depth -= 1;
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor, Some(node.clone()));
        }
        Ok(node)
    }

    fn alias(&mut self, name: &str, place: &Place) -> Result<Rc<Node>, Stopped> {
        match self.anchors.get(name).cloned() {
            None => self.fail(place, format!("the alias *{name} has no anchor before it")),
            Some(None) => {
                self.fail(place, format!("the alias *{name} is inside the value that it names"))
            }
            Some(Some(node)) => {
                self.alias_bytes += node.size;
                if self.alias_bytes > MAX_ALIAS_BYTES {
                    return self.fail(place, "aliases make the file grow past 1 MB".into());
                }
                Ok(node)
            }
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, place: Place) -> Node {
        let restored =
            |c: char| self.restore.iter().find(|(_, new)| *new == c).map_or(c, |(old, _)| *old);
        let text: String = text.chars().map(restored).collect();
        let size = text.len() + 1;
        let value = match style {
            ScalarStyle::Plain => scalar::resolve(&text).unwrap_or_else(|| {
                let hint = "write it in quotes";
                self.problem(&place, "the number has too many digits".into(), hint);
                Value::Null
            }),
            _ => Value::text(text),
        };
        let literal = matches!(style, ScalarStyle::Literal);
        Node { place, kind: NodeKind::Scalar { value, literal }, size }
    }

    fn items(&mut self, place: Place) -> Result<Node, Stopped> {
        let mut items = Vec::new();
        let mut size = 1;
        loop {
            let event = self.next()?;
            if matches!(event.data, EventData::SequenceEnd) {
                return Ok(Node { place, kind: NodeKind::Items(items), size });
            }
            let item = self.node(event)?;
            size += item.size;
            items.push(item);
        }
    }

    fn table(&mut self, place: Place) -> Result<Node, Stopped> {
        let mut entries = IndexMap::new();
        let mut merged = HashSet::new();
        let mut has_merge = false;
        let mut size = 1;
        loop {
            let event = self.next()?;
            if matches!(event.data, EventData::MappingEnd) {
                return Ok(Node { place, kind: NodeKind::Table(Table(entries)), size });
            }
            let is_plain =
                matches!(event.data, EventData::Scalar { style: ScalarStyle::Plain, .. });
            let key = self.node(event)?;
            let event = self.next()?;
            let value = self.node(event)?;
            size += key.size + value.size;
            if !(is_plain && key.text() == Some("<<")) {
                self.add(&mut entries, &mut merged, &key, value);
                continue;
            }
            if has_merge {
                let hint = "merge a list: <<: [*a, *b]";
                self.problem(&key.place, "duplicate key \"<<\"".into(), hint);
            }
            has_merge = true;
            self.merge(&mut entries, &mut merged, &value);
        }
    }

    fn add(
        &mut self,
        entries: &mut IndexMap<Arc<str>, Entry>,
        merged: &mut HashSet<Arc<str>>,
        key: &Node,
        value: Rc<Node>,
    ) {
        let Some(Value::Text(text)) = key.scalar() else {
            self.problem(&key.place, "a key must be text".into(), "write it in quotes");
            return;
        };
        let is_merged = merged.remove(text);
        if let Some(first) = entries.get(text).filter(|_| !is_merged) {
            let hint = format!("it is also in line {}", first.place.line);
            self.problem(&key.place, format!("duplicate key \"{text}\""), &hint);
            return;
        }
        let entry = Entry { key: text.clone(), place: key.place.clone(), value };
        entries.insert(text.clone(), entry);
    }

    /// Add the keys of merged tables: own keys win, then those of the earlier table.
    fn merge(
        &mut self,
        entries: &mut IndexMap<Arc<str>, Entry>,
        merged: &mut HashSet<Arc<str>>,
        value: &Rc<Node>,
    ) {
        let sources = match &value.kind {
            NodeKind::Items(items) => &items[..],
            _ => std::slice::from_ref(value),
        };
        for source in sources {
            let NodeKind::Table(table) = &source.kind else {
                let message = "<< needs a mapping or a list of mappings";
                self.problem(&source.place, message.into(), "");
                continue;
            };
            for entry in table.iter() {
                if !entries.contains_key(&entry.key) {
                    entries.insert(entry.key.clone(), entry.clone());
                    merged.insert(entry.key.clone());
                }
            }
        }
    }

    fn place(&self, mark: Mark) -> Place {
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX - 1) + 1;
        Place { file: self.file.clone(), line: count(mark.line), column: count(mark.column) }
    }

    fn problem(&mut self, place: &Place, message: String, hint: &str) {
        self.problems.push(Problem { place: place.clone(), message, hint: hint.into() });
    }

    fn fail<T>(&mut self, place: &Place, message: String) -> Result<T, Stopped> {
        self.problem(place, message, "");
        Err(Stopped)
    }
}
