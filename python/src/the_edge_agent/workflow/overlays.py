"""Overlays: files that are laid over a workflow file, key by key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from the_edge_agent.errors import InvalidFile, Problem
from the_edge_agent.yaml import document
from the_edge_agent.yaml.document import Entry, MappingNode, Scalar, SequenceNode, Value, shown

DELETE = "__delete__"

# The lists whose items are known by some of their keys; * is an item of a list.
_IDENTITIES: Mapping[tuple[str, ...], tuple[str, ...]] = {
    ("nodes",): ("name",),
    ("nodes", "*", "goto"): ("to",),
    ("edges",): ("from", "to"),
}

_Path = tuple[str, ...]


def merged(text: str, file: str, overlays: Iterable[tuple[str, str]]) -> Value:
    """Return what a file says with ``overlays``, texts and their names, laid over it in turn.

    Raises:
        InvalidFile: one of them is no YAML, is no map, or deletes what is not there.
    """
    value = document.parse(text, file)
    for over_text, name in overlays:
        over = document.parse(over_text, name)
        if not isinstance(over, MappingNode):
            raise InvalidFile([Problem(over.place, "an overlay is a map, as a workflow is")])
        if isinstance(value, MappingNode):  # else loading says what is wrong
            problems: list[Problem] = []
            value = _merge(value, over, (), problems)
            if problems:
                raise InvalidFile(problems)
    return value


def _merge(base: Value | None, over: Value, path: _Path, problems: list[Problem]) -> Value:
    if isinstance(over, MappingNode):
        return _merge_maps(base, over, path, problems)
    keys = _IDENTITIES.get(path)
    if keys and isinstance(base, SequenceNode) and isinstance(over, SequenceNode):
        return _merge_lists(base, over, path, keys, problems)
    return over


def _merge_maps(
    base: Value | None, over: MappingNode, path: _Path, problems: list[Problem]
) -> MappingNode:
    entries = dict(base.entries) if isinstance(base, MappingNode) else {}
    for entry in over:
        old = entries.get(entry.key)
        if not _deletes(entry.value, problems):
            inner = (*path, entry.key)
            value = _merge(old.value if old else None, entry.value, inner, problems)
            is_merged = old is not None and value.place == old.value.place
            place = old.place if old is not None and is_merged else entry.place
            entries[entry.key] = Entry(entry.key, place, value)
        elif old is None:
            problems.append(Problem(entry.place, f'there is no "{entry.key}" to delete'))
        else:
            del entries[entry.key]
    return replace(base if isinstance(base, MappingNode) else over, entries=entries)


def _merge_lists(
    base: SequenceNode, over: SequenceNode, path: _Path, keys: _Path, problems: list[Problem]
) -> SequenceNode:
    items = list(base.items)
    for item in over.items:
        same = [at for at, old in enumerate(items) if _identity(old, keys) == _identity(item, keys)]
        if not _deletes(item, problems):
            at = same[0] if same else len(items)
            old = items[at] if same else None
            items[at : at + 1] = [_merge(old, item, (*path, "*"), problems)]
        elif same:
            items = [old for at, old in enumerate(items) if at not in same]
        else:
            wanted = " and ".join(f'"{key}"' for key in keys)
            problems.append(Problem(item.place, f"no item to delete has this {wanted}"))
    return replace(base, items=tuple(items))


def _identity(item: Value, keys: _Path) -> Any:
    if not isinstance(item, MappingNode) or not any(key in item for key in keys):
        return object()  # like no other
    return [shown(value) if (value := item.get(key)) else "" for key in keys]


def _deletes(value: Value, problems: list[Problem]) -> bool:
    mark = value.get(DELETE) if isinstance(value, MappingNode) else None
    if mark is None:
        return False
    if not isinstance(mark, Scalar) or mark.value is not True:
        problems.append(Problem(mark.place, f"{DELETE} must be true"))
    return True
