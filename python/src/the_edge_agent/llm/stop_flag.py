"""A flag that llama.cpp itself looks at between two operations of a computation."""

from __future__ import annotations

import ctypes


class StopFlag:
    """Asks a computation to end.

    llama.cpp looks about a thousand times a token, too often to ask Python. So it gets C's own
    ``strlen`` to call, and the flag is a string: empty while the computation is to go on.
    """

    def __init__(self) -> None:
        self._text = ctypes.create_string_buffer(2)
        strlen = ctypes.CDLL(None).strlen
        self.function: int = ctypes.cast(strlen, ctypes.c_void_p).value or 0
        self.argument = ctypes.addressof(self._text)

    def set(self) -> None:
        """Ask whoever computes to stop."""
        self._text[0] = b"x"

    def clear(self) -> None:
        """Let the next computation run."""
        self._text[0] = b"\0"

    def is_set(self) -> bool:
        """Return whether a stop was asked for."""
        return self._text.raw[0] != 0
