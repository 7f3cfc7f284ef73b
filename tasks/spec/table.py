"""Reads spec/: the one table of the workflow format and the command line."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from tasks.base.errors import CatalogError
from tasks.base.paths import ROOT

SPEC = ROOT / "spec"
Number = int | float


@dataclass(frozen=True, slots=True)
class ValueType:
    """What a key takes; ``least`` and ``most`` are in the range, ``above`` is not."""

    name: str
    expected: str  # in words, as messages have it
    schema: Mapping[str, Any]
    least: Number | None
    most: Number | None
    above: Number | None
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a level, or a parameter of an action."""

    name: str
    type: ValueType
    help: str
    default: Any
    required: bool | list[str]  # of parameters.toml, the actions that must have it
    more: Mapping[str, Any]  # columns of one table alone


@dataclass(frozen=True, slots=True)
class Level:
    """The keys of one level of a file."""

    id: str
    title: str
    keys: tuple[Key, ...]
    ignored: Mapping[str, str]  # keys without effect, and why; "" where nothing is to be said
    unsupported: tuple[str, ...]
    required: tuple[str, ...]
    empty: tuple[str, ...]
    templates: bool  # its texts are templates

    @property
    def elsewhere(self) -> Mapping[str, str]:
        """Why a key of one style of body changes nothing in the others."""
        return {key.name: key.more["elsewhere"] for key in self.keys if "elsewhere" in key.more}

    def of_body(self, body: str | None) -> tuple[str, ...]:
        """The keys of one style of body; None: those that every style has."""
        return tuple(key.name for key in self.keys if key.more.get("body") == body)


