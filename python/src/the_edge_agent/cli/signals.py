"""Stopping in good order: Ctrl-C, SIGTERM, and output that cannot be written.

All of them interrupt what runs: a task that waits is cancelled, anything else gets a
KeyboardInterrupt, so that temporary files are removed and computations end. What does not end by
that ends with the process, soon after. A second signal has the system's default action. Only the
exit code tells the causes apart.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from the_edge_agent.spec import EXIT_INTERRUPTED, EXIT_READER_GONE

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

INTERRUPTED = EXIT_INTERRUPTED  # as shells count: 128 and the number of the signal
BROKEN_PIPE = EXIT_READER_GONE

_PATIENCE = 0.6  # seconds in which what was interrupted can end by itself
_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_exit_code: int | None = None  # None: nobody asked to stop
_cancel: Callable[[], bool] | None = None  # cancels the task that runs, if it waits
_children: set[int] = set()  # when the stop came: some lose their parent by it


def install() -> None:
    """Take the signals over, or, after a conversation survived one, take them over again."""
    global _exit_code  # noqa: PLW0603  # a process has one
    _exit_code = None
    if threading.current_thread() is threading.main_thread():
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in _SIGNALS:
            # Scripts start what runs in the background with SIGINT ignored. `leave` needs it.
            signal.signal(number, _on_signal)


def run(work: Coroutine[Any, Any, T], runner: asyncio.Runner | None = None) -> T:
    """Run ``work`` to its end, in ``runner`` or on its own.

    Raises:
        KeyboardInterrupt: the program was asked to stop.
    """
    import asyncio  # slow to import, and not always wanted

    async def cancellable() -> T:
        global _cancel  # noqa: PLW0603  # a process has one
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def cancel() -> bool:
            waits = asyncio.current_task(loop) is None
            if waits:
                loop.call_soon_threadsafe(task.cancel)
            return waits

        _cancel = cancel
        try:
            return await work
        finally:
            _cancel = None

    try:
        result = asyncio.run(cancellable()) if runner is None else runner.run(cancellable())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    if _exit_code is not None:
        raise KeyboardInterrupt
    return result


def exit_code() -> int:
    """Return the exit code of a program that was stopped."""
    return INTERRUPTED if _exit_code is None else _exit_code


def must_leave() -> bool:
    """Return whether it was more than a Ctrl-C, which a conversation survives."""
    return exit_code() != INTERRUPTED


def is_stopping() -> bool:
    """Return whether the program was asked to stop."""
    return _exit_code is not None


def leave(code: int) -> None:
    """Stop the program with ``code``, from any thread, unless it is being stopped already."""
    global _exit_code  # noqa: PLW0603  # a process has one
    if _exit_code is None:
        _exit_code = code
        ident = threading.main_thread().ident
        assert ident is not None
        signal.pthread_kill(ident, signal.SIGINT)


def _on_signal(number: int, _frame: FrameType | None) -> None:
    global _exit_code  # noqa: PLW0603  # a process has one
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_DFL)
    if _exit_code is None:
        _exit_code = 128 + number
    _find_children()
    signal.signal(signal.SIGALRM, _on_alarm)
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE)
    atexit.register(signal.setitimer, signal.ITIMER_REAL, 0)  # no handler is there after that
    if _cancel is None or not _cancel():
        raise KeyboardInterrupt


def _on_alarm(_signal: int, _frame: FrameType | None) -> None:
    """End a process whose code or threads go on after they were interrupted."""
    end_children()
    os._exit(exit_code())


def shield_system() -> None:
    """Have ``os.system`` end with the program: C's own ignores SIGINT, and waits whatever comes."""

    def system(command: str) -> int:
        import subprocess

        code = subprocess.call(command, shell=True)
        return -code if code < 0 else code << 8

    os.system = system  # type: ignore[assignment]


def end_children() -> None:
    """End the processes that code of the workflow has started and that still run."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for _ in range(10):
            if not _find_children():
                return
            for child in _children:
                try:
                    os.kill(child, number)
                except OSError:
                    continue  # it has ended meanwhile, or is another user's
            time.sleep(0.01)


def _find_children() -> set[int]:
    """Look for the processes below this one, and those known before, that have not ended."""
    parents: dict[int, int] = {}
    for entry in os.scandir("/proc"):
        try:
            with open(f"{entry.path}/stat", "rb") as file:  # noqa: PTH123  # pathlib is slow
                state, parent = file.read().rpartition(b")")[2].split()[:2]
        except OSError:
            continue  # no process, or one that has ended meanwhile
        if entry.name.isdigit() and state not in b"ZX":
            parents[int(entry.name)] = int(parent)
    _children.intersection_update(parents)
    above = {os.getpid(), *_children}
    while more := {pid for pid, parent in parents.items() if parent in above} - above:
        above |= more
        _children.update(more)
    return _children
