"""What one rendering of a template may cost, so that a runaway ends with an error.

Loops, filters and comparisons count their steps, and the characters that they make, look at or
hash, against the budget of the rendering they are in. Outside a rendering nothing is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from the_edge_agent.errors import LimitError

MAX_STEPS = 2_000_000  # loop passes and list elements looked at, in one rendering
MAX_TEXT = 10_000_000  # characters of one text
MAX_CHARACTERS = 64_000_000  # of all texts that one rendering makes, looks at or hashes
MAX_CONDITION = 64_000  # bytes
MAX_DEPTH = 100  # levels of a value, and of JSON
MAX_RANGE = 100_000  # numbers of one range()
MAX_INTEGER = 2**63  # the first whole number that is too large

_left: ContextVar[list[int] | None] = ContextVar("left", default=None)  # steps, characters


@contextmanager
def budget() -> Iterator[None]:
    """Give what runs inside a fresh budget of steps and characters."""
    token = _left.set([MAX_STEPS, MAX_CHARACTERS])
    try:
        yield
    finally:
        _left.reset(token)


def charge(steps: int) -> None:
    """Count ``steps``. Raises LimitError when the budget is spent."""
    left = _left.get()
    if left is None:
        return
    left[0] -= steps
    if left[0] < 0:
        raise LimitError(
            f"the template takes more than {MAX_STEPS} steps", hint="loop over fewer elements"
        )


def charge_text(length: int) -> None:
    """Count ``length`` characters. Raises LimitError when the budget is spent."""
    left = _left.get()
    if left is None:
        return
    left[1] -= length
    if left[1] < 0:
        raise LimitError(
            f"the template works on more than {MAX_CHARACTERS} characters",
            hint="work on shorter texts, or on fewer of them",
        )


def check_text(length: int) -> None:
    """Refuse a text of ``length`` characters before it is made. Raises LimitError."""
    if length > MAX_TEXT:
        raise LimitError(f"the text is longer than {MAX_TEXT} characters")
    charge_text(length)


def check_integer(number: int) -> int:
    """Return ``number``. Raises LimitError where it does not fit into 64 bits."""
    if not -MAX_INTEGER <= number < MAX_INTEGER:
        raise LimitError("the whole number does not fit into 64 bits")
    return number
