"""How many of the threads compute one token: fewer while other programs want their cores.

Threads wait for each other several hundred times a token. When one of them has lost its core to
another program, all wait until it has one again, which may take milliseconds each time: two
threads were then measured to be four times slower than one. The sign of it is that threads that
could run wait for a core. How much processor time they get is none: whoever waits for the others
spins at first, and sleeps after that.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import perf_counter

_WINDOW = 0.1  # seconds of answering that are judged together
_CROWDED = 1 / 3  # of the window, waited by all threads together; idle machines stay below 0.15
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 8.0  # seconds until all threads are tried again

Clock = Callable[[], float]


def cpu_wait_seconds(tasks: Path = Path("/proc/self/task")) -> float:
    """Return for how many seconds this process's threads together have waited for a core.

    It stays 0 on kernels that do not count that. ``tasks`` holds a folder for each thread; their
    ``schedstat`` has nanoseconds run, nanoseconds waited, and a count.
    """
    waited = 0
    with suppress(OSError):  # no such folder
        for task in tasks.iterdir():
            with suppress(OSError, IndexError):  # not counted, or the thread has just ended
                waited += int((task / "schedstat").read_bytes().split()[1])
    return waited / 1e9


class AdaptiveThreads:
    """Between one and ``full`` threads; ``assign`` is told how many whenever that changes."""

    def __init__(
        self,
        full: int,
        assign: Callable[[int], object],
        *,
        clock: Clock = perf_counter,
        wait_clock: Clock = cpu_wait_seconds,
    ) -> None:
        """Begin with ``full`` threads. Both clocks give seconds, see ``cpu_wait_seconds``."""
        self.threads = full
        self._full = full
        self._assign = assign
        self._clock = clock
        self._wait_clock = wait_clock
        self._start = self._queued = 0.0  # of this window
        self._pause = _FIRST_PAUSE
        self._retry = 0.0  # when all threads are tried again

    def begin(self) -> None:
        """Begin an answer: what was waited before does not count."""
        self._start, self._queued = self._clock(), self._wait_clock()

    def observe(self) -> None:
        """Look at the time since the last look, now that a token has been computed."""
        now = self._clock()
        if now - self._start < _WINDOW:
            return
        queued = self._wait_clock()
        crowded = queued - self._queued > _CROWDED * (now - self._start)
        self._start, self._queued = now, queued
        self._judge(crowded, now)

    def _judge(self, crowded: bool, now: float) -> None:
        if crowded and self.threads > 1:
            if self.threads == self._full:
                self._retry = now + self._pause
                self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            self._set(self.threads * 3 // 4)
        elif self.threads < self._full and now >= self._retry:
            self._set(self._full)
        elif self.threads == self._full:
            self._pause = _FIRST_PAUSE

    def _set(self, threads: int) -> None:
        self.threads = threads
        self._assign(threads)
