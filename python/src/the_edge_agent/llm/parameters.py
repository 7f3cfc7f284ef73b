"""The parameters of the llm actions and of ``settings.llm``, and what each allows."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from the_edge_agent import redact

BACKENDS = ("local", "api", "auto")
CACHE_TYPES = ("f16", "q8_0")
PROVIDERS = ("openai", "ollama", "azure")
ROLES = ("system", "user", "assistant")
MAX_SEED = 2**32 - 2  # llama.cpp takes the next number for "any"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a value must be: a test, and the same in words."""

    allows: Callable[[Any], bool]
    words: str


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _whole(least: int, most: float = math.inf) -> Rule:
    words = (
        f"a whole number from {least} to {most}"
        if most < math.inf
        else (f"a whole number, {least} or more")
    )
    return Rule(lambda value: _is_int(value) and least <= value <= most, words)


def _number(least: float, most: float) -> Rule:
    return Rule(
        lambda value: (_is_int(value) or isinstance(value, float)) and least <= value <= most,
        f"a number from {least:g} to {most:g}",
    )


def _choice(words: tuple[str, ...]) -> Rule:
    return Rule(lambda value: value in words, f"one of {', '.join(words)}")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_stop(value: Any) -> bool:
    return _is_text(value) or (isinstance(value, list) and all(_is_text(each) for each in value))


def _is_seconds(value: Any) -> bool:
    return (_is_int(value) or isinstance(value, float)) and 0 < value < math.inf


def _is_message(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"role", "content"}
        and value["role"] in ROLES
        and isinstance(value["content"], str)
    )


_TEXT = Rule(lambda value: isinstance(value, str), "text")
_NAME = Rule(_is_text, "text, not empty")

_SAMPLING = {
    "temperature": _number(0, 2),
    "max_tokens": _whole(1),
    "max_completion_tokens": _whole(1),
    "top_p": _number(0, 1),
    "top_k": _whole(0),
    "min_p": _number(0, 1),
    "seed": _whole(0, MAX_SEED),
    "stop": Rule(_is_stop, "text or a list of texts, none of them empty"),
}
_ROUTING = {
    "backend": _choice(BACKENDS),
    "model": _NAME,
    "timeout": Rule(_is_seconds, "a number of seconds above 0"),
    "max_retries": _whole(0),
}
CHAT = {
    "messages": Rule(
        lambda value: isinstance(value, list) and bool(value) and all(map(_is_message, value)),
        "a list, not empty, of maps with role (system, user, assistant) and content (text)",
    ),
    "prompt": _TEXT,
    "system": _TEXT,
    **_SAMPLING,
    **_ROUTING,
}
EMBED = {
    "text": Rule(
        lambda value: (
            isinstance(value, str)
            or (isinstance(value, list) and bool(value) and all(isinstance(t, str) for t in value))
        ),
        "text or a list of texts, not empty",
    ),
    **_ROUTING,
}
SETTINGS = {
    "backend": _choice(BACKENDS),
    "model_path": _NAME,
    "n_ctx": _whole(1),
    "n_threads": _whole(1),
    "n_gpu_layers": _whole(-1),
    "low_memory": Rule(
        lambda value: isinstance(value, bool) or value == "auto", "auto, true or false"
    ),
    "cache_type": _choice(CACHE_TYPES),
    "api_base": _NAME,
    "api_key": _NAME,
    "model": _NAME,
    "provider": _choice(PROVIDERS),
    "system": _TEXT,
    **_SAMPLING,
    **_ROUTING,
}


# Null for one of these means that an API is not sent it and chooses itself.
UNSENT = ("temperature", "top_p", "max_tokens", "max_completion_tokens")


# The field of a request, and its names in a file: the first that is there counts.
_NAMES = {
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "max_tokens": ("max_completion_tokens", "max_tokens"),
}


def problems(rules: Mapping[str, Rule], values: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield (key, message) for each value that its rule does not allow. Null is always allowed."""
    for key, value in values.items():
        rule = rules.get(key)
        if rule is not None and value is not None and not rule.allows(value):
            yield key, f"{key} must be {rule.words}, not {_shown(value)}"


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = type(value).__name__
    return redact.shorten(text, 60)


def sampling(params: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a chat request that both may give: the call's own value goes first."""
    fields: dict[str, Any] = {}
    unsent = set()
    for key in (*_SAMPLING, "model", "timeout", "max_retries"):
        if key in UNSENT:
            continue
        value = params.get(key)
        value = settings.get(key) if value is None else value
        if value is not None:
            fields[key] = value
    for key, names in _NAMES.items():
        for given in (params, settings):
            name = next((name for name in names if name in given), None)
            if name is None:
                continue
            if given[name] is None:
                unsent.add(key)
            else:
                fields[key] = given[name]
                fields |= {"limit_name": name} if key == "max_tokens" else {}
            break
    if unsent:
        fields["unsent"] = frozenset(unsent)
    if "stop" in fields:
        stop = fields["stop"]
        fields["stop"] = (stop,) if isinstance(stop, str) else tuple(stop)
    return fields
