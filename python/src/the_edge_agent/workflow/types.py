"""What keys and parameters take: each value is held to the type that the table gives its key."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from the_edge_agent import redact
from the_edge_agent.spec import ValueType
from the_edge_agent.suggest import nearest
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


def _is_message(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"role", "content"}
        and value["role"] in ("system", "user", "assistant")
        and isinstance(value["content"], str)
    )


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
}


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= 40 else "a text"
    try:
        return redact.shorten(json.dumps(value, ensure_ascii=False), 60)
    except (TypeError, ValueError):
        return describe(value)
