"""Keeps secrets out of everything that leaves a run: state, events and messages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

MASK = "***"
MIN_PART = 4  # shorter secrets are masked as whole values only: they are parts of common words
MIN_API_KEY = 16  # shorter ones are placeholders for servers that want none


class Masker:
    """Puts ``***`` in the place of every secret in a text."""

    def __init__(self, secrets: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        values = set(_leaves(secrets))
        api_key = (settings.get("llm") or {}).get("api_key")
        if isinstance(api_key, str) and len(api_key) >= MIN_API_KEY:
            values.add(api_key)
        self._whole = frozenset(value for value in values if value)
        # The longest first, so that a secret that is part of another does not leave its rest.
        self._parts = sorted(
            (value for value in values if len(value) >= MIN_PART), key=len, reverse=True
        )
        self._pattern = re.compile("|".join(map(re.escape, self._parts))) if self._parts else None
        self.idle = not self._whole  # there is nothing to mask

    def text(self, text: str) -> str:
        """Return ``text`` without secrets."""
        if text in self._whole:
            return MASK
        return self._pattern.sub(MASK, text) if self._pattern else str(text)

    def unfinished(self, text: str) -> int:
        """Return how many characters at the end of ``text`` may be the start of a secret."""
        longest = max(map(len, self._parts), default=0)
        for length in range(min(longest - 1, len(text)), 0, -1):
            if any(part.startswith(text[-length:]) for part in self._parts):
                return length
        return 0


class StreamMask:
    """Masks a text that comes in pieces; holds back what may become a secret."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._held = ""

    def feed(self, piece: str) -> str:
        """Return what can be shown after ``piece``."""
        if self._masker.idle:
            return piece
        text = self._masker.text(self._held + piece)
        hold = self._masker.unfinished(text)
        self._held = text[len(text) - hold :]
        return text[: len(text) - hold]

    def rest(self) -> str:
        """Return what is still held back, at the end of the text."""
        rest, self._held = self._held, ""
        return rest


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool)):
        yield str(value)
    elif isinstance(value, Mapping | list | tuple):
        parts: Iterable[Any] = value.values() if isinstance(value, Mapping) else value
        for part in parts:
            yield from _leaves(part)