@dataclass(frozen=True, slots=True)
class Action:
    """What `uses` can name."""

    name: str
    params: tuple[Key, ...]
    result: tuple[str, ...]
    help: str
    like: str  # "chat", "embed", "decide" or "tools", or "" where it has parameters of its own


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a filter after its subject."""

    name: str
    required: bool
    default: str  # as JSON; "" where it is null


@dataclass(frozen=True, slots=True)
class Function:
    """A filter or a test."""

    name: str
    help: str
    arguments: tuple[Argument, ...] = ()
    more: str = ""  # further arguments: "positions", "names" or "both"

    @property
    def signature(self) -> str:
        """As documents show it."""
        shown = [
            f"{each.name}={each.default}" if each.default else each.name for each in self.arguments
        ]
        return f"{self.name}({', '.join(shown)})" if shown else self.name


@dataclass(frozen=True, slots=True)
class Option:
    """An option of the command, or, without dashes, an argument."""

    name: str
    help: str
    doc: str
    short: str
    value: str  # "" for a flag
    type: str
    words: tuple[str, ...]
    repeated: bool
    count: str  # of an argument: "one", "some" or "optional"


@dataclass(frozen=True, slots=True)
class Command:
    """A command of tea; "tea" is the program itself."""

    name: str
    help: str
    argument: Option | None
    options: tuple[Option, ...]


@dataclass(frozen=True, slots=True)
class Exit:
    """An exit code of tea."""

    name: str
    code: int
    help: str


@dataclass(frozen=True, slots=True)
class Keyword:
    """A keyword of JSON Schema. ``held``: local, page, both or none; see spec/schema.toml."""

    name: str
    takes: str
    held: tuple[str, ...]
    message: str


@dataclass(frozen=True, slots=True)
class Table:
    """All of spec/."""

    levels: Mapping[str, Level]
    parameters: Mapping[str, Key]
    actions: tuple[Action, ...]
    filters: tuple[Function, ...]
    tests: tuple[Function, ...]
    error_types: Mapping[str, Mapping[str, Any]]
    exits: tuple[Exit, ...]
    commands: tuple[Command, ...]
    prompts: Mapping[str, str]
    keywords: tuple[Keyword, ...]
    formats: Mapping[str, str]

    def parameters_of(self, place: str) -> tuple[Key, ...]:
        """The parameters of "chat", "embed", "decide", "tools" or "settings"."""
        return _parameters_of(self.parameters, place)

    @property
    def sampling(self) -> tuple[Key, ...]:
        """The parameters that choose the tokens."""
        return tuple(key for key in self.parameters.values() if "sampling" in key.more)

    def defaults(self) -> Iterator[tuple[str, Key]]:
        """Numbers that stand where a file gives none, by the names of their constants."""
        parameters = self.parameters_of("chat")
        keys = [("LLM", key) for key in parameters if "sampling" not in key.more]
        for level in ("settings", "error_handling", "node"):
            keys += [(level.upper(), key) for key in self.levels[level].keys]
        for level, key in keys:
            if isinstance(key.default, int | float) and not isinstance(key.default, bool):
                yield f"{level}_{key.name.upper()}", key

    def sent(self, *when: str) -> tuple[str, ...]:
        """The parameters that an API is sent "always", or where they are "given"."""
        return tuple(key.name for key in self.parameters.values() if key.more.get("api") in when)


class _Reader:
    """Rows with the columns that they may have; an error names file, row and column."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._types = self._load("types")

    def _load(self, name: str) -> dict[str, Any]:
        path = self._folder / f"{name}.toml"
        try:
            return tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise CatalogError(f"spec/{name}.toml: {error}") from error

    def _key(self, where: str, name: str, row: Mapping[str, Any], more: frozenset[str]) -> Key:
        known = {"type", "help", "default", "required", "least", "most", "above", "words"} | more
        for column in row:
            if column not in known:
                raise CatalogError(f"{where}.{name}.{column}: no such column")
        for column in ("type", "help"):
            if not isinstance(row.get(column), str):
                raise CatalogError(f"{where}.{name}.{column}: expected text")
        return Key(
            name=name,
            type=self._type(f"{where}.{name}", row),
            help=row["help"],
            default=row.get("default"),
            required=row.get("required", False),
            more={column: row[column] for column in more if column in row},
        )

    def _type(self, where: str, row: Mapping[str, Any]) -> ValueType:
        base = self._types.get(row["type"])
        if base is None:
            raise CatalogError(f"{where}.type: spec/types.toml has no {row['type']!r}")
        least, most, above = row.get("least"), row.get("most"), row.get("above")
        words = tuple(row.get("words", ()))
        expected, schema = base["words"], dict(base.get("schema", {}))
        if words:
            expected, schema = f"{expected} {', '.join(words)}", {"enum": list(words)}
        if least is not None:
            expected += f" from {least} on" if most is None else f" from {least} to {most}"
            schema["minimum"] = least
        if most is not None:
            schema["maximum"] = most
        if above is not None:
            expected += f" above {above}"
            schema["exclusiveMinimum"] = above
        return ValueType(row["type"], expected, schema, least, most, above, words)

    def parameters(self) -> dict[str, Key]:
        """The rows of parameters.toml."""
        more = frozenset({"of", "sampling", "api"})
        rows = self._load("parameters")
        return {name: self._key("parameters.toml: ", name, row, more) for name, row in rows.items()}

    def levels(self, parameters: Mapping[str, Key]) -> dict[str, Level]:
        """The rows of levels.toml."""
        rows = self._load("levels")
        groups = rows.pop("groups")
        found: dict[str, Level] = {}

        def names(row: Mapping[str, Any], column: str) -> tuple[str, ...]:
            parts = [groups[each[1:]] if each[0] == "@" else [each] for each in row.get(column, ())]
            return tuple(each for part in parts for each in part)

        for name, row in rows.items():
            where = f"levels.toml: {name}"
            base = found[row["same"]] if "same" in row else None
            if base:
                chosen = row.get("keys", [key.name for key in base.keys])
                keys = tuple(key for key in base.keys if key.name in chosen)
            else:
                keys = tuple(
                    self._key(where, key, columns, frozenset({"body", "elsewhere"}))
                    for key, columns in row["keys"].items()
                )
            if name == "llm":
                keys = tuple(key for key in parameters.values() if "settings" in key.more["of"])
            found[name] = Level(
                id=name,
                title=row["title"],
                keys=keys,
                ignored=dict(map(_reason, names(row, "ignored")))
                if "ignored" in row or not base
                else base.ignored,
                unsupported=names(row, "unsupported")
                if "unsupported" in row or not base
                else base.unsupported,
                required=names(row, "required"),
                empty=names(row, "empty"),
                templates=bool(row.get("templates", False)),
            )
        return found

    def actions(self, parameters: Mapping[str, Key]) -> tuple[Action, ...]:
        """The rows of actions.toml."""
        found = []
        for name, row in self._load("actions").items():
            like = row.get("like", "")
            own = row.get("params", {})
            params = (
                _parameters_of(parameters, like)
                if like
                else tuple(
                    self._key(f"actions.toml: {name}", key, own[key], frozenset()) for key in own
                )
            )
            found.append(Action(name, params, tuple(row.get("result", ())), row["help"], like))
        return tuple(found)

    def functions(self) -> tuple[tuple[Function, ...], tuple[Function, ...]]:
        """Filters and tests."""
        rows = self._load("templates")
        filters, tests = (
            tuple(
                Function(
                    name,
                    row["help"],
                    tuple(map(_argument, row.get("params", ()))),
                    row.get("more", ""),
                )
                for name, row in rows[kind].items()
            )
            for kind in ("filters", "tests")
        )
        return filters, tests

    def commands(self) -> tuple[Command, ...]:
        """The commands with their options."""
        rows = self._load("command")
        arguments = {name: _option(name, row) for name, row in rows["arguments"].items()}
        options = {name: _option(name, row) for name, row in rows["options"].items()}
        return tuple(
            Command(
                name,
                row["help"],
                arguments.get(row.get("argument", "")),
                tuple(options[each] for each in row["options"]),
            )
            for name, row in rows["commands"].items()
        )

    def prompts(self) -> dict[str, str]:
        """The rows of prompts.toml; the line end at their head is not part of it (TOML)."""
        return {name: row["text"] for name, row in self._load("prompts").items()}

    def keywords(self) -> tuple[Keyword, ...]:
        """The keywords of JSON Schema."""
        return tuple(
            Keyword(name, row["takes"], tuple(row.get("held", ())), row.get("message", ""))
            for name, row in self._load("schema")["keywords"].items()
        )

    def formats(self) -> dict[str, str]:
        """The formats of JSON Schema, each with the pattern of its texts."""
        rows = self._load("schema")
        known: dict[str, str] = dict(rows["parts"])

        def filled(pattern: str) -> str:
            return re.sub(r"\{([a-z][a-z0-9-]*)\}", lambda found: known[found[1]], pattern)

        known = {name: filled(pattern) for name, pattern in known.items()}
        for name in ("date", "time", "hostname", "ipv4"):
            known[name] = filled(rows["formats"][name])  # parts of others
        return {name: filled(pattern) for name, pattern in rows["formats"].items()}

    def table(self) -> Table:
        """All of it."""
        parameters = self.parameters()
        filters, tests = self.functions()
        errors = self._load("errors")
        return Table(
            levels=self.levels(parameters),
            parameters=parameters,
            actions=self.actions(parameters),
            filters=filters,
            tests=tests,
            error_types=errors["types"],
            exits=tuple(
                Exit(name, row["code"], row["help"]) for name, row in errors["exits"].items()
            ),
            commands=self.commands(),
            prompts=self.prompts(),
            keywords=self.keywords(),
            formats=self.formats(),
        )


def _parameters_of(parameters: Mapping[str, Key], place: str) -> tuple[Key, ...]:
    return tuple(
        replace(key, required=key.required is True or place in (key.required or ()))
        for key in parameters.values()
        if place in key.more["of"] or (place == "tools" and "chat" in key.more["of"])
    )


def _argument(text: str) -> Argument:
    name, _, default = text.partition("=")
    if default:
        json.loads(default)  # what documents show is what it is
    return Argument(name.removesuffix("!"), name.endswith("!"), default)


def _reason(text: str) -> tuple[str, str]:
    key, _, why = text.partition(": ")
    return key, why


def _option(name: str, row: Mapping[str, Any]) -> Option:
    return Option(
        name=row.get("name", name),
        help=row["help"],
        doc=row.get("doc", row["help"]),
        short=row.get("short", ""),
        value=row.get("value", ""),
        type=row.get("type", "text"),
        words=tuple(row.get("words", ())),
        repeated=bool(row.get("repeated", False)),
        count=row.get("count", ""),
    )


@cache
def read(folder: Path = SPEC) -> Table:
    """The table.

    Raises:
        CatalogError: a row has a column that there is not, or lacks one.
    """
    return _Reader(folder).table()
