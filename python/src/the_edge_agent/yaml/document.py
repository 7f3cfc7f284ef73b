"""YAML text into values that know their place in the file.

The language is one document of YAML 1.2 with the core schema (``yes`` and ``on`` are text) and
merge keys. PyYAML reads the events; the schema, duplicate keys and the limits are decided here,
because PyYAML's own resolver speaks YAML 1.1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from the_edge_agent.errors import InvalidFile, Location, Problem
from the_edge_agent.value.json_reader import whole_number

MAX_ALIAS_BYTES = 1_000_000  # what all aliases of a file may add to it
MAX_DEPTH = 100

_SCHEMA: tuple[tuple[re.Pattern[str], Callable[[str], int | float | bool | None]], ...] = (
    (re.compile(r"(?:null|Null|NULL|~|)\Z"), lambda text: None),
    (re.compile(r"(?:true|True|TRUE)\Z"), lambda text: True),
    (re.compile(r"(?:false|False|FALSE)\Z"), lambda text: False),
    (re.compile(r"[-+]?[0-9]+\Z"), whole_number),
    (re.compile(r"0o[0-7]+\Z"), lambda text: whole_number(text[2:], 8)),
    (re.compile(r"0x[0-9a-fA-F]+\Z"), lambda text: whole_number(text[2:], 16)),
    (re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z"), float),
    (re.compile(r"[-+]?(?:\.inf|\.Inf|\.INF)\Z"), lambda text: float(text.replace(".", ""))),
    (re.compile(r"(?:\.nan|\.NaN|\.NAN)\Z"), lambda text: float("nan")),
)

_LONG_ESCAPE = re.compile(r"\\U([0-9A-Fa-f]{8})")

# YAML 1.2 took these out of its line breaks; PyYAML still folds text at them.
_OLD_BREAKS = "\x85\u2028\u2029"


@dataclass(frozen=True, slots=True)
class Scalar:
    """Text, a number, a truth value or null. ``size`` is that of its source, in bytes.

    ``literal`` says that it is a block text (``|``), whose first line is the one after ``place``.
    """

    value: str | int | float | bool | None
    place: Location
    size: int = 1
    literal: bool = False


@dataclass(frozen=True, slots=True)
class SequenceNode:
    """A sequence."""

    items: tuple[Value, ...]
    place: Location
    size: int = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a table, with the place of the key, and its value."""

    key: str
    place: Location
    value: Value


@dataclass(frozen=True, slots=True)
class MappingNode:
    """A mapping, in the order written."""

    entries: dict[str, Entry]
    place: Location
    size: int = 1

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries.values())

    def __contains__(self, key: str) -> bool:
        return key in self.entries

    def get(self, key: str) -> Value | None:
        """Return the value of ``key``, or None where there is no such key."""
        entry = self.entries.get(key)
        return entry.value if entry else None


Value = Scalar | SequenceNode | MappingNode


def place_at(mapping: MappingNode, path: tuple[str, ...]) -> Location | None:
    """Return the place of the value that keys and numbers lead to, as far as they lead."""
    found: Value | None = None
    within: Value | None = mapping
    for key in path:
        if isinstance(within, MappingNode):
            within = within.get(key)
        elif isinstance(within, SequenceNode) and key.isdecimal() and int(key) < len(within.items):
            within = within.items[int(key)]
        else:
            within = None
        if within is None:
            break
        found = within
    return found.place if found else None


def plain(value: Value) -> Any:
    """Return ``value`` as Python data, without places."""
    if isinstance(value, Scalar):
        return value.value
    if isinstance(value, SequenceNode):
        return [plain(item) for item in value.items]
    return {entry.key: plain(entry.value) for entry in value}


def shown(value: Value) -> str:
    """How a message names what was written: text as it is, anything else as JSON."""
    data = plain(value)
    return data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)


