"""The rows of memory: the program's peak against the model's file, and its context."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from tasks.base.errors import BenchFailed
from tasks.bench.container import QUESTION, Answer, Bench, Step, Timed, workflow
from tasks.bench.report import BenchRow, Figure, Goal

MIB = 1 << 20
TOKENS = 16  # of an answer whose memory is measured
# What llama.cpp says of the buffers that it makes for a context, in MiB.
BUFFER = re.compile(r"(KV|RS|output|compute) buffer size += +(\d+\.\d+) MiB")


def memory(bench: Bench) -> Iterator[BenchRow]:
    """The most memory that `tea chat QUESTION` has, mapped pages of the model's file included.

    At full speed, and with the weights as they lie in the file.
    """
    words = ("--max-tokens", str(TOKENS), QUESTION)
    chat = bench.tea("tree", "chat", *words, name="chat")
    low = bench.tea("tree", "chat", "--low-memory", *words, name="low")
    talking = bench.tea("tree", "chat", "-v", *words, name="talking")
    with bench.inside() as inside:
        results = inside.measure([chat, low], bench.runs)
        said = inside.measure([talking], 1)["talking"][0].stderr
    peaks = {
        name: Figure.of("peak", [result.peak / 1e6 for result in results[name]])
        for name in ("chat", "low")
    }
    needed = (bench.model.size + context_bytes(said)) / 1e6
    goal = Goal(30) if bench.program.impl == "rust" else None
    model = Figure("model and context", needed, 1)
    yield BenchRow("memory of a chat", "MB", peaks["chat"], model, goal, difference=True)
    yield BenchRow("memory of a chat, low", "MB", peaks["low"], model, goal, difference=True)
    yield from _small_context(bench)


def _small_context(bench: Bench) -> Iterator[BenchRow]:
    """The same of an answer in a context of 2,048 tokens, and what is left once it is loaded.

    The goals are of a large model: beside a small one, the program and the context weigh more.
    """
    steps = [_answer(bench, "full", "false"), _answer(bench, "low", "true")]
    with bench.inside() as inside:
        results = inside.measure(steps, bench.runs)
    full, low = (results[step.name] for step in steps)
    peak = Figure.of("peak", [result.peak / 1e6 for result in full])
    loaded = Figure.of("at the first token", [_loaded(result) / 1e6 for result in full])
    least = Figure.of("peak", [result.peak / 1e6 for result in low])
    model = Figure("model", bench.model.size / 1e6, 1)
    for name, ours, limit in (("", peak, 1.42), (", loaded", loaded, 1.32), (", low", least, 1.2)):
        goal = Goal(limit) if bench.large else None
        yield BenchRow(f"memory, 2,048 tokens{name}", "MB", ours, model, goal)


def _answer(bench: Bench, name: str, low_memory: str) -> Step:
    settings = {"n_ctx": "2048", "low_memory": low_memory}
    text = workflow(None, TOKENS, settings=settings)
    step = bench.tea("tree", "run", "--stream", "-", stdin=text, name=name)
    return replace(step, resident=True)


def _loaded(result: Timed) -> int:
    """Bytes of memory at the first piece of the answer."""
    first = Answer.of(result, TOKENS).first
    return next(
        size
        for (moment, _), size in zip(result.lines, result.resident, strict=True)
        if moment >= first
    )


def context_bytes(log: str) -> int:
    """Bytes of the buffers of a context, as llama.cpp's log gives them.

    Raises:
        BenchFailed: the log names none.
    """
    buffers = BUFFER.findall(log)
    if "KV" not in {name for name, _ in buffers}:
        raise BenchFailed("llama.cpp's log does not say how large its context is", hint=log[-200:])
    return round(sum(float(size) for _, size in buffers) * MIB)
