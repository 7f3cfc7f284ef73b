"""The rows of a chat's memory: the program's peak against the model's file and its context."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tasks.base.errors import BenchFailed
from tasks.bench.container import QUESTION, Bench
from tasks.bench.report import BenchRow, Figure, Goal

MIB = 1 << 20
# What llama.cpp says of the buffers that it makes for a context, in MiB.
BUFFER = re.compile(r"(KV|RS|output|compute) buffer size += +(\d+\.\d+) MiB")


def memory(bench: Bench) -> Iterator[BenchRow]:
    """The most memory that `tea chat QUESTION` has, mapped pages of the model's file included.

    At full speed, and with the weights as they lie in the file.
    """
    chat = bench.tea("tree", "chat", QUESTION, name="chat")
    low = bench.tea("tree", "chat", "--low-memory", QUESTION, name="low")
    talking = bench.tea("tree", "chat", "-v", QUESTION, name="talking")
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


def context_bytes(log: str) -> int:
    """Bytes of the buffers of a context, as llama.cpp's log gives them.

    Raises:
        BenchFailed: the log names none.
    """
    buffers = BUFFER.findall(log)
    if "KV" not in {name for name, _ in buffers}:
        raise BenchFailed("llama.cpp's log does not say how large its context is", hint=log[-200:])
    return round(sum(float(size) for _, size in buffers) * MIB)
