"""Keeps secrets out of everything that leaves a run: state, events and messages."""

from __future__ import annotations

import base64
import json
import re
import weakref
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"
MIN_PART = 4  # shorter secrets are masked as whole values only: they are parts of common words
MIN_API_KEY = 16  # shorter ones are placeholders for servers that want none
API_KEYS = ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY")

# Those that are in use: what is cut is masked by all of them first, wherever it is cut.
_in_use: weakref.WeakSet[Masker] = weakref.WeakSet()


class Masker:
    """Puts ``***`` in the place of every secret in a text, in any of its forms."""

    def __init__(
        self,
        secrets: Mapping[str, Any],
        settings: Mapping[str, Any],
        env: Mapping[str, str] | None = None,
    ) -> None:
        values = set(_leaves(secrets))
        keys = [(settings.get("llm") or {}).get("api_key"), *map((env or {}).get, API_KEYS)]
        values.update(key for key in keys if isinstance(key, str) and len(key) >= MIN_API_KEY)
        self._whole = frozenset(value for value in values if value)
        # The longest first, so that a secret that is part of another does not leave its rest.
        parts = {form for value in self._whole for form in forms(value) if len(form) >= MIN_PART}
        self._parts = sorted(parts, key=len, reverse=True)
        self._by_start: dict[str, list[str]] = {}
        for part in self._parts:
            self._by_start.setdefault(part[0], []).append(part)
        self._pattern = re.compile("|".join(map(re.escape, self._parts))) if self._parts else None
        self.idle = not self._whole  # there is nothing to mask
        if not self.idle:
            _in_use.add(self)

    def text(self, text: str) -> str:
        """Return ``text`` without secrets."""
        if text in self._whole:
            return MASK
        return self._pattern.sub(MASK, text) if self._pattern else str(text)

    def unfinished(self, text: str) -> int:
        """Return where in ``text`` that begins which more text may make a secret, or a longer one.

        What is a secret already before that is passed over: it is no beginning of another.
        """
        position = 0
        while position < len(text):
            found = 1
            for part in self._by_start.get(text[position], ()):
                if len(part) > len(text) - position and part.startswith(text[position:]):
                    return position
                if text.startswith(part, position):
                    found = len(part)
                    break
            position += found
        return position


class StreamMask:
    """Masks a text that comes in pieces; holds back what may become a secret."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._held = ""

    def feed(self, piece: str) -> str:
        """Return what can be shown after ``piece``."""
        if self._masker.idle:
            return piece
        text = self._held + piece
        end = self._masker.unfinished(text)
        self._held = text[end:]
        return self._masker.text(text[:end])

    def rest(self) -> str:
        """Return what is still held back, at the end of the text."""
        rest, self._held = self._held, ""
        return self._masker.text(rest)


def hide(text: str) -> str:
    """Return ``text`` without the secrets of anything that runs now."""
    for masker in list(_in_use):
        text = masker.text(text)
    return text


def shorten(text: str, most: int) -> str:
    """Return ``text`` without secrets, then cut to ``most`` characters."""
    text = hide(text)
    return text if len(text) <= most else f"{text[: most - 3]}…"


def forms(secret: str) -> Iterator[str]:
    """Yield the texts that give ``secret`` away: it, its lines, and each of these encoded."""
    for text in {secret, secret.strip(), *map(str.strip, secret.splitlines())}:
        if len(text) < MIN_PART:
            continue
        yield text
        for ascii_only in (False, True):
            yield json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        data = text.encode("utf-8", "replace")
        yield quote(data, safe="")
        yield quote(data)
        yield quote_plus(data)
        yield from _base64_forms(data)


def _base64_forms(data: bytes) -> Iterator[str]:
    """Yield what of the base64 of ``data`` does not depend on the bytes around it."""
    for before in range(3):
        start, end = -(-before * 8 // 6), (before + len(data)) * 8 // 6
        padded = bytes(before) + data
        yield base64.b64encode(padded)[start:end].decode()
        yield base64.urlsafe_b64encode(padded)[start:end].decode()


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool)):
        yield str(value)
    elif isinstance(value, Mapping | list | tuple):
        parts: Iterable[Any] = value.values() if isinstance(value, Mapping) else value
        for part in parts:
            yield from _leaves(part)
