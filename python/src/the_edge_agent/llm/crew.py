"""How many of the threads compute one token: fewer while other programs want their cores.

Threads wait for each other several hundred times a token. When one of them has lost its core to
another program, all wait until it has one again, which may take milliseconds each time: two
threads were then measured to be four times slower than one. Whoever waits keeps its core busy, so
the sign of it is that all threads together had less processor time than passed for each of them.
The time of the one that leads the others would not do: it may have a core to itself, and wait.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter, process_time

_WINDOW = 0.1  # seconds of computing that are judged together
_LOST = 1 / 3  # of one thread's time: so much is missing on a crowded machine
_LOST_OF_ALL = 0.1  # of all threads' time, where that is more: of many, some rest now and then
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 8.0  # seconds until all threads are tried again

Clock = Callable[[], float]


class Crew:
    """Between one and ``full`` threads; ``assign`` is told how many whenever that changes."""

    def __init__(
        self,
        full: int,
        assign: Callable[[int], object],
        *,
        clock: Clock = perf_counter,
        cpu_clock: Clock = process_time,
    ) -> None:
        """Begin with ``full`` threads. ``cpu_clock`` counts all threads together, in seconds."""
        self.threads = full
        self._full = full
        self._assign = assign
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._wall = self._cpu = 0.0  # of this window
        self._pause = _FIRST_PAUSE
        self._retry = 0.0  # when all threads are tried again

    def compute(self, work: Callable[[], None]) -> None:
        """Call ``work``, which computes one token, and learn from the time it took."""
        start, cpu_start = self._clock(), self._cpu_clock()
        work()
        now = self._clock()
        self._wall += now - start
        self._cpu += self._cpu_clock() - cpu_start
        if self._wall < _WINDOW:
            return
        lost = self.threads * self._wall - self._cpu
        crowded = lost > max(_LOST, _LOST_OF_ALL * self.threads) * self._wall
        self._wall = self._cpu = 0.0
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
