"""From the bytes that a model emits to the text of an answer."""

from __future__ import annotations

import codecs
from collections.abc import Callable


class StopSequenceBuffer:
    """Puts pieces of bytes together to text, up to the first stop string.

    ``on_text`` gets text as soon as it is sure: whole characters only, and nothing that may turn
    out to be the beginning of a stop string.
    """

    def __init__(self, stop: tuple[str, ...], on_text: Callable[[str], None] | None) -> None:
        self._stop = stop
        self._on_text = on_text
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._said: list[str] = []
        self._held = ""

    def feed(self, piece: bytes) -> bool:
        """Add ``piece``; return True when a stop string is complete. Feed nothing after that."""
        text = self._decode(piece)
        if not self._stop:
            self._say(text)
            return False
        text = self._held + text
        ends = [end for end in (text.find(stop) for stop in self._stop) if end >= 0]
        if ends:
            self._held = ""
            self._say(text[: min(ends)])
            return True
        hold = max(_overlap(text, stop) for stop in self._stop)
        self._held = text[len(text) - hold :]
        self._say(text[: len(text) - hold])
        return False

    def finish(self) -> str:
        """Return the whole answer. What is left of an unfinished character is dropped."""
        self._say(self._held)
        self._held = ""
        return "".join(self._said)

    def _say(self, text: str) -> None:
        if text:
            self._said.append(text)
            if self._on_text is not None:
                self._on_text(text)


def _overlap(text: str, stop: str) -> int:
    """Return how many characters at the end of ``text`` begin ``stop``."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
