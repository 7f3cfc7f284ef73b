"""Actions on data: template, json.parse, json.stringify, memory.store, memory.retrieve."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from the_edge_agent.actions.registry import ActionSpec, Call
from the_edge_agent.errors import ActionError, TemplateError
from the_edge_agent.template.filters.texts import parse_json
from the_edge_agent.value.value import describe, json_text

MAX_INDENT = 100


async def _template(call: Call) -> Any:
    return call.params["template"]


async def _parse(call: Call) -> dict[str, Any]:
    text = _text(call, "text")
    try:
        return {"data": parse_json(text)}
    except TemplateError as error:
        raise ActionError(error.message) from error


async def _stringify(call: Call) -> dict[str, Any]:
    indent = call.params.get("indent")
    for _, message in _check_indent({"indent": indent}):
        raise ActionError(message)
    return {"text": json_text(call.params["data"], indent)}


def _check_indent(params: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    indent = params.get("indent")
    whole = isinstance(indent, int) and not isinstance(indent, bool)
    if indent is not None and not (whole and 0 <= indent <= MAX_INDENT):
        yield "indent", f"indent must be a whole number from 0 to {MAX_INDENT}"


def _check_key(params: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    if "key" in params and not isinstance(params["key"], str):
        yield "key", f"key must be text, not {describe(params['key'])}"


async def _store(call: Call) -> dict[str, Any]:
    value = call.params["value"]
    call.memory[_text(call, "key")] = value
    return {"value": value}


async def _retrieve(call: Call) -> dict[str, Any]:
    return {"value": call.memory.get(_text(call, "key"), call.params.get("default"))}


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
            _stringify, frozenset({"data", "indent"}), frozenset({"data"}), _check_indent
        ),
        "memory.store": ActionSpec(_store, key | {"value"}, key | {"value"}, _check_key),
        "memory.retrieve": ActionSpec(_retrieve, key | {"default"}, key, _check_key),
    }
