"""Retries: which failures are transient, how long to wait, and when to stop.

Tries and waits are counted from the last progress: a download that goes on a little at each try
goes on for ever, and one that does not stops after a few.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar

import tenacity

from tasks.base import console
from tasks.base.errors import Unreachable

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")

# The browser package has the same: web/ts/store/retry.ts.
TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Waits in seconds, and where time and chance come from."""

    tries: int = 5
    first_wait: float = 1.0
    longest_wait: float = 30.0
    longest_asked: float = 300.0  # the Hub's rate limits are in windows of five minutes
    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.time
    random: Callable[[], float] = random.random


class TransientError(Exception):
    """A failure that may be gone the next time. ``after`` is the wait that the server asks for."""

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class Retrier:
    """Runs one attempt after another until one succeeds, fails for good, or nothing moves."""

    def __init__(self, name: str, policy: RetryPolicy) -> None:
        self._name = name
        self._policy = policy
        self._fruitless = 0

    def progressed(self) -> None:
        """Something new has come: start counting again."""
        self._fruitless = 0

    def run(self, attempt: Callable[[], T]) -> T:
        """The result of the first attempt that raises no ``TransientError``.

        Raises:
            Unreachable: the last ``tries`` attempts brought nothing.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TransientError),
            after=self._count,
            wait=self._wait,
            stop=lambda _state: self._fruitless >= self._policy.tries,
            sleep=self._policy.sleep,
            before_sleep=self._say,
            reraise=True,
        )
        try:
            return retrying(attempt)
        except TransientError as error:
            raise Unreachable(
                f"{self._name}: {error}; gave up after {self._policy.tries} tries without progress",
                hint="check the network and the proxy, then run it again: it goes on from here",
            ) from error

    def _count(self, _state: tenacity.RetryCallState) -> None:
        self._fruitless += 1

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, TransientError) and error.after is not None:
            return min(max(error.after, self._policy.first_wait), self._policy.longest_asked)
        # A try that moved counts as the first.
        step = self._policy.first_wait * 2.0 ** max(self._fruitless - 1, 0)
        return min(step, self._policy.longest_wait) * (0.5 + self._policy.random() / 2)

    def _say(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        wait = state.next_action.sleep if state.next_action else 0.0
        console.note(f"{self._name}: {error}; trying again in {wait:.0f} s")


def transient(response: httpx2.Response, now: float) -> TransientError | None:
    """What a status that may be gone at the next try means; None for any other.

    ``now`` in seconds since 1970.
    """
    if response.status_code not in TRANSIENT_STATUS:
        return None
    said = f"{response.url.host} answers {response.status_code}"
    return TransientError(said, _retry_after(response.headers, now))


def _retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or a date; None for none or nonsense.

    ``now`` in seconds since 1970.
    """
    text = headers.get("Retry-After", "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
