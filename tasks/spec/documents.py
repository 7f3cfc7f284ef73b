"""Writes the tables of documents, each between two comments that name it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from tasks.base.errors import CatalogError
from tasks.spec.table import Command, Key, Keyword, Option, Table

_PART = re.compile(
    r"(<!-- generated: (?P<name>[a-z._-]+) -->\n).*?(<!-- end of generated -->\n)", re.DOTALL
)


def fill(name: str, text: str, table: Table) -> str:
    """The document's text with its tables written anew.

    Raises:
        CatalogError: it asks for a table that there is not.
    """

    def part(found: re.Match[str]) -> str:
        write = _PARTS.get(found["name"])
        if write is None:
            raise CatalogError(f"{name}: there is no generated table {found['name']!r}")
        return f"{found[1]}{write(table)}{found[3]}"

    return _PART.sub(part, text)


def _rows(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(
        f"| {' | '.join(row)} |\n".replace("|  |", "| |").replace("|  |", "| |") for row in lines
    )


def _keys(keys: Iterable[Key], prefix: str = "") -> str:
    return _rows(
        ("key", "takes", "default", ""),
        ((f"`{prefix}{key.name}`", key.type.expected, _default(key), key.help) for key in keys),
    )


def _default(key: Key) -> str:
    default = key.default
    if default is None:
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    return f"`{default}`" if isinstance(default, str) else str(default)


def _settings(table: Table) -> str:
    levels = table.levels
    outer = [key for key in levels["settings"].keys if key.name != "llm"]
    own = [key for key in levels["llm"].keys if "chat" not in key.more["of"]]
    own += [key for key in levels["llm"].keys if key.name == "backend"]
    shared = [key for key in levels["llm"].keys if key not in own]
    names = ", ".join(f"`{key.name}`" for key in shared)
    return (
        _keys(outer)
        + _keys(own, "llm.").split("\n", 2)[2]
        + f"| `llm.…` | | | defaults for the chat parameters: {names} |\n"
    )


def _actions(table: Table) -> str:
    return _rows(
        ("action", "parameters", "result", ""),
        (
            (
                f"`{action.name}`",
                ", ".join(f"`{key.name}`" for key in action.params),
                f"`{{{', '.join(action.result)}}}`" if action.result else "",
                action.help,
            )
            for action in table.actions
            if not action.like
        ),
    )


def _keywords(table: Table) -> str:
    """Which answers are held to which keyword; those that change nothing stand below."""

    def is_plain(keyword: Keyword) -> bool:
        return not keyword.message and keyword.takes in ("dialect", "text", "any", "list", "flag")

    rows = (
        (f"`{each.name}`", *("yes" if engine in each.held else "" for engine in ("local", "page")))
        for each in table.keywords
        if not is_plain(each)
    )
    others = ", ".join(f"`{each.name}`" for each in table.keywords if is_plain(each))
    return _rows(("keyword", "held to in Python and Rust", "in a page"), rows) + (
        f"\nThese change nothing: {others}.\n"
    )


def _filters(table: Table) -> str:
    return _rows(
        ("filter", "gives"), ((f"`{each.signature}`", each.help) for each in table.filters)
    )


def _tests(table: Table) -> str:
    return _rows(("test", "holds for"), ((f"`{each.name}`", each.help) for each in table.tests))


def _option(option: Option) -> tuple[str, str]:
    value = "`, `".join(option.words) or option.value
    names = [f"`-{option.short}`"] if option.short else []
    names.append(f"`--{option.name} {value}`" if value else f"`--{option.name}`")
    return ", ".join(names).replace("|@FILE", "` or `@FILE"), option.doc


def _command(table: Table, name: str) -> str:
    command: Command = next(each for each in table.commands if each.name == name)
    return _rows(("option", "meaning"), map(_option, command.options))


def _exits(table: Table) -> str:
    return _rows(("code", "meaning"), ((str(each.code), each.help) for each in table.exits))


_PARTS: Mapping[str, Callable[[Table], str]] = {
    "file": lambda table: _keys(table.levels["file"].keys),
    "chat": lambda table: _keys(table.parameters_of("chat")),
    "decide": lambda table: _keys(table.parameters_of("decide")),
    "actions": _actions,
    "settings": _settings,
    "error_handling": lambda table: _keys(table.levels["error_handling"].keys),
    "retry": lambda table: _keys(table.levels["retry"].keys),
    "keywords": _keywords,
    "formats": lambda table: ", ".join(f"`{name}`" for name in table.formats) + ".\n",
    "filters": _filters,
    "tests": _tests,
    "run": lambda table: _command(table, "run"),
    "chat-command": lambda table: _command(table, "chat"),
    "exits": _exits,
}
