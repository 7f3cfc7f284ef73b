"""What a model thinks before it answers, told from its answer by the marks of its template."""

from __future__ import annotations

import codecs
from typing import Literal

# Those that models' publishers use: an opening mark and the closing one.
_MARKS = (
    ("<think>", "</think>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
)

Marks = tuple[bytes, bytes]


def marks(template: str | None) -> Marks | None:
    """Return the marks that a chat template knows; None: its model does not think."""
    for opening, closing in _MARKS:
        if template is not None and closing in template:
            return opening.encode(), closing.encode()
    return None


class Thinking:
    """Takes the bytes of an answer apart, piece by piece."""

    def __init__(self, marks: Marks, prompt: bytes) -> None:
        """``prompt`` is how the prompt ends: some templates write the opening mark themselves."""
        self.marks = marks
        self._opening, self._closing = marks
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._text = ""
        self._held = b""  # may be the beginning of a mark
        is_open = prompt.rfind(self._opening) > prompt.rfind(self._closing)
        self._state: Literal["before", "inside", "gap", "after"] = "inside" if is_open else "before"
        if not is_open and prompt.rstrip().endswith(self._closing):
            self._state = "after"

    @property
    def reasoning(self) -> str | None:
        """What was thought so far; None: nothing."""
        return self._text.strip() or None

    @property
    def answering(self) -> bool:
        """Whether what comes next belongs to the answer."""
        return self._state in ("gap", "after")

    def goes_on_with(self, piece: bytes) -> bool:
        """Return whether ``piece`` is thought, or begins to be; else the answer begins here."""
        if self._state == "before" and not piece.lstrip().startswith(self._opening):
            self._state = "after"
        return not self.answering

    def feed(self, piece: bytes) -> bytes:
        """Add ``piece``; return what of it, and of what was held, belongs to the answer."""
        if self._state == "after":
            return piece
        data, self._held = self._held + piece, b""
        if self._state == "before":
            start = data.lstrip()
            if start.startswith(self._opening):
                self._state, data = "inside", start.removeprefix(self._opening)
            elif self._opening.startswith(start):
                self._held = data
                return b""
            else:
                self._state = "after"
                return data
        if self._state == "inside":
            thought, closed, data = data.partition(self._closing)
            if not closed:
                hold = _overlap(thought, self._closing)
                self._held = thought[len(thought) - hold :]
                self._text += self._decode(thought[: len(thought) - hold])
                return b""
            self._text += self._decode(thought, final=True)
            self._state = "gap"
        data = data.lstrip()
        if data:
            self._state = "after"
        return data

    def finish(self) -> bytes:
        """Return what was held and belongs to the answer, now that it has ended."""
        held, self._held = self._held, b""
        if self._state == "inside":
            self._text += self._decode(held, final=True)
            return b""
        return held


def _overlap(data: bytes, mark: bytes) -> int:
    """Return how many bytes at the end of ``data`` begin ``mark``."""
    for length in range(min(len(data), len(mark) - 1), 0, -1):
        if data.endswith(mark[:length]):
            return length
    return 0
