"""The fields of requests to a model: what the call and ``settings.llm`` give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from the_edge_agent.spec import CHAT, UNSENT, Sampling

MAX_SEED = int(CHAT.types["seed"].most or 0)
_PLAIN = (
    *(field.name for field in fields(Sampling) if field.name not in UNSENT),
    "seed", "stop", "model", "timeout", "max_retries",
)  # fmt: skip

# The field of a request, and its names in a file: the first that is there counts.
_NAMES = {
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "max_tokens": ("max_completion_tokens", "max_tokens"),
}


def sampling(params: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a chat request that both may give: the call's own value goes first."""
    found: dict[str, Any] = {}
    unsent = set()
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
                found |= {"limit_name": name} if key == "max_tokens" else {}
            break
    if unsent:
        found["unsent"] = frozenset(unsent)
    if "stop" in found:
        stop = found["stop"]
        found["stop"] = (stop,) if isinstance(stop, str) else tuple(stop)
    return found
