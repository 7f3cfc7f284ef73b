"""Actions on data, which need nothing of the world."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from the_edge_agent.actions.registry import ActionSpec, Call, table_spec
from the_edge_agent.errors import ActionError, LimitError
from the_edge_agent.limits import MAX_CHARACTERS, MAX_STEPS
from the_edge_agent.schema import check, validate
from the_edge_agent.schema.check import Problem
from the_edge_agent.value import json_reader
from the_edge_agent.value.value import describe, json_text


async def _template(call: Call) -> Any:
    return call.params["template"]


async def _parse(call: Call) -> dict[str, Any]:
    read = json_reader.read if call.params.get("strict") is not False else json_reader.find
    try:
        return {"data": read(call.params["text"]), "success": True}
    except ValueError as error:
        if "default" in call.params:
            return {"data": call.params["default"], "success": False}
        raise ActionError(f"the text is not JSON: {error}") from error


async def _stringify(call: Call) -> dict[str, Any]:
    data = call.params["data"]
    data = _sorted(data) if call.params.get("sort_keys") else data
    return {"text": json_text(data, call.params.get("indent")), "success": True}


def _sorted(value: Any) -> Any:
    """Copy ``value`` with the keys of its maps in order."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


async def _split(call: Call) -> dict[str, Any]:
    text, size = call.params["text"], call.params["size"]
    overlap = call.params.get("overlap") or 0
    if overlap >= size:
        raise ActionError(f"text.split: overlap must be less than size, which is {size}")
    if call.params.get("unit") == "words":
        places = [word.span() for word in re.finditer(r"\S+", text)]
    else:
        places = [(start, start + 1) for start in range(len(text))]
    last = max(len(places) - overlap, 1) if places else 0
    spans = [
        (places[start][0], places[min(start + size, len(places)) - 1][1])
        for start in range(0, last, size - overlap)
    ]
    if len(spans) > MAX_STEPS or sum(end - start for start, end in spans) > MAX_CHARACTERS:
        raise LimitError(
            f"the chunks are more than {MAX_STEPS}, or have more than {MAX_CHARACTERS} characters",
            hint="raise size, or lower overlap",
        )
    return {"chunks": [text[start:end] for start, end in spans], "success": True}


async def _store(call: Call) -> dict[str, Any]:
    value = call.params["value"]
    call.memory[call.params["key"]] = value
    return {"value": value, "stored": True, "success": True}


async def _retrieve(call: Call) -> dict[str, Any]:
    key = call.params["key"]
    found = key in call.memory
    value = call.memory[key] if found else call.params.get("default")
    return {"value": value, "found": found, "success": True}


async def _validate(call: Call) -> dict[str, Any]:
    schema = call.params["schema"]
    if not isinstance(schema, dict | bool):
        raise ActionError(f"validate.schema: schema must be a map, not {describe(schema)}")
    errors = validate.errors(schema, call.params["data"])
    return {"valid": not errors, "errors": errors}


def _check_schema(params: Mapping[str, Any]) -> Iterable[Problem]:
    schema = params.get("schema")
    return () if schema is None else check.labelled(check.problems(schema), ("schema",))


def data_actions() -> dict[str, ActionSpec]:
    """Return the actions on data by name."""
    runs = {
        "template": _template,
        "json.parse": _parse,
        "json.stringify": _stringify,
        "text.split": _split,
        "memory.store": _store,
        "memory.retrieve": _retrieve,
    }
    specs = {name: table_spec(name, run) for name, run in runs.items()}
    return {**specs, "validate.schema": table_spec("validate.schema", _validate, _check_schema)}
