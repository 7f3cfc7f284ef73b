"""Reads parts of a workflow file and collects every problem on the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from the_edge_agent import spec
from the_edge_agent.errors import Location, Problem, TeaError
from the_edge_agent.suggest import nearest
from the_edge_agent.value.value import describe
from the_edge_agent.workflow import types
from the_edge_agent.yaml import document
from the_edge_agent.yaml.document import Entry, MappingNode, Scalar, SequenceNode, Value, plain

T = TypeVar("T", SequenceNode, MappingNode)


class Diagnostics:
    """The problems and warnings of one file, and checks that add to them.

    A check that finds a problem returns None or leaves the value out; the file is refused in the
    end, so nothing goes on with less than was written.
    """

    def __init__(self) -> None:
        self._within: list[str] = []
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def problem(self, place: Location, message: str, hint: str = "") -> None:
        """Note something wrong."""
        self.problems.append(Problem(place, ": ".join([*self._within, message]), hint))

    @contextmanager
    def within(self, name: str | None) -> Iterator[None]:
        """Begin the messages of what follows with ``name``."""
        if name:
            self._within.append(name)
        yield
        if name:
            self._within.pop()

    def warn(self, place: Location, message: str, hint: str = "") -> None:
        """Note something doubtful."""
        self.warnings.append(Problem(place, message, hint))

    def error(self, value: Value, error: TeaError) -> None:
        """Note an error in ``value``, such as a template that is not well formed."""
        self.problem(value.place, error.message, error.hint)

    def keys(self, table: MappingNode, level: spec.Level) -> None:
        """Refuse keys that are unknown or not done here; warn of those without effect."""
        for entry in table:
            if entry.key in level.known:
                continue
            if entry.key in level.ignored:
                self.without_effect(entry, level.title, level.ignored[entry.key])
            elif entry.key.startswith("_"):
                self.without_effect(entry, level.title, "such a name is for other programs")
            elif entry.key in level.unsupported:
                value = entry.value.value if isinstance(entry.value, Scalar) else None
                shown = f'"{entry.key}: {value}"' if isinstance(value, str) else f'"{entry.key}"'
                self.problem(entry.place, f"{shown} in {level.title} is not supported here")
            else:
                self.unknown(entry, level)

    def without_effect(self, entry: Entry, where: str, why: str) -> None:
        """Note a key that changes nothing."""
        reason = f": {why}" if why else ""
        self.warn(entry.place, f'"{entry.key}" in {where} has no effect here{reason}')

    def unknown(self, entry: Entry, level: spec.Level) -> None:
        """Note a key that the level does not know, with the nearest that it knows."""
        hint = nearest(entry.key, level.known) or f"known: {', '.join(sorted(level.known))}"
        self.problem(entry.place, f'unknown key "{entry.key}" in {level.title}', hint)

    def value(
        self, table: MappingNode, key: str, of: spec.ValueType, *, null: bool = False
    ) -> document.Entry | None:
        """Return the entry of ``key`` when it is there and fits; ``null`` may stand there, too."""
        entry = table.entries.get(key)
        if entry is None:
            return None
        given = plain(entry.value)
        wrong = types.wrong(of, given)
        if wrong and not (null and given is None):
            self.problem(entry.value.place, f"{key}: {wrong}")
            return None
        return entry

    def text(self, table: MappingNode, key: str) -> str | None:
        """Return the text of ``key``, or None where it is not there or wrong."""
        entry = self.value(table, key, spec.NODE.known["name"])
        return str(entry.value.value) if entry and isinstance(entry.value, Scalar) else None

    def whole(self, table: MappingNode, key: str, of: spec.ValueType) -> int | None:
        """Return the whole number of ``key``, or None where it is not there or wrong."""
        entry = self.value(table, key, of)
        if entry and isinstance(entry.value, Scalar) and isinstance(entry.value.value, int):
            return entry.value.value
        return None

    def table(self, table: MappingNode, key: str) -> MappingNode | None:
        """Return the map of ``key``; one without a value is as if it were not there."""
        return self._collection(table, key, MappingNode, "a map")

    def items(self, table: MappingNode, key: str) -> SequenceNode | None:
        """Return the list of ``key``; one without a value is as if it were not there."""
        return self._collection(table, key, SequenceNode, "a list")

    def _collection(self, table: MappingNode, key: str, kind: type[T], name: str) -> T | None:
        value = table.get(key)
        if value is None or (isinstance(value, Scalar) and value.value is None):
            return None
        if not isinstance(value, kind):
            got = describe(plain(value))
            self.problem(value.place, f"{key}: expected {name}, got {got}")
            return None
        return value
