"""What is wrong with a JSON Schema itself, before any value is checked against it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from the_edge_agent import redact
from the_edge_agent.schema import pattern
from the_edge_agent.spec import FORMATS, KEYWORDS
from the_edge_agent.suggest import nearest
from the_edge_agent.value.value import is_number, json_text, same

Path = tuple[str, ...]
Problem = tuple[Path, str]  # where in the schema, and what

TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
DIALECTS = (
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema",
)
_MAX_DIVISOR = 10**30

# What is within the value of a keyword that takes one of these.
_INNER = {"schemas": "schema", "schema_map": "schema", "pattern_map": "schema"}

# In these a schema stands for the same value as the one around it.
IN_PLACE = ("$ref", "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas")


def pointer(path: Path) -> str:
    """Return a place as a JSON Pointer, as messages have it: ``#/properties/a``."""
    return "#" + "".join(f"/{each.replace('~', '~0').replace('/', '~1')}" for each in path)


def problems(schema: Any) -> Iterator[Problem]:
    """Yield what is wrong in ``schema``: keywords that are not known, and values they do not take.

    Also references that lead nowhere or, by nothing but references, back to themselves.
    """
    found = list(_in_schema(schema, (), schema))
    yield from found
    if not found:
        yield from _circles(schema)


def labelled(found: Iterable[Problem], where: Path) -> Iterator[Problem]:
    """Yield problems of a schema that lies at ``where``, each message with its place."""
    for path, message in found:
        yield (*where, *path), f"{where[0]}: {pointer(path)}: {message}"


def at(schema: Any, reference: str) -> Any:
    """Return what a reference within ``schema`` leads to. Raises ValueError: nowhere."""
    if not reference.startswith("#"):
        raise ValueError("it leads out of the schema; only # and what begins with #/ stay within")
    if reference[1:2] not in ("", "/"):
        raise ValueError("it leads nowhere; only # and what begins with #/ are supported")
    found, takes = schema, "schema"
    for key in _steps(reference):
        if isinstance(found, dict) and key in found:
            found = found[key]
        elif isinstance(found, list) and key.isdecimal() and int(key) < len(found):
            found = found[int(key)]
        else:
            raise ValueError("it leads nowhere")
        keyword = KEYWORDS.get(key)
        takes = (keyword.takes if keyword else "") if takes == "schema" else _INNER.get(takes, "")
    if takes != "schema":
        raise ValueError("it leads to something that is no schema")
    return found


def _steps(reference: str) -> Path:
    parts = unquote(reference[1:]).split("/")[1:]
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in parts)


def _in_schema(schema: Any, path: Path, root: Any) -> Iterator[Problem]:
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        yield path, f"expected a schema, which is a map or a truth value, got {_shown(schema)}"
        return
    for key, value in schema.items():
        keyword = KEYWORDS.get(key)
        here = (*path, key)
        if keyword is None:
            hint = nearest(key, KEYWORDS)
            yield here, f"unknown keyword{f'; {hint}' if hint else ''}"
        elif keyword.takes == "reference":
            yield from _reference(value, here, root)
        elif keyword.takes in ("schema", "schemas", "schema_map", "pattern_map"):
            yield from _schemas(keyword.takes, value, here, root)
        else:
            expected, takes = _VALUES[keyword.takes]
            if not takes(value):
                yield here, f"expected {expected}, got {_shown(value)}"
            elif keyword.takes == "pattern":
                yield from _pattern(value, here)


def _schemas(takes: str, value: Any, path: Path, root: Any) -> Iterator[Problem]:
    if takes == "schema":
        yield from _in_schema(value, path, root)
    elif takes == "schemas":
        if not isinstance(value, list) or not value:
            yield path, f"expected a list of schemas, not empty, got {_shown(value)}"
            return
        for number, each in enumerate(value):
            yield from _in_schema(each, (*path, str(number)), root)
    elif not isinstance(value, dict):
        yield path, f"expected a map of schemas, got {_shown(value)}"
    else:
        for name, each in value.items():
            if takes == "pattern_map":
                yield from _pattern(name, (*path, name))
            yield from _in_schema(each, (*path, name), root)


