"""Tools as a file gives them: in OpenAI's form or without its frame, parameters short or long."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from the_edge_agent.llm.backend import Tool
from the_edge_agent.schema import check, held
from the_edge_agent.schema.check import Problem
from the_edge_agent.suggest import nearest

CHOICES = ("auto", "none", "required")  # what tool_choice can say beside a tool's name

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # what APIs take
_KEYS = frozenset({"name", "description", "parameters"})
_FUNCTION_KEYS = _KEYS | {"strict"}
_TYPES = ("string", "number", "integer", "boolean", "array", "object", "null")
_TYPED = frozenset({"type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"})


def function(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the map that has the name: the tool or call itself, or what OpenAI's frame holds."""
    own: Mapping[str, Any] = given["function"] if given.get("type") == "function" else given
    return own


def tool(given: Mapping[str, Any]) -> Tool:
    """Return the tool that a checked map describes."""
    own = function(given)
    return Tool(own["name"], own.get("description") or "", _schema(own.get("parameters") or {}))


def problems(params: Mapping[str, Any], also: frozenset[str] = frozenset()) -> Iterator[Problem]:
    """Yield what is wrong with ``tools`` and ``tool_choice``.

    ``also`` are further keys that a tool may have.
    """
    given = params.get("tools")
    if given is None:
        return
    names: list[str] = []
    local = params.get("backend") != "api"
    for number, each in enumerate(given):
        own = function(each)
        name = own["name"]
        framed = own is not each
        known = (_FUNCTION_KEYS if framed else _KEYS | also, also | {"type", "function"})
        unknown = [*(own.keys() - known[0]), *(each.keys() - known[1] if framed else ())]
        for wrong in (
            *_wrong_name(name, names),
            *(f'unknown key "{key}"' for key in sorted(unknown)),
            *_wrong_parameters(own.get("parameters") or {}),
        ):
            yield ("tools",), f'tools: "{name}": {wrong}'
        where = ("tools", str(number), *(("function",) if framed else ()), "parameters")
        yield from _schema_problems(own.get("parameters") or {}, where, local=local)
        names.append(name)
    choice = params.get("tool_choice")
    if choice is not None and choice not in (*CHOICES, *names):
        hint = nearest(choice, [*CHOICES, *names])
        yield (
            ("tool_choice",),
            f'tool_choice: there is no tool "{choice}"' + (f"; {hint}" if hint else ""),
        )


def _wrong_name(name: str, names: list[str]) -> Iterator[str]:
    if not _NAME.fullmatch(name):
        yield "a name has letters, digits, _ and -, at most 64 of them"
    elif name in CHOICES:
        yield "the name is taken: it is a word of tool_choice"
    elif name in names:
        yield "the name is there twice"


def _wrong_parameters(given: Mapping[str, Any]) -> Iterator[str]:
    of = given.get("type")
    if of == "object":
        return
    if isinstance(of, str):
        yield f"parameters have the type {of}; a JSON Schema of them has type: object"
        return
    for name, spec in given.items():
        if isinstance(spec, str):
            yield from _wrong_type(name, spec)
        elif not isinstance(spec, dict):
            yield f"parameters: {name}: expected a type or a map"
        else:
            if "type" in spec:
                yield from _wrong_type(name, spec["type"])
            if not isinstance(spec.get("required", False), bool):
                yield f"parameters: {name}: required: expected true or false"


def _schema_problems(
    given: Mapping[str, Any], where: tuple[str, ...], *, local: bool
) -> Iterator[Problem]:
    if not any(_wrong_parameters(given)):
        yield from check.labelled(held.answer_problems(_schema(given), local=local), where)


def _wrong_type(name: str, of: Any) -> Iterator[str]:
    if of not in _TYPES:
        yield f"parameters: {name}: expected one of {', '.join(_TYPES)}"


def _schema(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the JSON Schema of parameters that may be given name by name."""
    if given.get("type") == "object":
        return given
    properties = {}
    for name, spec in given.items():
        own = {"type": spec} if isinstance(spec, str) else dict(spec)
        own.pop("required", None)
        properties[name] = own if _TYPED & own.keys() else {"type": "string", **own}
    required = [
        name for name, spec in given.items() if isinstance(spec, dict) and spec.get("required")
    ]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
