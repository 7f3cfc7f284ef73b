"""What happens when a node fails: the mode, the retries and the waits between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from the_edge_agent import spec
from the_edge_agent.errors import TeaError

MAX_DELAY = 60.0  # seconds
Mode = Literal["raise", "graceful", "retry"]


@dataclass(frozen=True, slots=True)
class Policy:
    """How the failure of a node is handled. Delays in seconds."""

    mode: Mode = "raise"
    max_retries: int = spec.ERROR_HANDLING_MAX_RETRIES
    retry_delay: float = spec.ERROR_HANDLING_RETRY_DELAY
    backoff_multiplier: float = spec.ERROR_HANDLING_BACKOFF_MULTIPLIER
    max_delay: float = MAX_DELAY
    jitter: bool = False
    retryable_errors: tuple[str, ...] | None = None  # None: all
    fallback: str | None = None

    def retries(self, error: TeaError, done: int) -> bool:
        """Whether to try again after ``error``, when ``done`` retries are behind."""
        if self.mode != "retry" or done >= self.max_retries:
            return False
        return self.retryable_errors is None or error.kind in self.retryable_errors

    def delays(self, random: Callable[[], float]) -> Iterator[float]:
        """Yield the wait before each retry. Jitter takes off up to half of it."""
        delay = min(self.retry_delay, self.max_delay)
        while True:
            yield delay * (1 - random() / 2) if self.jitter else delay
            delay = min(delay * self.backoff_multiplier, self.max_delay)


def policy(*told: Mapping[str, Any]) -> Policy:
    """Lay what is told over the defaults, the later over the earlier.

    Where no mode is given with the other keys, they say it: retries mean retry, a fallback
    alone means graceful.
    """
    fields: dict[str, Any] = {}
    for keys in told:
        fields.update(keys)
        if "mode" not in keys:
            if keys.keys() - {"fallback"}:
                fields["mode"] = "retry"
            elif keys and fields.get("mode", "raise") == "raise":
                fields["mode"] = "graceful"
    if isinstance(fields.get("retryable_errors"), str | list):
        errors = fields["retryable_errors"]
        fields["retryable_errors"] = (errors,) if isinstance(errors, str) else tuple(errors)
    return Policy(**fields)


def from_retry(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Translate a node's ``retry`` (delays in milliseconds) into the keys of ``on_error``."""
    told: dict[str, Any] = {"mode": "retry"}
    for key in ("max_retries", "backoff_multiplier", "jitter"):
        if key in keys:
            told[key] = keys[key]
    if "base_delay_ms" in keys:
        told["retry_delay"] = keys["base_delay_ms"] / 1000
    if "max_delay_ms" in keys:
        told["max_delay"] = min(keys["max_delay_ms"] / 1000, MAX_DELAY)
    return told