def parse(text: str, file: str) -> Value:
    """Read one YAML document.

    Raises:
        InvalidFile: with every duplicate key, tag and wrong key, or the first syntax error.
    """
    return _Composer(text, file).document()


# A byte order mark may begin a document: behind the marker, PyYAML takes it for text.
_MARK_OF_DOCUMENT = re.compile(r"^(---[ \t]*\r?\n)\ufeff", re.MULTILINE)


@dataclass(slots=True)
class _Open:
    """A mapping while it is read."""

    place: Location
    entries: dict[str, Entry] = field(default_factory=dict)
    merged: set[str] = field(default_factory=set)
    size: int = 1


class _Composer:
    """Builds values from PyYAML's events."""

    def __init__(self, text: str, file: str) -> None:
        self._file = file
        spare = (chr(code) for code in range(0xE000, 0xF8FF) if chr(code) not in text)
        self._restore = {ord(new): old for old, new in zip(_OLD_BREAKS, spare, strict=False)}
        hidden = str.maketrans({old: chr(new) for new, old in self._restore.items()})
        self._text = _MARK_OF_DOCUMENT.sub(r"\1", text.translate(hidden))
        self._anchors: dict[str, Value | None] = {}  # None while the value is being read
        self._alias_bytes = 0
        self._depth = 0
        self._problems: list[Problem] = []

    def document(self) -> Value:
        try:
            self._events = yaml.parse(self._text, Loader=yaml.SafeLoader)
            value = self._document()
        except yaml.MarkedYAMLError as error:
            self._problems.append(self._syntax_problem(error))
        except yaml.reader.ReaderError as error:
            self._problems.append(self._character_problem(error))
        except (ValueError, OverflowError):  # PyYAML makes a character of any number
            self._problems.append(self._escape_problem())
        if self._problems:
            raise InvalidFile(sorted(self._problems, key=lambda problem: problem.place))
        return value

    def _document(self) -> Value:
        next(self._events)  # start of the stream
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            self._fail(Location(self._file, 1, 1), "the file is empty")
        value = self._value(next(self._events))
        next(self._events)  # end of the document
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            self._problem(
                self._location(event),
                "a second YAML document starts here",
                "a workflow file has one document",
            )
        return value

    def _value(self, event: Any) -> Value:
        place = self._location(event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(str(event.anchor), place)
        if event.tag is not None:
            self._problem(
                place,
                f"the tag {_short_tag(event.tag)} is not allowed",
                "write the value without a tag",
            )
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(place, f"values are nested deeper than {MAX_DEPTH} levels")
        value: Value
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event, place)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._sequence(place)
        else:
            value = self._mapping(place)
        self._depth -= 1
        if event.anchor is not None:
            self._anchors[event.anchor] = value
        return value

    def _alias(self, name: str, place: Location) -> Value:
        if name not in self._anchors:
            self._fail(place, f"the alias *{name} has no anchor before it")
        value = self._anchors[name]
        if value is None:
            self._fail(place, f"the alias *{name} is inside the value that it names")
            raise AssertionError
        self._alias_bytes += value.size
        if self._alias_bytes > MAX_ALIAS_BYTES:
            self._fail(place, "aliases make the file grow past 1 MB")
        return value

    def _scalar(self, event: Any, place: Location) -> Scalar:
        text: str = event.value.translate(self._restore)
        try:
            # JSON writes a character beyond the first plane as an escape of each of its halves.
            text = text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self._problem(place, "the text has half of a character", "write both of its halves")
            text = ""
        size = len(text.encode()) + 1
        if event.style is not None:
            return Scalar(text, place, size, literal=event.style == "|")
        try:
            return Scalar(resolve(text), place, size)
        except ValueError:
            self._problem(place, "the number is out of range", "write it in quotes")
            return Scalar(text, place, size)

    def _sequence(self, place: Location) -> SequenceNode:
        items = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._value(event))
        return SequenceNode(tuple(items), place, 1 + sum(item.size for item in items))

    def _mapping(self, place: Location) -> MappingNode:
        table = _Open(place)
        has_merge = False
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            merge = isinstance(event, yaml.ScalarEvent) and event.style is None
            key = self._value(event)
            value = self._value(next(self._events))
            table.size += key.size + value.size
            if merge and isinstance(key, Scalar) and key.value == "<<":
                if has_merge:
                    self._problem(key.place, 'duplicate key "<<"', "merge a list: <<: [*a, *b]")
                has_merge = True
                self._merge(table, value)
            else:
                self._add(table, key, value)
        return MappingNode(table.entries, place, table.size)

    def _add(self, table: _Open, key: Value, value: Value) -> None:
        if not isinstance(key, Scalar) or not isinstance(key.value, str):
            self._problem(key.place, "a key must be text", "write it in quotes")
            return
        if key.value in table.entries and key.value not in table.merged:
            first = table.entries[key.value].place
            self._problem(
                key.place, f'duplicate key "{key.value}"', f"it is also in line {first.line}"
            )
            return
        table.merged.discard(key.value)
        table.entries[key.value] = Entry(key.value, key.place, value)

    def _merge(self, table: _Open, value: Value) -> None:
        """Add the keys of merged tables: own keys win, then those of the earlier table."""
        sources = value.items if isinstance(value, SequenceNode) else (value,)
        for source in sources:
            if not isinstance(source, MappingNode):
                self._problem(source.place, "<< needs a mapping or a list of mappings")
                continue
            for entry in source:
                if entry.key not in table.entries:
                    table.entries[entry.key] = entry
                    table.merged.add(entry.key)

    def _location(self, event: Any) -> Location:
        return self._mark_location(event.start_mark)

    def _mark_location(self, mark: Any) -> Location:
        return Location(self._file, mark.line + 1, mark.column + 1)

    def _problem(self, place: Location, message: str, hint: str = "") -> None:
        self._problems.append(Problem(place, message, hint))

    def _fail(self, place: Location, message: str) -> None:
        self._problem(place, message)
        raise InvalidFile(sorted(self._problems, key=lambda problem: problem.place))

    def _syntax_problem(self, error: yaml.MarkedYAMLError) -> Problem:
        mark = error.problem_mark or error.context_mark
        place = self._mark_location(mark) if mark else Location(self._file, 1, 1)
        reason = " ".join(part for part in (error.context, error.problem) if part)
        hint = ""
        if error.problem and "'\\t'" in error.problem:
            hint = "indent with spaces, not with tabs"
        return Problem(place, f"not valid YAML: {reason}", hint)

    def _character_problem(self, error: yaml.reader.ReaderError) -> Problem:
        before = self._text[: error.position]
        line = before.count("\n") + 1
        column = len(before) - (before.rfind("\n") + 1) + 1
        code = error.character if isinstance(error.character, int) else ord(error.character)
        return Problem(
            Location(self._file, line, column),
            f"the character U+{code:04X} is not allowed in YAML",
            'write it as an escape in "double quotes"',
        )

    def _escape_problem(self) -> Problem:
        escapes = _LONG_ESCAPE.finditer(self._text)
        position = next((each.start() for each in escapes if int(each[1], 16) > 0x10FFFF), 0)
        line = self._text.count("\n", 0, position) + 1
        column = position - (self._text.rfind("\n", 0, position) + 1) + 1
        return Problem(
            Location(self._file, line, column),
            "not valid YAML: the escape names no character",
            "the last one is \\U0010FFFF",
        )


def resolve(text: str) -> str | int | float | bool | None:
    """Return what a plain scalar means in the core schema of YAML 1.2.

    Raises:
        ValueError: a whole number out of range.
    """
    for pattern, convert in _SCHEMA:
        if pattern.match(text):
            return convert(text)
    return text


def _short_tag(tag: str) -> str:
    prefix = "tag:yaml.org,2002:"
    return f"!!{tag.removeprefix(prefix)}" if tag.startswith(prefix) else tag
