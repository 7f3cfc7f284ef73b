"""Whether a value is what a JSON Schema describes, and where not.

Source: JSON Schema 2020-12, core and validation; a ``format`` is an assertion here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any

from the_edge_agent import redact
from the_edge_agent.schema.check import at
from the_edge_agent.schema.pattern import compiled
from the_edge_agent.spec import FORMATS, KEYWORDS
from the_edge_agent.value.value import is_number, json_text, same

MAX_ERRORS = 100
_SHOWN = 60  # characters of a keyword's value

Error = dict[str, str]  # path, keyword, message


def errors(schema: Any, value: Any) -> list[Error]:
    """Return what is wrong with ``value``, at most MAX_ERRORS; ``schema`` has been checked."""
    found: list[Error] = []
    for error in _errors(schema, value, "", schema):
        found.append(error)
        if len(found) == MAX_ERRORS:
            break
    return found


def accepts(schema: Any, value: Any, root: Any) -> bool:
    """Return whether a schema within ``root`` describes ``value``."""
    return next(_errors(schema, value, "", root), None) is None


def _errors(schema: Any, value: Any, path: str, root: Any) -> Iterator[Error]:
    if schema is False:
        yield {"path": path, "keyword": "false", "message": "nothing may be here"}
    if isinstance(schema, bool):
        return
    for keyword, wanted in schema.items():
        simple = _SIMPLE.get(keyword)
        if simple is not None:
            if not simple(value, wanted):
                yield _error(path, keyword, wanted)
            continue
        within = _WITHIN.get(keyword)
        if within is not None:
            yield from within(schema, value, path, root)


def _error(path: str, keyword: str, wanted: Any) -> Error:
    text = redact.shorten(json_text(wanted), _SHOWN)
    message = KEYWORDS[keyword].message.replace("{wanted}", text)
    return {"path": path, "keyword": keyword, "message": message}


_OF_TYPE: Mapping[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: is_number(value) and value == int(value),
    "number": is_number,
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def is_multiple(value: Any, divisor: Any) -> bool:
    """Return whether the digits of one number, as written, are a multiple of the other's."""
    return (Fraction(Decimal(repr(value))) / Fraction(Decimal(repr(divisor)))).denominator == 1


@cache
def _format(name: str) -> re.Pattern[str]:
    return re.compile(FORMATS[name])


def _has_twice(items: list[Any]) -> bool:
    return any(same(each, other) for number, each in enumerate(items) for other in items[:number])


def _on(kind: Callable[[Any], bool], holds: Callable[[Any, Any], bool]) -> Callable[..., bool]:
    """Return a check that only values of one kind can fail."""
    return lambda value, wanted: not kind(value) or holds(value, wanted)


def _is(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kind)


# Whether a value holds to a keyword, of those that need to know no other.
_SIMPLE: Mapping[str, Callable[[Any, Any], bool]] = {
    "type": lambda value, wanted: any(
        _OF_TYPE[name](value) for name in ([wanted] if isinstance(wanted, str) else wanted)
    ),
    "enum": lambda value, wanted: any(same(value, each) for each in wanted),
    "const": same,
    "minimum": _on(is_number, lambda value, wanted: value >= wanted),
    "maximum": _on(is_number, lambda value, wanted: value <= wanted),
    "exclusiveMinimum": _on(is_number, lambda value, wanted: value > wanted),
    "exclusiveMaximum": _on(is_number, lambda value, wanted: value < wanted),
    "multipleOf": _on(is_number, is_multiple),
    "minLength": _on(_is(str), lambda value, wanted: len(value) >= wanted),
    "maxLength": _on(_is(str), lambda value, wanted: len(value) <= wanted),
    "pattern": _on(_is(str), lambda value, wanted: bool(compiled(wanted).fullmatch(value))),
    "format": _on(_is(str), lambda value, wanted: bool(_format(wanted).fullmatch(value))),
    "minProperties": _on(_is(dict), lambda value, wanted: len(value) >= wanted),
    "maxProperties": _on(_is(dict), lambda value, wanted: len(value) <= wanted),
    "minItems": _on(_is(list), lambda value, wanted: len(value) >= wanted),
    "maxItems": _on(_is(list), lambda value, wanted: len(value) <= wanted),
    "uniqueItems": _on(_is(list), lambda value, wanted: not wanted or not _has_twice(value)),
}


def _reference(schema: Any, value: Any, path: str, root: Any) -> Iterator[Error]:
    yield from _errors(at(root, schema["$ref"]), value, path, root)


