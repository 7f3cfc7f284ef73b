//! YAML text into values that know their place in the file.
//!
//! The language is one document of YAML 1.2 with the core schema (`yes` and `on` are text) and
//! merge keys. saphyr gives the events; the schema, duplicate keys and the limits are decided here.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use indexmap::IndexMap;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput};

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
    let source = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut composer = Composer {
        file,
        source,
        parser: Parser::new_from_str(source),
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

struct Composer<'t> {
    file: Arc<str>,
    source: &'t str,
    parser: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, Option<Rc<Node>>>, // None while the value is being read
    alias_bytes: usize,
    depth: usize,
    problems: Vec<Problem>,
}

impl<'t> Composer<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), Stopped> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                self.malformed(&error);
                Err(Stopped)
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn malformed(&mut self, error: &ScanError) {
        let place = self.place(*error.marker());
        let reason = error.info();
        if reason.contains("unknown anchor") {
            let name = self.alias_at(&place);
            let message = format!("the alias *{name} has no anchor before it");
            self.problem(&place, message, "");
            return;
        }
        let message = format!("not valid YAML: {reason}");
        if reason.contains("tab") {
            let place = self.tab_from(&place).unwrap_or(place);
            self.problem(&place, message, "indent with spaces, not with tabs");
        } else {
            self.problem(&place, message, "");
        }
    }

    /// The first tab that indents a line, from the line of `place` on.
    fn tab_from(&self, place: &Place) -> Option<Place> {
        let lines = self.source.lines().enumerate().skip(place.line - 1);
        lines
            .map(|(number, line)| (number, line.len() - line.trim_start_matches(' ').len(), line))
            .find(|(_, spaces, line)| line[*spaces..].starts_with('\t'))
            .map(|(number, spaces, _)| Place {
                line: number + 1,
                column: spaces + 1,
                ..place.clone()
            })
    }

    /// The name of the alias that is written at `place`.
    fn alias_at(&self, place: &Place) -> String {
        let line = self.source.lines().nth(place.line - 1).unwrap_or_default();
        let name = line.chars().skip(place.column - 1).skip_while(|c| *c == '*');
        name.take_while(|c| !c.is_whitespace() && !",[]{}".contains(*c)).collect()
    }

    fn document(&mut self) -> Result<Rc<Node>, Stopped> {
        self.next()?; // start of the stream
        if matches!(self.next()?.0, Event::StreamEnd) {
            let place = Place { file: self.file.clone(), line: 1, column: 1 };
            return self.fail(&place, "the file is empty".into());
        }
        let event = self.next()?;
        let node = self.node(event)?;
        self.next()?; // end of the document
        let (event, span) = self.next()?;
        if !matches!(event, Event::StreamEnd) {
            let place = self.place(span.start);
            self.problem(
                &place,
                "a second YAML document starts here".into(),
                "a workflow file has one document",
            );
        }
        Ok(node)
    }

    fn node(&mut self, (event, span): (Event<'t>, Span)) -> Result<Rc<Node>, Stopped> {
        let place = self.place(span.start);
        let (anchor, tag) = match &event {
            Event::Alias(anchor) => return self.alias(*anchor, &place),
            Event::Scalar(_, _, anchor, tag) => (*anchor, tag),
            Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) => (*anchor, tag),
            _ => (0, &None),
        };
        if let Some(tag) = tag {
            let tag = match tag.is_yaml_core_schema() {
                true => format!("!!{}", tag.suffix),
                false => format!("{}{}", tag.handle, tag.suffix),
            };
            let hint = "write the value without a tag";
            self.problem(&place, format!("the tag {tag} is not allowed"), hint);
        }
        if anchor > 0 {
            self.anchors.insert(anchor, None);
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let message = format!("values are nested deeper than {MAX_DEPTH} levels");
            return self.fail(&place, message);
        }
        let node = Rc::new(match event {
            Event::Scalar(value, style, ..) => self.scalar(&value, style, place),
            Event::SequenceStart(..) => self.items(place)?,
            _ => self.table(place)?,
        });
        self.depth -= 1;
        if anchor > 0 {
            self.anchors.insert(anchor, Some(node.clone()));
        }
        Ok(node)
    }

    fn alias(&mut self, anchor: usize, place: &Place) -> Result<Rc<Node>, Stopped> {
        match self.anchors.get(&anchor).cloned() {
            None | Some(None) => {
                let name = self.alias_at(place);
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
        let size = text.len() + 1;
        let value = match style {
            ScalarStyle::Plain => scalar::resolve(text).unwrap_or_else(|| {
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
            if matches!(event.0, Event::SequenceEnd) {
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
            if matches!(event.0, Event::MappingEnd) {
                return Ok(Node { place, kind: NodeKind::Table(Table(entries)), size });
            }
            let is_plain = matches!(event.0, Event::Scalar(_, ScalarStyle::Plain, ..));
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

    fn place(&self, mark: Marker) -> Place {
        Place { file: self.file.clone(), line: mark.line().max(1), column: mark.col() + 1 }
    }

    fn problem(&mut self, place: &Place, message: String, hint: &str) {
        self.problems.push(Problem { place: place.clone(), message, hint: hint.into() });
    }

    fn fail<T>(&mut self, place: &Place, message: String) -> Result<T, Stopped> {
        self.problem(place, message, "");
        Err(Stopped)
    }
}
