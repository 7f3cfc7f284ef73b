"""Stopping in good order: Ctrl-C, SIGTERM, and a reader of our output that has gone away.

All three take the way of Ctrl-C, which asyncio turns into a cancelled task, so that temporary
files are removed and computations end. Only the exit code tells them apart.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

INTERRUPTED = 130  # as shells count: 128 and the number of the signal
TERMINATED = 143
BROKEN_PIPE = 141

_exit_code = INTERRUPTED


def install() -> None:
    """Let SIGTERM end the program like Ctrl-C does, with an exit code of its own."""
    global _exit_code  # noqa: PLW0603  # a process has one
    _exit_code = INTERRUPTED
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _on_term)
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            # As scripts start what runs in the background. The others stop by it too.
            signal.signal(signal.SIGINT, signal.default_int_handler)


def exit_code() -> int:
    """Return the exit code of a program that was stopped."""
    return _exit_code


def must_leave() -> bool:
    """Return whether it was more than a Ctrl-C, which a conversation survives."""
    return _exit_code != INTERRUPTED


def reader_left() -> None:
    """Stop the program from any thread because nobody reads its output any more."""
    discard_output()
    _stop(BROKEN_PIPE)


def discard_output() -> None:
    """Send what is still to be written to nowhere, so that it raises no further error."""
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123  # a path object is not needed
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _on_term(_signal: int, _frame: FrameType | None) -> None:
    _stop(TERMINATED)


def _stop(code: int) -> None:
    global _exit_code  # noqa: PLW0603  # a process has one
    _exit_code = code
    ident = threading.main_thread().ident
    assert ident is not None
    signal.pthread_kill(ident, signal.SIGINT)
