"""The thread that computes: answers together, a token of each at a step, and other work between.

The context holds the answers in the making as sequences. One that does not fit beside the others
waits until it does, and so do those that came after it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from the_edge_agent.errors import ModelError
from the_edge_agent.llm.adaptive_threads import AdaptiveThreads
from the_edge_agent.llm.backend import DecideReply
from the_edge_agent.llm.cache import Cache, Slot, shared
from the_edge_agent.llm.context import ABORTED, Context
from the_edge_agent.llm.decide import Decision
from the_edge_agent.llm.model import Stopped
from the_edge_agent.llm.sequence import Generation, Sequence
from the_edge_agent.llm.stop_flag import StopFlag

T = TypeVar("T")

_WORTH_WAITING = 16  # tokens of a prompt that another one begins with too


class Job(Generic[T]):
    """Something that was asked for. ``future`` gets what comes of it."""

    def __init__(self) -> None:
        self.future: Future[T] = Future()
        self.given_up = False


class _Answer(Job[Generation]):
    """A job that is an answer, once its sequence is made."""

    part: Sequence


class _Decision(Job[DecideReply]):
    """A job that is a decision, once that is made."""

    part: Decision


class DecodeLoop:
    """Takes jobs from any thread, and does them in one of its own."""

    def __init__(
        self,
        make_context: Callable[[], Context],
        *,
        n_threads: int,
        stop: StopFlag,
        yields: bool = False,
    ) -> None:
        """``make_context`` is called when the first answer is asked for.

        ``yields``: fewer threads than ``n_threads`` may compute answers, see ``AdaptiveThreads``.
        ``stop`` is set when nobody waits any more for what is being computed.
        """
        self._make_context = make_context
        self._n_threads = n_threads
        self._stop = stop
        self._yields = yields
        self._adaptive: AdaptiveThreads | None = None
        self._adapts = False  # whether these answers are computed by fewer threads where need be
        # One thread for all jobs: OpenMP keeps its helpers for each that computes.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="llama")
        self._lock = threading.Lock()  # of the next four
        self._inbox: deque[tuple[Job[Any], Callable[[], None]]] = deque()
        self._wanted: set[Job[Any]] = set()  # that somebody waits for
        self._running = False
        self._changed = False  # whether there is more to do than the next step
        self._cache: Cache | None = None
        self._waiting: deque[_Answer | _Decision] = deque()
        self._live: list[_Answer] = []

    def answer(self, make: Callable[[Context], Sequence]) -> Job[Generation]:
        """Have an answer computed; ``make`` makes its sequence, in the loop's thread."""
        job = _Answer()
        self._line_up(job, make)
        return job

    def decide(self, make: Callable[[Context], Decision]) -> Job[DecideReply]:
        """Have a decision computed; ``make`` makes it, in the loop's thread."""
        job = _Decision()
        self._line_up(job, make)
        return job

    def run(self, work: Callable[[], T]) -> Job[T]:
        """Have ``work`` done in the loop's thread, between two steps."""
        job = Job[T]()

        def start() -> None:
            try:
                self._settle(job, result=work())
            except BaseException as error:  # whoever waits is told
                self._settle(job, error)

        self._submit(job, start)
        return job

    def give_up(self, job: Job[Any]) -> None:
        """End ``job`` early: its future gets ``Stopped``, when the step that runs is over."""
        with self._lock:
            job.given_up = self._changed = True
            self._wanted.discard(job)
            if not self._wanted:
                self._stop.set()

    def close(self) -> None:
        """Wait for all jobs, and give the context's memory back."""
        self._thread.shutdown()
        if self._cache is not None:
            self._cache.context.close()
            self._cache = None

    def context(self) -> Context:
        """Return the context, made at the first call. For the loop's own thread.

        Raises:
            ModelError, Stopped: what making it raises.
        """
        if self._cache is None:
            self._cache = Cache(self._make_context())
            if self._yields:
                self._adaptive = AdaptiveThreads(self._n_threads, self._cache.context.set_threads)
        return self._cache.context

    def _line_up(self, job: _Answer | _Decision, make: Callable[[Context], Any]) -> None:
        """Have ``job`` wait for room, once its part is made."""

        def start() -> None:
            try:
                job.part = make(self.context())
                self._waiting.append(job)
            except BaseException as error:  # whoever waits is told
                self._settle(job, error)

        self._submit(job, start)

    def _submit(self, job: Job[Any], start: Callable[[], None]) -> None:
        with self._lock:
            self._stop.clear()
            self._wanted.add(job)
            self._inbox.append((job, start))
            self._changed = True
            if not self._running:
                self._running = True
                self._thread.submit(self._run)

    def _settle(
        self, job: Job[Any], error: BaseException | None = None, *, result: Any = None
    ) -> None:
        with self._lock:
            self._wanted.discard(job)
        if error is None:
            job.future.set_result(result)
        else:
            job.future.set_exception(error)

    def _run(self) -> None:
        """Work until nothing is left to do."""
        while self._take_up():
            if self._cache is not None:
                self._arrange(self._cache)
                while self._live and not self._changed:
                    self._step(self._cache)

    def _take_up(self) -> bool:
        """Begin with the jobs that have come; return whether there is anything to do."""
        with self._lock:
            jobs = list(self._inbox)
            self._inbox.clear()
            self._changed = False
            self._running = bool(jobs or self._waiting or self._live)
        for job, start in jobs:
            if job.given_up:
                self._settle(job, Stopped())
            else:
                start()
        return self._running

    def _arrange(self, cache: Cache) -> None:
        """Drop what was given up, take in what there is room for, and choose the threads."""
        for answer in [answer for answer in self._live if answer.given_up]:
            self._end(cache, answer, Stopped())
        while self._waiting and self._admit(cache, self._waiting[0]):
            self._waiting.popleft()
        # Answers first: each goes on by a token or a few, what room is left is for prompts.
        self._live.sort(key=lambda answer: not answer.part.answering)
        # Prompts, whose parts are large, keep all threads, and so do seeds: another number of
        # threads rounds otherwise, and a seed asks for the same answer.
        adapted = self._adapts
        self._adapts = self._adaptive is not None and all(
            answer.part.answering and not answer.part.seeded for answer in self._live
        )
        if self._adaptive is not None and self._adapts and not adapted:
            self._adaptive.begin()

    def _admit(self, cache: Cache, job: _Answer | _Decision) -> bool:
        """Begin with ``job``; return whether it need not wait any longer."""
        if job.given_up:
            if isinstance(job, _Answer):
                job.part.close()
            self._settle(job, Stopped())
            return True
        if self._soon_shared(cache, job.part.tokens):
            return False
        slot = cache.take(job.part.tokens, job.part.longest)
        if slot is None:
            return False
        if isinstance(job, _Answer):
            job.part.begin(slot)
            self._live.append(job)
        else:
            self._decide(cache, job, slot)
        return True

    def _decide(self, cache: Cache, job: _Decision, slot: Slot) -> None:
        cache.context.set_threads(self._n_threads)
        try:
            reply = job.part.reply(cache, slot)
        except BaseException as error:  # whoever waits is told
            cache.cut(slot, len(slot.tokens))
            cache.release(slot)
            self._settle(job, error)
        else:
            cache.release(slot)
            self._settle(job, result=reply)

    def _soon_shared(self, cache: Cache, prompt: list[int]) -> bool:
        """Return whether much of ``prompt`` is being computed for another answer just now."""
        soon = (
            shared(answer.part.tokens, prompt) for answer in self._live if not answer.part.answering
        )
        return max(soon, default=0) > cache.shared(prompt) + _WORTH_WAITING

    def _step(self, cache: Cache) -> None:
        """Compute what each sequence needs next, at most a batch, and sample where it is due."""
        context = cache.context
        batch = context.batch
        batch.count = 0
        for answer in self._live:
            answer.part.put_into(batch, is_alone=len(self._live) == 1)
        adaptive = self._adaptive if self._adapts else None
        context.set_threads(adaptive.threads if adaptive else self._n_threads)
        result = context.compute()
        if result:
            self._undo(cache, result)
            return
        if adaptive:
            adaptive.observe()
        for answer in self._live.copy():
            sequence = answer.part
            answering = sequence.answering
            try:
                sequence.advance(cache)
            except BaseException as error:  # of whoever reads the text: other answers go on
                self._end(cache, answer, error)
            else:
                if sequence.ended:
                    self._end(cache, answer, result=sequence.result())
                elif sequence.answering != answering:
                    self._changed = True

    def _undo(self, cache: Cache, result: int) -> None:
        """Take back what a computation that ended early has left of its work."""
        for answer in self._live.copy():
            cache.cut(answer.part.slot, len(answer.part.slot.tokens))
            if result != ABORTED:
                error = ModelError(f"llama.cpp failed to compute (code {result})")
                self._end(cache, answer, error)
        self._changed = True

    def _end(
        self,
        cache: Cache,
        answer: _Answer,
        error: BaseException | None = None,
        *,
        result: Generation | None = None,
    ) -> None:
        self._changed = True
        self._live.remove(answer)
        answer.part.close()
        cache.release(answer.part.slot)
        self._settle(answer, error, result=result)
