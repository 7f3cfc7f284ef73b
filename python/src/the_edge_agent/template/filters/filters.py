"""The filters and tests of templates.

A filter of text takes the text form of numbers, truth values, lists and maps. Null and what is
missing are errors everywhere but in ``default``, ``tojson`` (null alone) and the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cmp_to_key
from typing import Any

from the_edge_agent import limits
from the_edge_agent.errors import TemplateError
from the_edge_agent.template.filters import texts
from the_edge_agent.template.operators import calculate, contains, member, require
from the_edge_agent.value.value import (
    Absent,
    Group,
    before,
    elements,
    is_null,
    is_number,
    same,
    text_form,
)


def default(subject: Any, /, value: Any = None, boolean: Any = False, **names: Any) -> Any:
    """Return ``value`` where ``subject`` is missing or null, or false when ``boolean`` is true."""
    value = names.pop("default_value", value)
    _no_more("default", (), names)
    absent = subject is None or isinstance(subject, Absent)
    return value if absent or (boolean and not subject) else subject


def join(value: Any, separator: str = "", attribute: Any = None) -> str:
    """Return the text forms of the elements, with ``separator`` between them."""
    items = [item if attribute is None else _attribute(item, attribute) for item in elements(value)]
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


def map_elements(value: Any, *args: Any, **names: Any) -> list[Any]:
    """Return ``attribute`` of each element, or each element through the filter that is named."""
    items = elements(value)
    if "attribute" in names:
        attribute = names.pop("attribute")
        fallback = names.pop("default", None)
        _no_more("map", args, names)
        return [default(_attribute(item, attribute), fallback) for item in items]
    if not args:
        raise TemplateError("map needs the name of a filter, or attribute=")
    chosen = lookup(FILTERS, "filter", args[0])
    return [call(chosen, args[0], item, args[1:], names) for item in items]


def select(value: Any, *test: Any) -> list[Any]:
    """Return the elements that pass the test, or that are true."""
    return [item for item in elements(value) if _passes(item, test)]


def reject(value: Any, *test: Any) -> list[Any]:
    """Return the elements that ``select`` leaves out."""
    return [item for item in elements(value) if not _passes(item, test)]


def selectattr(value: Any, attribute: Any, *test: Any) -> list[Any]:
    """Return the elements whose ``attribute`` passes the test, or is true."""
    return [item for item in elements(value) if _passes(_attribute(item, attribute), test)]


def rejectattr(value: Any, attribute: Any, *test: Any) -> list[Any]:
    """Return the elements that ``selectattr`` leaves out."""
    return [item for item in elements(value) if not _passes(_attribute(item, attribute), test)]


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
        key = _attribute(item, attribute)
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
        result = calculate(result, "+", item if attribute is None else _attribute(item, attribute))
    return result


def reverse(value: Any) -> Any:
    """Return the text or the list, last first."""
    if isinstance(value, str):
        limits.charge_text(len(value))
        return value[::-1]
    return elements(value)[::-1]


def _attribute(item: Any, attribute: Any) -> Any:
    """Return ``item.attribute``; dots in the name lead deeper."""
    if not isinstance(attribute, str):
        return member(item, attribute, f"[{attribute}]")
    for name in attribute.split("."):
        key = int(name) if name.isdecimal() and not isinstance(item, Mapping) else name
        item = member(item, key, attribute)
    return item


def _folded(item: Any, attribute: Any, case_sensitive: Any) -> Any:
    key = item if attribute is None else _attribute(item, attribute)
    return key.lower() if isinstance(key, str) and not case_sensitive else key


def _passes(value: Any, test: tuple[Any, ...]) -> bool:
    if not test:
        return bool(value)
    return bool(call(lookup(TESTS, "test", test[0]), test[0], value, test[1:], {}))


def _no_more(name: str, args: tuple[Any, ...], names: Mapping[str, Any]) -> None:
    if args or names:
        raise TemplateError(f"{name} was given more arguments than it takes")


def lookup(table: Mapping[str, Callable[..., Any]], kind: str, name: Any) -> Callable[..., Any]:
    """Return what ``name`` names. Raises TemplateError where it names nothing."""
    if not isinstance(name, str) or name not in table:
        raise TemplateError(f"there is no {kind} {name!r}")
    return table[name]


def call(
    function: Callable[..., Any],
    name: str,
    value: Any,
    args: tuple[Any, ...],
    names: Mapping[str, Any],
) -> Any:
    """Call a filter or a test. Raises TemplateError where the arguments do not fit it."""
    if function is not default:
        for argument in (*args, *names.values()):
            require(argument) if isinstance(argument, Absent) else None
    try:
        return function(value, *args, **names)
    except (TypeError, AttributeError, ValueError, RecursionError) as error:
        raise TemplateError(f"{name}: the arguments do not fit") from error


FILTERS: Mapping[str, Callable[..., Any]] = {
    "default": default,
    "join": join,
    "tojson": texts.tojson,
    "fromjson": texts.fromjson,
    "upper": texts.upper,
    "lower": texts.lower,
    "length": length,
    "trim": texts.trim,
    "first": first,
    "last": last,
    "list": to_list,
    "sort": sort,
    "unique": unique,
    "map": map_elements,
    "select": select,
    "reject": reject,
    "selectattr": selectattr,
    "rejectattr": rejectattr,
    "groupby": groupby,
    "replace": texts.replace,
    "round": texts.round_number,
    "int": texts.to_int,
    "float": texts.to_float,
    "string": lambda value, /: text_form(value),
    "abs": texts.absolute,
    "min": least,
    "max": greatest,
    "sum": total,
    "reverse": reverse,
    "indent": texts.indent,
    "truncate": texts.truncate,
    "wordcount": texts.wordcount,
    "sha256": texts.sha256,
}
TESTS: Mapping[str, Callable[..., bool]] = {
    "defined": lambda value, /: not isinstance(value, Absent) or value.null,
    "none": lambda value, /: is_null(value),
    "string": lambda value, /: isinstance(value, str),
    "number": lambda value, /: is_number(value),
    "mapping": lambda value, /: isinstance(value, Mapping),
    "sequence": lambda value, /: isinstance(value, list | tuple),
}
