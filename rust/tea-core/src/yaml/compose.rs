//! Builds values from the events of the YAML parser.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use indexmap::IndexMap;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput};

use crate::errors::{InvalidFile, Location, Problem};
use crate::limits::MAX_DEPTH;
use crate::value::Value;
use crate::yaml::document::{Entry, Mapping, Node, NodeKind};
use crate::yaml::scalar;
use crate::yaml::source;

/// What all aliases of a file may add to it, in bytes.
const MAX_ALIAS_BYTES: usize = 1_000_000;

/// `text` without the byte order marks that begin a document behind its marker: the parser takes
/// them for text.
fn without_marks_of_documents(text: &str) -> Cow<'_, str> {
    if !text.contains("\n\u{feff}") {
        return text.into();
    }
    let mut is_marker = false;
    let lines = text.split_inclusive('\n').map(|line| {
        let begins = std::mem::replace(&mut is_marker, line.trim_end() == "---");
        if begins {
            line.strip_prefix('\u{feff}').unwrap_or(line)
        } else {
            line
        }
    });
    lines.collect::<String>().into()
}

/// Read one YAML document; `file` is its name in messages.
///
/// # Errors
/// Every duplicate key, tag and wrong key, or the first syntax error.
pub fn parse(text: &str, file: &str) -> Result<Rc<Node>, InvalidFile> {
    document(text, &Arc::from(file)).map_err(|mut problems| {
        problems.sort_by(|a, b| a.place.cmp(&b.place));
        InvalidFile { problems }
    })
}

/// Read one YAML document, or say what is wrong with it.
fn document(text: &str, file: &Arc<str>) -> Result<Rc<Node>, Vec<Problem>> {
    if let Some(problem) = source::forbidden_character(text, file) {
        return Err(vec![problem]);
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = without_marks_of_documents(text);
    let (source, mark) = hide_halves(&text);
    let source = &*source;
    let mut composer = Composer {
        file: file.clone(),
        mark,
        lines: text.lines().collect(),
        parser: Parser::new_from_str(source),
        anchors: HashMap::new(),
        alias_bytes: 0,
        depth: 0,
        problems: Vec::new(),
    };
    match composer.document() {
        Ok(node) if composer.problems.is_empty() => Ok(node),
        _ => Err(composer.problems),
    }
}

/// `text` with a mark for the backslash of each escape `\uD8..` to `\uDF..`.
///
/// JSON writes a character beyond the first plane as an escape of each of its halves, which the
/// parser refuses. The mark, where one is needed, is a character that the text does not have.
fn hide_halves(text: &str) -> (Cow<'_, str>, Option<char>) {
    let is_half = |at: usize| {
        let code = text.get(at + 2..at + 6).and_then(|code| u32::from_str_radix(code, 16).ok());
        text[at..].starts_with("\\u") && code.is_some_and(|code| (0xd800..0xe000).contains(&code))
    };
    let Some(mark) = ('\u{e000}'..'\u{f8ff}').find(|mark| !text.contains(*mark)) else {
        return (text.into(), None);
    };
    let mut hidden = String::new();
    let mut rest = 0;
    let mut from = 0;
    while let Some(found) = text[from..].find('\\') {
        let at = from + found;
        if is_half(at) {
            hidden.push_str(&text[rest..at]);
            hidden.push(mark);
            rest = at + 1;
        }
        // What a backslash escapes is no backslash of its own.
        from = at + 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8);
    }
    match hidden.is_empty() {
        true => (text.into(), None),
        false => (format!("{hidden}{}", &text[rest..]).into(), Some(mark)),
    }
}

/// `text` with the two halves of each character joined; None where one is alone.
fn join_halves(text: &str, mark: char) -> Option<String> {
    let mut pieces = text.split(mark);
    let mut joined = pieces.next()?.to_string();
    let half = |piece: &str| u16::from_str_radix(piece.get(1..5)?, 16).ok();
    while let Some(first) = pieces.next() {
        let second = pieces.next()?;
        let halves = [half(first)?, half(second)?];
        joined.push(char::decode_utf16(halves).next()?.ok().filter(|_| first.len() == 5)?);
        joined.push_str(&second[5..]);
    }
    Some(joined)
}

/// Reading stops: the problem is noted.
struct Stopped;

