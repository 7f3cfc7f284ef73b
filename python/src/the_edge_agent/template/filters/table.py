"""Filters and tests by name, and those that call others.

A filter of text takes the text form of numbers, truth values, lists and maps. Null and what is
missing are errors everywhere but in ``default``, ``tojson`` (null alone) and the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from the_edge_agent.errors import TemplateError
from the_edge_agent.template.filters import lists, numbers, texts
from the_edge_agent.template.filters.lists import attribute_of
from the_edge_agent.template.operators import require
from the_edge_agent.value.value import Absent, elements, is_null, is_number, text_form


def default(subject: Any, /, value: Any = None, boolean: Any = False, **names: Any) -> Any:
    """Return ``value`` where ``subject`` is missing or null, or false when ``boolean`` is true."""
    value = names.pop("default_value", value)
    _no_more("default", (), names)
    absent = subject is None or isinstance(subject, Absent)
    return value if absent or (boolean and not subject) else subject


def map_elements(value: Any, *args: Any, **names: Any) -> list[Any]:
    """Return ``attribute`` of each element, or each element through the filter that is named."""
    items = elements(value)
    if "attribute" in names:
        attribute = names.pop("attribute")
        fallback = names.pop("default", None)
        _no_more("map", args, names)
        return [default(attribute_of(item, attribute), fallback) for item in items]
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
    return [item for item in elements(value) if _passes(attribute_of(item, attribute), test)]


def rejectattr(value: Any, attribute: Any, *test: Any) -> list[Any]:
    """Return the elements that ``selectattr`` leaves out."""
    return [item for item in elements(value) if not _passes(attribute_of(item, attribute), test)]


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
    "join": lists.join,
    "tojson": texts.tojson,
    "fromjson": texts.fromjson,
    "upper": texts.upper,
    "lower": texts.lower,
    "length": lists.length,
    "trim": texts.trim,
    "first": lists.first,
    "last": lists.last,
    "list": lists.to_list,
    "sort": lists.sort,
    "unique": lists.unique,
    "map": map_elements,
    "select": select,
    "reject": reject,
    "selectattr": selectattr,
    "rejectattr": rejectattr,
    "groupby": lists.groupby,
    "replace": texts.replace,
    "round": numbers.round_number,
    "int": numbers.to_int,
    "float": numbers.to_float,
    "string": lambda value, /: text_form(value),
    "abs": numbers.absolute,
    "min": lists.least,
    "max": lists.greatest,
    "sum": lists.total,
    "reverse": lists.reverse,
    "indent": texts.indent,
    "truncate": texts.truncate,
    "wordcount": texts.wordcount,
    "sha256": texts.sha256,
    "urlencode": texts.urlencode,
    "batch": lists.batch,
}
TESTS: Mapping[str, Callable[..., bool]] = {
    "defined": lambda value, /: not isinstance(value, Absent) or value.null,
    "none": lambda value, /: is_null(value),
    "string": lambda value, /: isinstance(value, str),
    "number": lambda value, /: is_number(value),
    "mapping": lambda value, /: isinstance(value, Mapping),
    "sequence": lambda value, /: isinstance(value, list | tuple),
}
