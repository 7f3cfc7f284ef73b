"""What an answer of a local model can be held to, and a schema as a decoder takes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from the_edge_agent.schema import check, pattern, satisfiable
from the_edge_agent.schema.check import Problem, subschemas
from the_edge_agent.spec import FORMATS, KEYWORDS

# Another version of JSON Schema reads some keywords in another way.
_LEFT_OUT = ("$schema", "$id", "deprecated")
_HINT = "values are only checked against it; with backend: api it may stand here"


def problems(schema: Any) -> Iterator[Problem]:
    """Yield the keywords of a checked schema that no answer is held to."""
    if not isinstance(schema, dict):
        return
    for key in schema:
        if not KEYWORDS[key].held:
            yield (key,), f"an answer cannot be held to {key}: {_HINT}"
    for path, inner in subschemas(schema):
        for below, message in problems(inner):
            yield (*path, *below), message


def answer_problems(schema: Any, *, local: bool) -> list[Problem]:
    """Return what is wrong with a schema that an answer is to have, ``local`` where it is held."""
    found = list(check.problems(schema)) or list(satisfiable.problems(schema))
    return found or (list(problems(schema)) if local else [])


def for_decoding(schema: Any) -> Any:
    r"""Return a checked schema with its patterns and formats in one notation.

    The decoder's own ideas of formats and of ``\d`` differ a little from what values are checked
    against; patterns that are bound to both ends and name every character do not.
    """
    if not isinstance(schema, dict):
        return schema
    written: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _LEFT_OUT:
            continue
        match KEYWORDS[key].takes:
            case "schema":
                written[key] = for_decoding(value)
            case "schemas":
                written[key] = [for_decoding(each) for each in value]
            case "schema_map":
                written[key] = {name: for_decoding(each) for name, each in value.items()}
            case "pattern_map":
                written[key] = {
                    _bound(pattern.search(name)): for_decoding(each) for name, each in value.items()
                }
            case "pattern":
                written[key] = _bound(pattern.search(value))
            case "format":
                pass
            case _:
                written[key] = value
    if "format" in schema:
        form = {"pattern": _bound(FORMATS[schema["format"]])}
        written["allOf"] = [form, *written.get("allOf", ())]
    return written


def _bound(whole: str) -> str:
    return f"^(?:{whole})$"
