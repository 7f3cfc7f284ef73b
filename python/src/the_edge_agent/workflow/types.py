"""The kinds of values that keys take: each says what it expects where a value does not fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from the_edge_agent.suggest import nearest
from the_edge_agent.value.value import describe, is_number

# Returns what is wrong with a value, or nothing.
Kind = Callable[[Any], str]


def text(value: Any) -> str:
    """Take text that is not empty."""
    return "" if isinstance(value, str) and value else _expected("text", value)


def any_text(value: Any) -> str:
    """Take text, the empty one too."""
    return "" if isinstance(value, str) else _expected("text", value)


def flag(value: Any) -> str:
    """Take true or false."""
    return "" if isinstance(value, bool) else _expected("true or false", value)


def texts(value: Any) -> str:
    """Take text or a list of texts."""
    fits = isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(item, str) for item in value)
    )
    return "" if fits else _expected("text or a list of texts", value)


def whole(least: int, most: int | None = None) -> Kind:
    """Take a whole number in the range."""

    def kind(value: Any) -> str:
        fits = isinstance(value, int) and not isinstance(value, bool)
        if fits and value >= least and (most is None or value <= most):
            return ""
        return _expected(f"a whole number {_range(least, most)}", value)

    return kind


def number(least: float, most: float | None = None) -> Kind:
    """Take a number in the range, both ends in it."""

    def kind(value: Any) -> str:
        fits = is_number(value) and math.isfinite(value) and value >= least
        if fits and (most is None or value <= most):
            return ""
        return _expected(f"a number {_range(least, most)}", value)

    return kind


def choice(*words: str) -> Kind:
    """Take one of the words."""

    def kind(value: Any) -> str:
        if isinstance(value, str) and value in words:
            return ""
        hint = nearest(value, words) if isinstance(value, str) else ""
        return _expected(f"one of {', '.join(words)}", value) + (f"; {hint}" if hint else "")

    return kind


def _range(least: float, most: float | None) -> str:
    return f"from {least} on" if most is None else f"from {least} to {most}"


def _expected(what: str, value: Any) -> str:
    if isinstance(value, str):
        shown = f'"{value}"' if len(value) <= 40 else "a text"
    elif isinstance(value, bool):
        shown = str(value).lower()
    else:
        shown = str(value) if is_number(value) else describe(value)
    return f"expected {what}, got {shown}"


ERROR_HANDLING: Mapping[str, Kind] = {
    "mode": choice("raise", "graceful", "retry"),
    "max_retries": whole(0),
    "retry_delay": number(0),
    "backoff_multiplier": number(1),
    "retryable_errors": texts,
    "fallback": text,
}
RETRY: Mapping[str, Kind] = {
    "max_retries": whole(0),
    "base_delay_ms": number(0),
    "max_delay_ms": number(0),
    "backoff_multiplier": number(1),
    "jitter": flag,
}
MAX_ITERATIONS = whole(1)
