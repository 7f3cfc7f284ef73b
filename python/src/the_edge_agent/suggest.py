"""The nearest known word to one that is not known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

CUTOFF = 0.5  # how alike a misspelled key is at least
ALIKE = 0.75  # the same where another word would mean something else, as with actions


def nearest(word: str, known: Iterable[str], cutoff: float = CUTOFF) -> str:
    """Return ``did you mean "…"?`` for the nearest of ``known``, or nothing."""
    words = {name.lower(): name for name in sorted(known)}
    matches = get_close_matches(word.lower(), words, n=1, cutoff=cutoff)
    return f'did you mean "{words[matches[0]]}"?' if matches else ""
