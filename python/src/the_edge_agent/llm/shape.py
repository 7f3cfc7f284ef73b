"""What an answer is held to: JSON, one of several texts, a pattern or a grammar."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from the_edge_agent.schema import validate
from the_edge_agent.spec import JSON_PROMPT, SCHEMA_PROMPT
from the_edge_agent.value import json_reader
from the_edge_agent.value.value import json_text


@dataclass(frozen=True, slots=True)
class JsonObject:
    """Any JSON map."""


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """JSON that a checked JSON Schema accepts; ``schema.held.for_decoding`` prepares it."""

    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Choices:
    """One of several texts; none is empty or there twice."""

    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Regex:
    """A text that the pattern, one of ``schema.pattern.whole``, matches as a whole."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Lark:
    """A text that follows a grammar in Lark's notation."""

    grammar: str


Shape = JsonObject | JsonSchema | Choices | Regex | Lark


def told(shape: Shape | None) -> str | None:
    """Return what a model is told of a shape; None where that is nothing."""
    if isinstance(shape, JsonSchema):
        return SCHEMA_PROMPT.replace("{schema}", json_text(shape.schema))
    return JSON_PROMPT if isinstance(shape, JsonObject) else None


def data_of(content: str, shape: Shape) -> Any:
    """Return what an answer of this shape means. Raises ValueError where it has another."""
    if isinstance(shape, Choices):
        if content not in shape.texts:
            raise ValueError("something other than one of the choices")
        return content
    if isinstance(shape, Regex) and not re.fullmatch(shape.pattern, content):
        raise ValueError("a text that the regex does not match")
    if isinstance(shape, Regex | Lark):
        return content
    try:
        data = json_reader.read(content)
    except ValueError as error:
        raise ValueError(f"something other than JSON: {error}") from error
    if isinstance(shape, JsonObject) and not isinstance(data, dict):
        raise ValueError("JSON that is no map")
    if isinstance(shape, JsonSchema):
        for wrong in validate.errors(shape.schema, data):
            place = wrong["path"] or "the whole of it"
            raise ValueError(f"JSON that its schema does not accept: {place} {wrong['message']}")
    return data
