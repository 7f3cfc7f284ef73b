"""Writes the table as constants of the Python engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tasks.spec.table import Key, Level, Option, Table, ValueType

HEAD = '''\
"""The table of the workflow format and of the command line, as constants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ValueType:
    """What a key takes; ``least`` and ``most`` are in the range, ``above`` is not."""

    name: str
    expected: str  # in words
    least: float | None = None
    most: float | None = None
    above: float | None = None
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Level:
    """The keys of one level of the file. ``title`` says in messages where a key is."""

    title: str
    known: Mapping[str, ValueType]
    ignored: Mapping[str, str]  # keys without effect, and why
    unsupported: frozenset[str]


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of an action, and those that must be there."""

    types: Mapping[str, ValueType]
    required: frozenset[str]


@dataclass(frozen=True, slots=True)
class Keyword:
    """A keyword of JSON Schema, and what its value is.

    ``held``: the engines that hold an answer to it. ``message``: what is wrong with a value.
    """

    takes: str
    held: frozenset[str]
    message: str


@dataclass(frozen=True, slots=True)
class Option:
    """An option of the command, or, with ``count``, an argument. Without ``value`` a flag."""

    name: str
    help: str
    short: str = ""
    value: str = ""
    type: str = "text"
    words: tuple[str, ...] = ()
    repeated: bool = False
    count: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """A command of tea."""

    help: str
    options: tuple[Option, ...]
'''


def write(table: Table) -> str:
    """The module the_edge_agent.spec."""
    lines = [HEAD]
    lines += ["", "@dataclass(frozen=True, slots=True, kw_only=True)", "class Sampling:"]
    lines += ['    """How to choose the tokens of an answer."""', ""]
    for key in table.sampling:
        lines += [f"    {key.name}: {key.more['sampling']} = {key.default!r}"]
    lines += ["", ""]
    for level in table.levels.values():
        lines += _level(level)
    node = table.levels["node"]
    lines += [
        f"{name} = {_set(keys)}"
        for name, keys in (
            ("ANY_NODE", node.of_body(None)),
            ("ANY_STEP", table.levels["step"].of_body(None)),
            ("ACTION_BODY", node.of_body("action")),
            ("RUN_BODY", node.of_body("run")),
            ("LOOP_BODY", node.of_body("loop")),
            ("EACH_BODY", node.of_body("each")),
            ("EMPTY_NODE", node.empty),
        )
    ]
    lines += ["", "# Why keys of one style of body change nothing in the others."]
    lines += [f"ELSEWHERE: Mapping[str, str] = {_map(node.elsewhere)}"]
    lines += ["", "# What an API is sent; null for one of these lets it choose itself."]
    lines += [f"SENT = {_tuple(table.sent('always', 'given'))}"]
    lines += ["# Those of them that it is sent only where the file gives them."]
    lines += [f"SENT_WHERE_GIVEN = {_set(table.sent('given'))}", ""]
    for place in ("chat", "embed", "decide", "tools"):
        keys = table.parameters_of(place)
        lines += [f"{place.upper()} = {_parameters(keys)}"]
    lines += ["ACTIONS: Mapping[str, Parameters] = {"]
    for action in table.actions:
        value = action.like.upper() if action.like else _parameters(action.params)
        lines += [f'    "{action.name}": {value},']
    lines += ["}", ""]
    lines += ["# Keywords of JSON Schema.", "KEYWORDS: Mapping[str, Keyword] = {"]
    for keyword in table.keywords:
        shown = f"{_text(keyword.takes)}, {_set(keyword.held)}, {_text(keyword.message)}"
        lines += [f"    {_text(keyword.name)}: Keyword({shown}),"]
    lines += ["}", "# Formats of JSON Schema: what a whole text matches."]
    lines += ["FORMATS: Mapping[str, str] = {"]
    lines += [
        f"    {_text(name)}: {_text(pattern)},  # noqa: E501"
        for name, pattern in table.formats.items()
    ]
    lines += ["}", ""]
    lines += [f"{name} = {key.default!r}" for name, key in table.defaults()]
    lines += ["", "EXITS: Mapping[int, str] = {"]
    lines += [f"    {each.code}: {_text(each.help)}," for each in table.exits]
    lines += ["}", ""]
    lines += [f"EXIT_{each.name.upper()} = {each.code}" for each in table.exits]
    lines += ["", "# What models are told."]
    lines += [f"{name.upper()}_PROMPT = {_text(text)}" for name, text in table.prompts.items()]
    lines += ["", "COMMANDS: Mapping[str, Command] = {"]
    for command in table.commands:
        options = [*([command.argument] if command.argument else []), *command.options]
        lines += [f"    {_text(command.name)}: Command({_text(command.help)}, ("]
        lines += [f"        {_option(option)}," for option in options]
        lines += ["    )),"]
    return "\n".join([*lines, "}", ""])


def _text(text: str) -> str:
    escapes = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
    return f'"{text.translate(escapes)}"'


def _tuple(texts: Iterable[str]) -> str:
    inner = ", ".join(map(_text, texts))
    return f"({inner},)" if inner else "()"


def _set(texts: Iterable[str]) -> str:
    inner = ", ".join(map(_text, texts))
    return f"frozenset({{{inner}}})" if inner else "frozenset()"


def _map(texts: Mapping[str, str]) -> str:
    return f"{{{', '.join(f'{_text(key)}: {_text(value)}' for key, value in texts.items())}}}"


def _type(of: ValueType) -> str:
    parts = [_text(of.name), _text(of.expected)]
    parts += [
        f"{name}={bound!r}"
        for name, bound in (("least", of.least), ("most", of.most), ("above", of.above))
        if bound is not None
    ]
    parts += [f"words={_tuple(of.words)}"] if of.words else []
    return f"ValueType({', '.join(parts)})"


def _types(keys: Iterable[Key]) -> list[str]:
    return [f"{_text(key.name)}: {_type(key.type)}," for key in keys]


def _level(level: Level) -> list[str]:
    return [
        f"{level.id.upper()} = Level(",
        f"    {_text(level.title)},",
        "    {",
        *(f"        {each}" for each in _types(level.keys)),
        "    },",
        f"    {_map(level.ignored)},",
        f"    {_set(level.unsupported)},",
        ")",
    ]


def _parameters(keys: Iterable[Key]) -> str:
    keys = tuple(keys)
    inner = "\n".join(f"        {each}" for each in _types(keys))
    required = _set(key.name for key in keys if key.required)
    return f"Parameters(\n    {{\n{inner}\n    }},\n    {required},\n)"


def _option(option: Option) -> str:
    parts = [_text(option.name), _text(option.help)]
    parts += [
        f"{name}={_text(value)}"
        for name, value in (("short", option.short), ("value", option.value))
        if value
    ]
    parts += [f"type={_text(option.type)}"] if option.type != "text" else []
    parts += [f"words={_tuple(option.words)}"] if option.words else []
    parts += ["repeated=True"] if option.repeated else []
    parts += [f"count={_text(option.count)}"] if option.count else []
    return f"Option({', '.join(parts)})"
