"""Values and errors in the form in which they are printed."""

from __future__ import annotations

import json
from typing import Any

from the_edge_agent.cli import streams
from the_edge_agent.errors import ActionError, InvalidFile, TeaError


def _encoder(indent: int | None) -> json.JSONEncoder:
    return json.JSONEncoder(ensure_ascii=False, allow_nan=False, indent=indent)


_LINE = _encoder(None)  # kept: one a token takes longer to make than to use


def report(error: TeaError) -> None:
    """Print an error to stderr: what happened, then what to do."""
    if isinstance(error, InvalidFile):
        for problem in error.problems:
            streams.say(str(problem))
        return
    streams.say(f"tea: {error.message}")
    if error.hint:
        streams.say(f"     {error.hint}")


def to_json(value: Any, *, indent: int | None = None) -> str:
    """Return ``value`` as JSON, keys in their order, characters as they are.

    Raises:
        ActionError: something in it has no form in JSON.
    """
    try:
        encoder = _LINE if indent is None else _encoder(indent)
        return encoder.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise ActionError(
            f"the state cannot be written as JSON: {error}",
            hint="a node has put something other than text, numbers, lists and maps into it",
        ) from error