def _reference(value: Any, path: Path, root: Any) -> Iterator[Problem]:
    if not isinstance(value, str):
        yield path, f"expected text, got {_shown(value)}"
        return
    try:
        at(root, value)
    except ValueError as error:
        yield path, f"{value}: {error}"


def _pattern(value: str, path: Path) -> Iterator[Problem]:
    try:
        pattern.search(value)
    except ValueError as error:
        yield path, str(error)


def subschemas(schema: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    """Yield the schemas directly within one, by their path there."""
    for key, value in schema.items():
        takes = KEYWORDS[key].takes
        if takes == "schema":
            yield (key,), value
        elif takes == "schemas":
            yield from (((key, str(number)), each) for number, each in enumerate(value))
        elif takes in ("schema_map", "pattern_map"):
            yield from (((key, name), each) for name, each in value.items())


def _circles(root: Any) -> Iterator[Problem]:
    """Yield references that lead back to where they stand without a step into the value."""
    done: set[int] = set()
    open_: set[int] = set()
    found: list[Problem] = []

    def enter(schema: Any, path: Path) -> None:
        if not isinstance(schema, dict) or id(schema) in done:
            return
        open_.add(id(schema))
        if "$ref" in schema:
            target = at(root, schema["$ref"])
            if id(target) in open_:
                found.append(((*path, "$ref"), "it leads back to itself without end"))
            else:
                enter(target, _steps(schema["$ref"]))
        for inner, each in subschemas(schema):
            if inner[0] in IN_PLACE:
                enter(each, (*path, *inner))
        open_.discard(id(schema))
        done.add(id(schema))

    def visit(schema: Any, path: Path) -> None:
        enter(schema, path)
        if isinstance(schema, dict):
            for inner, each in subschemas(schema):
                visit(each, (*path, *inner))

    visit(root, ())
    yield from found


def _shown(value: Any) -> str:
    return redact.shorten(json_text(value), 60)


def _is_count(value: Any) -> bool:
    return not isinstance(value, bool) and is_number(value) and value >= 0 and value == int(value)


def _is_texts(value: Any) -> bool:
    is_list = isinstance(value, list) and all(isinstance(each, str) for each in value)
    return is_list and len(set(value)) == len(value)


def _is_types(value: Any) -> bool:
    if isinstance(value, str):
        return value in TYPES
    return _is_texts(value) and bool(value) and all(each in TYPES for each in value)


def _is_values(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and not any(same(each, other) for n, each in enumerate(value) for other in value[:n])
    )


def _is_divisor(value: Any) -> bool:
    return is_number(value) and 0 < value < _MAX_DIVISOR


# What a keyword takes: in words, and the check.
_VALUES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "any": ("any value", lambda _: True),
    "text": ("text", lambda value: isinstance(value, str)),
    "flag": ("true or false", lambda value: isinstance(value, bool)),
    "list": ("a list", lambda value: isinstance(value, list)),
    "dialect": (
        f"{DIALECTS[0]} or another version of it",
        lambda value: isinstance(value, str) and value.removesuffix("#") in DIALECTS,
    ),
    "types": (f"one or several of {', '.join(TYPES)}, none of them twice", _is_types),
    "values": ("a list of values, not empty, none of them twice", _is_values),
    "number": ("a number", is_number),
    "divisor": ("a number above 0 and below 1e30", _is_divisor),
    "count": ("a whole number from 0 on", _is_count),
    "pattern": ("a regular expression", lambda value: isinstance(value, str)),
    "format": (
        f"one of {', '.join(FORMATS)}",
        lambda value: isinstance(value, str) and value in FORMATS,
    ),
    "names": ("a list of texts, none of them twice", _is_texts),
    "names_map": (
        "a map of lists of texts, none of them twice in one",
        lambda value: isinstance(value, dict) and all(map(_is_texts, value.values())),
    ),
}
