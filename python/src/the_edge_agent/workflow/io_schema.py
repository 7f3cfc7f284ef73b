"""``input_schema`` and ``output_schema``: what a run takes and gives, as a JSON Schema.

The short form has a map for each key, ``{type, required, default, min, max, …}``; it is written as
a JSON Schema of a map.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from the_edge_agent.errors import SchemaError
from the_edge_agent.schema import check, satisfiable, validate
from the_edge_agent.schema.check import Path, Problem
from the_edge_agent.suggest import nearest

# Names of types in the short form.
_TYPES = {
    "str": "string", "string": "string", "text": "string",
    "int": "integer", "integer": "integer",
    "float": "number", "number": "number",
    "bool": "boolean", "boolean": "boolean",
    "list": "array", "array": "array",
    "dict": "object", "object": "object",
    "any": None,
}  # fmt: skip
_SAME = ("default", "description", "pattern")
_BOUNDS = {"min": "minimum", "max": "maximum"}
_LENGTHS = {
    "string": {"min_length": "minLength", "max_length": "maxLength"},
    "array": {"min_length": "minItems", "max_length": "maxItems"},
}
_KEYS = (
    "type", "required", "default", "description", "min", "max", "min_length", "max_length",
    "pattern", "choices", "properties", "items", "stdin",
)  # fmt: skip


def is_schema(given: Mapping[str, Any]) -> bool:
    """Return whether a map is a JSON Schema, not the short form."""
    return isinstance(given.get("type"), str | list) or "$schema" in given or "$ref" in given


def read(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """Return the JSON Schema that a map means, and what is wrong with it."""
    if is_schema(given):
        schema, problems = dict(given), list(check.problems(given))
    else:
        problems = []
        schema = _map(given, (), problems)
        if not problems:
            # Places in the written schema are none of the file.
            found = [(path, text) for path, text in check.problems(schema)]
            problems = [((), f"{check.pointer(path)}: {text}") for path, text in found]
    return schema, problems or list(satisfiable.problems(schema))


def of_stdin(given: Mapping[str, Any]) -> str | None:
    """Return the key of the short form that standard input is read into."""
    keys = (
        ()
        if is_schema(given)
        else (key for key, field in given.items() if isinstance(field, dict) and field.get("stdin"))
    )
    return next(iter(keys), None)


def with_defaults(schema: Any, value: Any) -> Any:
    """Return ``value`` with the defaults of those keys that it lacks, at any depth."""
    if not isinstance(schema, dict) or not isinstance(value, dict):
        return value
    filled = dict(value)
    for key, inner in schema.get("properties", {}).items():
        if key not in filled and isinstance(inner, dict) and "default" in inner:
            filled[key] = inner["default"]
        elif key in filled:
            filled[key] = with_defaults(inner, filled[key])
    return filled


def refuse(name: str, schema: Mapping[str, Any], value: Any) -> None:
    """Check a value against the schema of this name. Raises SchemaError."""
    errors = validate.errors(schema, value)
    if errors:
        shown = "; ".join(f"{each['path'] or 'the whole'} {each['message']}" for each in errors[:5])
        raise SchemaError(f"{name}: {shown}")


def _map(given: Mapping[str, Any], path: Path, problems: list[Problem]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    required = []
    for name, field in given.items():
        schema["properties"][name] = _field(field, (*path, name), problems)
        if isinstance(field, dict) and field.get("stdin") is True and of_stdin(given) != name:
            problems.append(((*path, name, "stdin"), "another key is read from standard input"))
        if isinstance(field, dict) and field.get("required") is True:
            required.append(name)
    return schema | ({"required": required} if required else {})


def _field(given: Any, path: Path, problems: list[Problem]) -> dict[str, Any]:
    field = {"type": given} if isinstance(given, str) else given
    if not isinstance(field, dict):
        problems.append((path, "expected the name of a type, or a map with type"))
        return {}
    problems += _wrong(field, path)
    kind = _TYPES.get(str(field.get("type", "any")))
    schema: dict[str, Any] = {} if kind is None else {"type": kind}
    schema |= {key: field[key] for key in _SAME if key in field}
    names = {**_BOUNDS, **_LENGTHS.get(kind or "string", _LENGTHS["string"])}
    schema |= {other: field[key] for key, other in names.items() if key in field}
    if "choices" in field:
        schema["enum"] = field["choices"]
    if isinstance(field.get("properties"), dict):
        schema |= _map(field["properties"], (*path, "properties"), problems)
    if "items" in field:
        schema["items"] = _field(field["items"], (*path, "items"), problems)
    return schema


def _wrong(field: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    for key in field:
        if key not in _KEYS:
            hint = nearest(key, _KEYS)
            yield (*path, key), f"unknown key{f'; {hint}' if hint else ''}"
    kind = field.get("type", "any")
    if not isinstance(kind, str) or kind not in _TYPES:
        yield (*path, "type"), f"expected one of {', '.join(_TYPES)}"
    for key in ("required", "stdin"):
        if not isinstance(field.get(key, False), bool):
            yield (*path, key), "expected true or false"
    if field.get("stdin") is True and (len(path) > 1 or _TYPES.get(str(kind)) != "string"):
        yield (*path, "stdin"), "only one text of the input is read from standard input"
    if "properties" in field and not isinstance(field["properties"], dict):
        yield (*path, "properties"), "expected a map"