struct Composer<'t> {
    file: Arc<str>,
    mark: Option<char>, // stands for the backslash of escapes that write half of a character
    lines: Vec<&'t str>,
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
    fn tab_from(&self, place: &Location) -> Option<Location> {
        let lines = self.lines.iter().enumerate().skip(place.line - 1);
        lines
            .map(|(number, line)| (number, line.len() - line.trim_start_matches(' ').len(), line))
            .find(|(_, spaces, line)| line[*spaces..].starts_with('\t'))
            .map(|(number, spaces, _)| Location {
                line: number + 1,
                column: spaces + 1,
                ..place.clone()
            })
    }

    /// The name of the alias that is written at `place`.
    fn alias_at(&self, place: &Location) -> String {
        let line = self.lines.get(place.line - 1).copied().unwrap_or_default();
        let name = line.chars().skip(place.column - 1).skip_while(|c| *c == '*');
        name.take_while(|c| !c.is_whitespace() && !",[]{}".contains(*c)).collect()
    }

    fn document(&mut self) -> Result<Rc<Node>, Stopped> {
        self.next()?; // start of the stream
        if matches!(self.next()?.0, Event::StreamEnd) {
            let place = Location { file: self.file.clone(), line: 1, column: 1 };
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
        let mut place = self.place(span.start);
        let (anchor, tag) = match &event {
            Event::Alias(anchor) => return self.alias(*anchor, &place),
            Event::Scalar(_, _, anchor, tag) => (*anchor, tag),
            Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) => (*anchor, tag),
            _ => (0, &None),
        };
        if let Event::Scalar(text, ScalarStyle::Literal | ScalarStyle::Folded, 0, None) = &event {
            if !text.trim_matches('\n').is_empty() {
                place = source::block_header(&self.lines, place);
            }
        }
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

    fn alias(&mut self, anchor: usize, place: &Location) -> Result<Rc<Node>, Stopped> {
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

    fn scalar(&mut self, text: &str, style: ScalarStyle, place: Location) -> Node {
        let text = &*self.restored(text, style, &place);
        let size = text.len() + 1;
        let value = match style {
            ScalarStyle::Plain => scalar::resolve(text).unwrap_or_else(|| {
                let hint = "write it in quotes";
                self.problem(&place, "the number is out of range".into(), hint);
                Value::Null
            }),
            _ => Value::text(text),
        };
        let literal = matches!(style, ScalarStyle::Literal);
        Node { place, kind: NodeKind::Scalar { value, literal }, size }
    }

    /// The text with its halves of characters joined, or as it was written.
    fn restored<'a>(
        &mut self,
        text: &'a str,
        style: ScalarStyle,
        place: &Location,
    ) -> Cow<'a, str> {
        let Some(mark) = self.mark.filter(|mark| text.contains(*mark)) else { return text.into() };
        if style != ScalarStyle::DoubleQuoted {
            return text.replace(mark, "\\").into();
        }
        join_halves(text, mark).map_or_else(
            || {
                let message = "the text has half of a character".into();
                self.problem(place, message, "write both of its halves");
                "".into()
            },
            Cow::Owned,
        )
    }

    fn items(&mut self, place: Location) -> Result<Node, Stopped> {
        let mut items = Vec::new();
        let mut size = 1;
        loop {
            let event = self.next()?;
            if matches!(event.0, Event::SequenceEnd) {
                return Ok(Node { place, kind: NodeKind::Sequence(items), size });
            }
            let item = self.node(event)?;
            size += item.size;
            items.push(item);
        }
    }

    fn table(&mut self, place: Location) -> Result<Node, Stopped> {
        let mut entries = IndexMap::new();
        let mut merged = HashSet::new();
        let mut has_merge = false;
        let mut size = 1;
        loop {
            let event = self.next()?;
            if matches!(event.0, Event::MappingEnd) {
                return Ok(Node { place, kind: NodeKind::Mapping(Mapping(entries)), size });
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
            NodeKind::Sequence(items) => &items[..],
            _ => std::slice::from_ref(value),
        };
        for source in sources {
            let NodeKind::Mapping(table) = &source.kind else {
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

    fn place(&self, mark: Marker) -> Location {
        Location { file: self.file.clone(), line: mark.line().max(1), column: mark.col() + 1 }
    }

    fn problem(&mut self, place: &Location, message: String, hint: &str) {
        self.problems.push(Problem { place: place.clone(), message, hint: hint.into() });
    }

    fn fail<T>(&mut self, place: &Location, message: String) -> Result<T, Stopped> {
        self.problem(place, message, "");
        Err(Stopped)
    }
}