def _all_of(schema: Any, value: Any, path: str, root: Any) -> Iterator[Error]:
    for each in schema["allOf"]:
        yield from _errors(each, value, path, root)


def _any_of(schema: Any, value: Any, path: str, root: Any) -> Iterator[Error]:
    if not any(accepts(each, value, root) for each in schema["anyOf"]):
        yield _error(path, "anyOf", None)


def _one_of(schema: Any, value: Any, path: str, root: Any) -> Iterator[Error]:
    if sum(accepts(each, value, root) for each in schema["oneOf"]) != 1:
        yield _error(path, "oneOf", None)


def _not(schema: Any, value: Any, path: str, root: Any) -> Iterator[Error]:
    if accepts(schema["not"], value, root):
        yield _error(path, "not", None)


def _if(schema: Any, value: Any, path: str, root: Any) -> Iterator[Error]:
    branch = "then" if accepts(schema["if"], value, root) else "else"
    if branch in schema:
        yield from _errors(schema[branch], value, path, root)


def _required(schema: Any, value: Any, path: str, root: Any) -> Iterator[Error]:
    for name in schema["required"] if isinstance(value, dict) else ():
        if name not in value:
            yield _error(path, "required", name)


def _dependent_required(schema: Any, value: Any, path: str, root: Any) -> Iterator[Error]:
    for name, wanted in schema["dependentRequired"].items() if isinstance(value, dict) else ():
        for other in wanted if name in value else ():
            if other not in value:
                yield _error(path, "dependentRequired", other)


def _dependent_schemas(schema: Any, value: Any, path: str, root: Any) -> Iterator[Error]:
    for name, inner in schema["dependentSchemas"].items() if isinstance(value, dict) else ():
        if name in value:
            yield from _errors(inner, value, path, root)


def _properties(schema: Any, value: Any, path: str, root: Any) -> Iterator[Error]:
    for name, inner in schema["properties"].items() if isinstance(value, dict) else ():
        if name in value:
            yield from _errors(inner, value[name], _below(path, name), root)


def _pattern_properties(schema: Any, value: Any, path: str, root: Any) -> Iterator[Error]:
    for key, inner in schema["patternProperties"].items() if isinstance(value, dict) else ():
        for name, each in value.items():
            if compiled(key).fullmatch(name):
                yield from _errors(inner, each, _below(path, name), root)


def _additional(schema: Any, value: Any, path: str, root: Any) -> Iterator[Error]:
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name, each in value.items() if isinstance(value, dict) else ():
        if name not in known and not any(compiled(key).fullmatch(name) for key in patterns):
            yield from _errors(schema["additionalProperties"], each, _below(path, name), root)


def _property_names(schema: Any, value: Any, path: str, root: Any) -> Iterator[Error]:
    for name in value if isinstance(value, dict) else ():
        yield from _errors(schema["propertyNames"], name, _below(path, name), root)


def _prefix_items(schema: Any, value: Any, path: str, root: Any) -> Iterator[Error]:
    pairs = zip(schema["prefixItems"], value, strict=False) if isinstance(value, list) else ()
    for number, (inner, each) in enumerate(pairs):
        yield from _errors(inner, each, f"{path}/{number}", root)


def _items(schema: Any, value: Any, path: str, root: Any) -> Iterator[Error]:
    begin = len(schema.get("prefixItems", ()))
    for number, each in enumerate(value) if isinstance(value, list) else ():
        if number >= begin:
            yield from _errors(schema["items"], each, f"{path}/{number}", root)


def _contains(schema: Any, value: Any, path: str, root: Any) -> Iterator[Error]:
    if not isinstance(value, list):
        return
    count = sum(accepts(schema["contains"], each, root) for each in value)
    least, most = schema.get("minContains"), schema.get("maxContains")
    if least is None and count == 0:
        yield _error(path, "contains", None)
    elif least is not None and count < least:
        yield _error(path, "minContains", least)
    if most is not None and count > most:
        yield _error(path, "maxContains", most)


def _below(path: str, name: str) -> str:
    return f"{path}/{name.replace('~', '~0').replace('/', '~1')}"


_WITHIN: Mapping[str, Callable[[Any, Any, str, Any], Iterator[Error]]] = {
    "$ref": _reference,
    "allOf": _all_of,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "not": _not,
    "if": _if,
    "required": _required,
    "dependentRequired": _dependent_required,
    "dependentSchemas": _dependent_schemas,
    "properties": _properties,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional,
    "propertyNames": _property_names,
    "prefixItems": _prefix_items,
    "items": _items,
    "contains": _contains,
}
