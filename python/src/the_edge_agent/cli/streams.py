"""The standard streams: the result on stdout, what people are to know on stderr.

What cannot be written is an exit code: 74 (sysexits.h has it for input and output), or 141 where
the reader went away.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TextIO

from the_edge_agent.cli import signals
from the_edge_agent.spec import EXIT_OUTPUT

_result: TextIO | None = None  # None: sys.stdout
_stderr_code = 0  # of a program that ended well and could not say all of it
# All but tab and line feed: a terminal takes them, or what follows them, for commands.
_CONTROLS = {n: f"\\u{n:04x}" for n in (*range(9), *range(11, 32), *range(127, 160))}


def prepare() -> None:
    """Open what is closed, and write UTF-8 whatever the locale says.

    A closed descriptor would go to the next file that is opened. /dev/null takes its place, open
    for reading alone, so that writing there is still an error.
    """
    global _result  # noqa: PLW0603  # a process has one
    _result = None
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDONLY), True)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = _writer(sys.stdout, 1)
    sys.stderr = _writer(sys.stderr, 2)


def _writer(stream: TextIO | None, number: int) -> TextIO:
    """Return ``stream`` or, where it was closed, a new one; what it cannot write becomes a mark."""
    if stream is None:
        return _open(number, closefd=False)
    reconfigure = getattr(stream, "reconfigure", None)  # a test may have put another one
    if reconfigure is not None:
        reconfigure(encoding="utf-8", errors="replace")
    return stream


def _open(number: int, *, closefd: bool) -> TextIO:
    return open(number, "w", 1, encoding="utf-8", errors="replace", closefd=closefd)


def keep_stdout() -> None:
    """Keep stdout for the result: what code, its threads and its children print goes to stderr."""
    global _result  # noqa: PLW0603  # a process has one
    _result = sys.stdout
    with contextlib.suppress(OSError):  # a test may have put another one, which is no descriptor
        if sys.stdout.fileno() == 1:
            _result = _open(os.dup(1), closefd=True)
            os.dup2(2, 1)
    sys.stdout = sys.stderr


def answer(text: str) -> None:
    """Write a piece of the result to stdout at once. May be called from any thread.

    Where that cannot be, the program is stopped; see ``signals.leave``.
    """
    stream = _result or sys.stdout
    try:
        stream.write(_shown(stream, text))
        stream.flush()
    except OSError as error:
        _discard(stream)
        reader_left = isinstance(error, BrokenPipeError)
        if not reader_left and not signals.is_stopping():
            say(f"tea: standard output cannot be written: {error.strerror or error}")
        signals.leave(signals.BROKEN_PIPE if reader_left else EXIT_OUTPUT)


def say(text: str) -> None:
    """Write a line for people to stderr."""
    from the_edge_agent import redact  # slow to import, and not always wanted

    log(f"{redact.hide(text)}\n")


def log(text: str) -> None:
    """Write technical text to stderr as it stands. May be called from any thread."""
    global _stderr_code  # noqa: PLW0603  # a process has one
    try:
        sys.stderr.write(_shown(sys.stderr, text))
        sys.stderr.flush()
    except OSError as error:
        _discard(sys.stderr)
        gone = isinstance(error, BrokenPipeError)
        _stderr_code = _stderr_code or (signals.BROKEN_PIPE if gone else EXIT_OUTPUT)


def exit_code(code: int) -> int:
    """Return the exit code of a program that would end with ``code``, had all been written."""
    return code or _stderr_code


def _shown(stream: TextIO, text: str) -> str:
    """Return ``text`` without commands to a terminal, where ``stream`` is one.

    They are shown in the form that JSON has for them. Files and pipes get them as they are.
    """
    with contextlib.suppress(UnicodeEncodeError):  # half a character from elsewhere
        # Bytes of a file's name that are no UTF-8.
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if not stream.isatty():
        return text
    return text.replace("\r\n", "\n").translate(_CONTROLS)


def _discard(stream: TextIO) -> None:
    """Send what ``stream`` still holds to nowhere, so that it raises no further error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
