"""Actions on data: template, json.…, memory.…, validate.schema."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from the_edge_agent.actions.registry import ActionSpec, Call, refuse
from the_edge_agent.errors import ActionError, TemplateError
from the_edge_agent.schema import check, validate
from the_edge_agent.schema.check import Problem
from the_edge_agent.template.filters.texts import parse_json
from the_edge_agent.value.value import describe, json_text

MAX_INDENT = 100


async def _template(call: Call) -> Any:
    return call.params["template"]


async def _parse(call: Call) -> dict[str, Any]:
    text = _text(call, "text")
    try:
        return {"data": parse_json(text), "success": True}
    except TemplateError as error:
        raise ActionError(error.message) from error


async def _stringify(call: Call) -> dict[str, Any]:
    indent = call.params.get("indent")
    refuse(_check_stringify(call.params))
    data = call.params["data"]
    text = json_text(_sorted(data) if call.params.get("sort_keys") else data, indent)
    return {"text": text, "success": True}


def _sorted(value: Any) -> Any:
    """Copy ``value`` with the keys of its maps in order."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def _check_stringify(params: Mapping[str, Any]) -> Iterable[Problem]:
    sort_keys = params.get("sort_keys")
    if sort_keys is not None and not isinstance(sort_keys, bool):
        yield ("sort_keys",), f"sort_keys must be true or false, not {describe(sort_keys)}"
    indent = params.get("indent")
    whole = isinstance(indent, int) and not isinstance(indent, bool)
    if indent is not None and not (whole and 0 <= indent <= MAX_INDENT):
        yield ("indent",), f"indent must be a whole number from 0 to {MAX_INDENT}"


def _check_key(params: Mapping[str, Any]) -> Iterable[Problem]:
    if "key" in params and not isinstance(params["key"], str):
        yield ("key",), f"key must be text, not {describe(params['key'])}"


async def _store(call: Call) -> dict[str, Any]:
    value = call.params["value"]
    call.memory[_text(call, "key")] = value
    return {"value": value, "stored": True, "success": True}


async def _retrieve(call: Call) -> dict[str, Any]:
    key = _text(call, "key")
    found = key in call.memory
    value = call.memory[key] if found else call.params.get("default")
    return {"value": value, "found": found, "success": True}


async def _validate(call: Call) -> dict[str, Any]:
    refuse(_check_schema(call.params))
    schema = call.params["schema"]
    if not isinstance(schema, dict | bool):
        raise ActionError(f"validate.schema: schema must be a map, not {describe(schema)}")
    errors = validate.errors(schema, call.params["data"])
    return {"valid": not errors, "errors": errors}


def _check_schema(params: Mapping[str, Any]) -> Iterable[Problem]:
    schema = params.get("schema")
    return () if schema is None else check.labelled(check.problems(schema), ("schema",))


def _text(call: Call, key: str) -> str:
    value = call.params[key]
    if isinstance(value, str):
        return value
    raise ActionError(f"{call.action}: {key} must be text, not {describe(value)}")


def data_actions() -> dict[str, ActionSpec]:
    """Return the actions on data by name."""
    key = frozenset({"key"})
    return {
        "template": ActionSpec(_template, frozenset({"template"}), frozenset({"template"})),
        "json.parse": ActionSpec(_parse, frozenset({"text"}), frozenset({"text"})),
        "json.stringify": ActionSpec(
            _stringify,
            frozenset({"data", "indent", "sort_keys"}),
            frozenset({"data"}),
            _check_stringify,
        ),
        "validate.schema": ActionSpec(
            _validate, frozenset({"data", "schema"}), frozenset({"data", "schema"}), _check_schema
        ),
        "memory.store": ActionSpec(_store, key | {"value"}, key | {"value"}, _check_key),
        "memory.retrieve": ActionSpec(_retrieve, key | {"default"}, key, _check_key),
    }
