"""The fields of requests to a model: what the call and ``settings.llm`` give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from the_edge_agent.llm import tools
from the_edge_agent.llm.api_settings import api_settings
from the_edge_agent.llm.backend import Message, ToolCall
from the_edge_agent.llm.shape import Choices, JsonObject, JsonSchema, Lark, Regex, Shape
from the_edge_agent.schema import check, held, pattern
from the_edge_agent.schema.check import Problem
from the_edge_agent.spec import CHAT, SENT, SENT_WHERE_GIVEN, Sampling
from the_edge_agent.value import json_reader

MAX_SEED = int(CHAT.types["seed"].most or 0)  # llama.cpp takes the next number for "any"
_FIELDS = tuple(field.name for field in fields(Sampling))
_PLAIN = (
    *(name for name in _FIELDS if name not in SENT),
    "seed", "stop", "timeout", "max_retries", "tool_choice", "thinking",
)  # fmt: skip

_SHAPES = ("response_format", "schema", "choices", "regex", "grammar")

# The field of a request, and its names in a file: the first that is there counts.
_NAMES: dict[str, tuple[str, ...]] = {name: (name,) for name in _FIELDS if name in SENT}
_NAMES["max_tokens"] = ("max_completion_tokens", "max_tokens")


def sampling(params: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a chat request that both may give: the call's own value goes first."""
    found: dict[str, Any] = {}
    unsent = set(SENT_WHERE_GIVEN)
    for key in _PLAIN:
        value = params.get(key)
        value = settings.get(key) if value is None else value
        if value is not None:
            found[key] = value
    for key, names in _NAMES.items():
        for given in (params, settings):
            name = next((name for name in names if name in given), None)
            if name is None:
                continue
            if given[name] is None:
                unsent.add(key)
            else:
                found[key] = given[name]
                unsent.discard(key)
                found |= {"limit_name": name} if key == "max_tokens" else {}
            break
    if model := api_settings(params, settings).get("model"):
        found["model"] = model
    found["unsent"] = frozenset(unsent)
    if "stop" in found:
        stop = found["stop"]
        found["stop"] = (stop,) if isinstance(stop, str) else tuple(stop)
    if (of := shape(params)) is not None:
        found["shape"] = of
        named = (params.get("response_format") or {}).get("json_schema") or {}
        found["schema_options"] = {key: value for key, value in named.items() if key != "schema"}
    if params.get("tools"):
        found["tools"] = tuple(map(tools.tool, params["tools"]))
    return found


def shape(params: Mapping[str, Any]) -> Shape | None:
    """Return what checked parameters hold the answer to; None for free text."""
    form = params.get("response_format") or {}
    if form.get("type") == "json_object":
        return JsonObject()
    schema = params.get("schema")
    if form.get("type") == "json_schema":
        schema = form["json_schema"]["schema"]
    if schema is not None:
        return JsonSchema(schema)
    if params.get("choices") is not None:
        return Choices(tuple(params["choices"]))
    if params.get("regex") is not None:
        return Regex(pattern.whole(params["regex"]))
    return None if params.get("grammar") is None else Lark(params["grammar"])


def tells_schema(params: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Return whether the model is told the schema that its answer is held to."""
    given = params.get("schema_in_prompt")
    given = settings.get("schema_in_prompt") if given is None else given
    return given is not False


def shape_problems(params: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with the shapes in ``params``, which are of the right types."""
    given = [key for key in _SHAPES if params.get(key) is not None]
    for key in given[1:]:
        yield (key,), f"{key}: the answer is held to {given[0]} already; give one of the two"
    if params.get("schema") is not None:
        yield from _schema_problems(params["schema"], ("schema",), params)
    form = params.get("response_format") or {}
    if form.get("type") == "json_schema":
        where = ("response_format", "json_schema", "schema")
        yield from _schema_problems(form["json_schema"]["schema"], where, params)
    if params.get("regex") is not None:
        try:
            pattern.whole(params["regex"])
        except ValueError as error:
            yield ("regex",), f"regex: {error}"


def _schema_problems(
    schema: Any, where: tuple[str, ...], params: Mapping[str, Any]
) -> Iterator[Problem]:
    found = held.answer_problems(schema, local=params.get("backend") != "api")
    yield from check.labelled(found, where)


def message(given: Mapping[str, Any]) -> Message:
    """Return the message that a checked map describes."""
    return Message(
        given["role"],
        given.get("content") or "",
        tuple(map(_tool_call, given.get("tool_calls") or ())),
        given.get("tool_call_id"),
        given.get("name"),
    )


def _tool_call(given: Mapping[str, Any]) -> ToolCall:
    own = tools.function(given)
    arguments = own["arguments"]
    arguments = json_reader.read(arguments) if isinstance(arguments, str) else arguments
    return ToolCall(given["id"], own["name"], arguments)
