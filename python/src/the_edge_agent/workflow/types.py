"""What keys and parameters take: each value is held to the type that the table gives its key."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from the_edge_agent import redact
from the_edge_agent.spec import ValueType
from the_edge_agent.suggest import nearest
from the_edge_agent.value import json_reader
from the_edge_agent.value.value import describe, is_number


def wrong(of: ValueType, value: Any) -> str:
    """Return what is wrong with a value, or nothing."""
    if _CHECKS[of.name](value) and _in_range(of, value):
        return ""
    hint = nearest(value, of.words) if of.words and isinstance(value, str) else ""
    return f"expected {of.expected}, got {_shown(value)}" + (f"; {hint}" if hint else "")


def problems(
    types: Mapping[str, ValueType], values: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Yield (key, message) for each value that its key does not take. Null is always allowed."""
    for key, value in values.items():
        message = wrong(types[key], value) if key in types and value is not None else ""
        if message:
            yield key, f"{key}: {message}"


def _in_range(of: ValueType, value: Any) -> bool:
    if of.words:
        return value in of.words
    return not (
        (of.least is not None and value < of.least)
        or (of.most is not None and value > of.most)
        or (of.above is not None and value <= of.above)
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_list(value: Any, each: Callable[[Any], bool], least: int = 0) -> bool:
    return isinstance(value, list) and len(value) >= least and all(map(each, value))


_MESSAGE_KEYS = {
    "system": {"role", "content"},
    "user": {"role", "content"},
    "assistant": {"role", "content", "tool_calls"},
    "tool": {"role", "content", "tool_call_id", "name"},
}


def _is_message(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("role"), str):
        return False
    role = value["role"]
    calls = value.get("tool_calls")
    return (
        value.keys() <= _MESSAGE_KEYS.get(role, set())
        and (isinstance(value.get("content"), str) or (bool(calls) and not value.get("content")))
        and (calls is None or _is_list(calls, _is_tool_call))
        and (role != "tool" or _is_name(value.get("tool_call_id")))
        and (value.get("name") is None or _is_name(value["name"]))
    )


def _function(value: Any) -> dict[str, Any] | None:
    """Return the map with the name of a tool, of its own or in OpenAI's form; None: neither."""
    if isinstance(value, dict) and value.get("type") == "function":
        value = value.get("function")
    has_name = isinstance(value, dict) and _is_name(value.get("name"))
    return value if has_name else None


def _is_tool_call(value: Any) -> bool:
    function = _function(value)
    return (
        function is not None
        and _is_name(value.get("id"))
        and _is_arguments(function.get("arguments"))
    )


def _is_arguments(value: Any) -> bool:
    if isinstance(value, str):
        try:
            value = json_reader.read(value)
        except ValueError:
            return False
    return isinstance(value, dict)


def _is_tool(value: Any) -> bool:
    function = _function(value)
    return (
        function is not None
        and isinstance(function.get("description", ""), str)
        and isinstance(function.get("parameters", {}), dict)
    )


def _is_response_format(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    if value.get("type") == "json_schema":
        form = value.get("json_schema")
        return isinstance(form, dict) and isinstance(form.get("schema"), dict)
    return value.get("type") in ("text", "json_object")


def _is_choices(value: Any) -> bool:
    return _is_list(value, _is_name, 1) and len(set(value)) == len(value)


# Shapes that only their own readers know, such as goto, are none of these.
_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "any": lambda _: True,
    "text": _is_text,
    "name": _is_name,
    "flag": lambda value: isinstance(value, bool),
    "auto": lambda value: isinstance(value, bool) or value == "auto",
    "whole": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: is_number(value) and math.isfinite(value),
    "choice": _is_text,
    "texts": lambda value: _is_text(value) or _is_list(value, _is_text),
    "some_texts": lambda value: _is_text(value) or _is_list(value, _is_text, 1),
    "names": lambda value: _is_name(value) or _is_list(value, _is_name),
    "messages": lambda value: _is_list(value, _is_message, 1),
    "response_format": _is_response_format,
    "schema": lambda value: isinstance(value, dict),
    "map": lambda value: isinstance(value, dict),
    "list": lambda value: isinstance(value, list),
    "choices": _is_choices,
    "tools": lambda value: _is_list(value, _is_tool),
}


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= 40 else "a text"
    try:
        return redact.shorten(json.dumps(value, ensure_ascii=False), 60)
    except (TypeError, ValueError):
        return describe(value)
