"""Finds schemas that no value can satisfy, as far as that shows without a search."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from the_edge_agent.schema.check import TYPES, Path, Problem, at, subschemas
from the_edge_agent.schema.pattern import compiled
from the_edge_agent.schema.validate import accepts

_BOUNDS = (
    ("minLength", "maxLength", "string"),
    ("minItems", "maxItems", "array"),
    ("minProperties", "maxProperties", "object"),
)


def problems(root: Any) -> Iterator[Problem]:
    """Yield why nothing can satisfy a checked schema; nothing where that is not known.

    A part that a value can do without may be one that nothing satisfies: it is named only where
    the whole is then without a value.
    """
    reasons: dict[int, tuple[Path, str]] = {}
    for path, schema in _all(root, ()):
        if isinstance(schema, dict):
            own = _contradiction(schema, root)
            if own:
                reasons[id(schema)] = (path, own)
    finite = _finite(root, reasons)
    if root is False or (isinstance(root, dict) and id(root) not in finite):
        for _, schema in _all(root, ()):
            if isinstance(schema, dict) and id(schema) in reasons:
                yield reasons[id(schema)]
                return
        yield (), "nothing can satisfy it: it has no end, or needs what it forbids"


def _all(schema: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    yield path, schema
    if isinstance(schema, dict):
        for inner, each in subschemas(schema):
            yield from _all(each, (*path, *inner))


def _types(schema: Mapping[str, Any]) -> tuple[str, ...]:
    wanted = schema.get("type", TYPES)
    return (wanted,) if isinstance(wanted, str) else tuple(wanted)


def _contradiction(schema: Mapping[str, Any], root: Any) -> str:
    """Return why the keywords of one schema exclude each other; "" where they do not."""
    types = _types(schema)
    if "enum" in schema or "const" in schema:
        values = schema["enum"] if "enum" in schema else [schema["const"]]
        if not any(accepts(schema, value, root) for value in values):
            return "nothing can satisfy it: none of its values fits its other keywords"
        return ""
    for least, most, kind in _BOUNDS:
        if set(types) == {kind} and schema.get(least, 0) > schema.get(most, math.inf):
            return f"nothing can satisfy it: {least} is more than {most}"
    if set(types) <= {"integer", "number"}:
        return _no_number(schema, whole="number" not in types)
    if set(types) == {"object"}:
        return _no_map(schema)
    return ""


def _no_number(schema: Mapping[str, Any], *, whole: bool) -> str:
    least = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf))
    most = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf))
    if math.isinf(least) or math.isinf(most):
        return ""
    without_least = schema.get("exclusiveMinimum", -math.inf) >= least
    without_most = schema.get("exclusiveMaximum", math.inf) <= most
    if whole:
        first = math.floor(least) + 1 if without_least else math.ceil(least)
        last = math.ceil(most) - 1 if without_most else math.floor(most)
        empty = first > last
    else:
        empty = least > most or (least == most and (without_least or without_most))
    return "nothing can satisfy it: there is no number within its bounds" if empty else ""


def _no_map(schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    if len(required) > schema.get("maxProperties", math.inf):
        return "nothing can satisfy it: it requires more keys than maxProperties"
    if schema.get("additionalProperties") is False:
        known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
        for name in required:
            if name not in known and not any(compiled(key).fullmatch(name) for key in patterns):
                return f"nothing can satisfy it: it requires {name} and does not allow it"
    return ""


def _finite(root: Any, reasons: Mapping[int, Any]) -> set[int]:
    """Return the schemas that some value of a finite size may satisfy, by their id."""
    schemas = [schema for _, schema in _all(root, ()) if isinstance(schema, dict)]
    known: set[int] = set()

    def holds(schema: Any) -> bool:
        return schema is not False and (schema is True or id(schema) in known)

    grown = True
    while grown:
        grown = False
        for schema in schemas:
            if id(schema) in known or id(schema) in reasons:
                continue
            if _may_be_finite(schema, root, holds):
                known.add(id(schema))
                grown = True
    return known


def _may_be_finite(schema: Mapping[str, Any], root: Any, holds: Any) -> bool:
    if "$ref" in schema and not holds(at(root, schema["$ref"])):
        return False
    if not all(map(holds, schema.get("allOf", ()))):
        return False
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema and not any(map(holds, schema[keyword])):
            return False
    types = set(_types(schema))
    if types == {"object"}:
        properties = schema.get("properties", {})
        return all(holds(properties.get(name, True)) for name in schema.get("required", ()))
    if types == {"array"}:
        first = schema.get("prefixItems", [])
        least = int(schema.get("minItems", 0))
        return all(map(holds, first[:least])) and (
            least <= len(first) or holds(schema.get("items", True))
        )
    return True
