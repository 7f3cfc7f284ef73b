"""The filters of lists."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cmp_to_key
from typing import Any

from the_edge_agent import limits
from the_edge_agent.errors import TemplateError
from the_edge_agent.template.filters.numbers import whole
from the_edge_agent.template.operators import calculate, contains, member, require
from the_edge_agent.value.value import Absent, Group, before, elements, same, text_form


def join(value: Any, separator: str = "", attribute: Any = None) -> str:
    """Return the text forms of the elements, with ``separator`` between them."""
    items = [
        item if attribute is None else attribute_of(item, attribute) for item in elements(value)
    ]
    texts = [text_form(item, f"element {number}") for number, item in enumerate(items, 1)]
    limits.check_text(sum(map(len, texts)) + len(text_form(separator)) * len(texts))
    return text_form(separator).join(texts)


def length(value: Any) -> int:
    """Return the number of characters, elements or keys."""
    if isinstance(value, str | Mapping | list | tuple):
        return len(value)
    return len(elements(require(value)))


def first(value: Any) -> Any:
    """Return the first element; missing where there is none."""
    items = elements(value)
    return items[0] if items else Absent(path="the first element")


def last(value: Any) -> Any:
    """Return the last element; missing where there is none."""
    items = elements(value)
    return items[-1] if items else Absent(path="the last element")


def to_list(value: Any) -> list[Any]:
    """Return the elements, the keys or the characters as a list."""
    return elements(value)


def sort(
    value: Any, reverse: Any = False, case_sensitive: Any = False, attribute: Any = None
) -> list[Any]:
    """Return the elements in order; equal ones keep theirs."""
    key = cmp_to_key(lambda a, b: -1 if before(a, b) else 1 if before(b, a) else 0)
    return sorted(
        elements(value),
        key=lambda item: key(require(_folded(item, attribute, case_sensitive))),
        reverse=bool(reverse),
    )


def unique(value: Any, case_sensitive: Any = False, attribute: Any = None) -> list[Any]:
    """Return the elements without those that equal an earlier one."""
    seen: list[Any] = []
    seen_texts: set[str] = set()
    result = []
    for item in elements(value):
        key = _folded(item, attribute, case_sensitive)
        known = key in seen_texts if isinstance(key, str) else contains(seen, key)
        if known:
            continue
        if isinstance(key, str):
            seen_texts.add(key)
        else:
            seen.append(key)
        result.append(item)
    return result


def groupby(
    value: Any,
    attribute: Any,
    default: Any = None,
    case_sensitive: Any = False,
) -> list[Group]:
    """Return pairs of a value of ``attribute`` and the elements that have it, in order of it."""
    groups: list[Group] = []
    pairs = []
    for item in elements(value):
        key = attribute_of(item, attribute)
        absent = isinstance(key, Absent)
        pairs.append([require(default, key.path) if absent else key, item])
    for key, item in sort(pairs, case_sensitive=case_sensitive, attribute=0):
        folded = _folded(key, None, case_sensitive)
        if not groups or not same(_folded(groups[-1][0], None, case_sensitive), folded):
            groups.append(Group([key, []]))
        groups[-1][1].append(item)
    return groups


def least(value: Any, case_sensitive: Any = False, attribute: Any = None) -> Any:
    """Return the smallest element; missing where there is none."""
    return first(sort(value, case_sensitive=case_sensitive, attribute=attribute))


def greatest(value: Any, case_sensitive: Any = False, attribute: Any = None) -> Any:
    """Return the first of the largest elements; missing where there is none."""
    ordered = sort(value, reverse=True, case_sensitive=case_sensitive, attribute=attribute)
    return first(ordered)


def total(value: Any, attribute: Any = None, start: Any = 0) -> Any:
    """Return ``start`` plus all elements, added from the first to the last."""
    result = start
    for item in elements(value):
        result = calculate(
            result, "+", item if attribute is None else attribute_of(item, attribute)
        )
    return result


def reverse(value: Any) -> Any:
    """Return the text or the list, last first."""
    if isinstance(value, str):
        limits.charge_text(len(value))
        return value[::-1]
    return elements(value)[::-1]


def attribute_of(item: Any, attribute: Any) -> Any:
    """Return ``item.attribute``; dots in the name lead deeper."""
    if not isinstance(attribute, str):
        return member(item, attribute, f"[{attribute}]")
    for name in attribute.split("."):
        key = int(name) if name.isdecimal() and not isinstance(item, Mapping) else name
        item = member(item, key, attribute)
    return item


def _folded(item: Any, attribute: Any, case_sensitive: Any) -> Any:
    key = item if attribute is None else attribute_of(item, attribute)
    return key.lower() if isinstance(key, str) and not case_sensitive else key


def batch(value: Any, linecount: Any, fill_with: Any = None) -> list[list[Any]]:
    """Return lists of ``linecount`` elements each, the last filled up with ``fill_with``."""
    size = whole(linecount, "linecount")
    if size == 0:
        raise TemplateError("batch needs a linecount of 1 or more")
    items = elements(value)
    batches = [items[start : start + size] for start in range(0, len(items), size)]
    if batches and fill_with is not None:
        missing = size - len(batches[-1])
        limits.charge(missing)
        batches[-1] += [fill_with] * missing
    return batches
