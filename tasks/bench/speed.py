"""Rows of the running program: start, first token, and tokens per second under four conditions."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from tasks.base import console
from tasks.base.errors import BenchFailed
from tasks.bench.container import (
    ANSWER_TOKENS,
    FIRST_CACHE,
    FUSE,
    HOME,
    TREE,
    Answer,
    Bench,
    BenchContainer,
    Step,
    Timed,
    bench_rate,
    cpu_backend,
    logged_rate,
)
from tasks.bench.report import BenchRow, Figure, Goal

# MB that a first start may leave in the cache.
CACHE_GOALS = {"python": 75.0, "rust": 40.0}
SHORT = 3  # times as many runs of what is short, or has little room to its goal
# Of llama-bench's rate: a whole answer, and one of which each token is read.
RATE_GOALS = {"python": (0.96, 0.93), "rust": (0.98, 0.95)}
# Where the program must have run for a row to be what it says.
PLACES = {
    "cached": f"{HOME}/.cache/",
    "mounted": "/tmp/.mount_",
    "first start": FIRST_CACHE,
    "tree": TREE,
}
IMAGES = ("cached", "mounted")
UNPACKING = ("first start", "cached")
FOLDER_SIZE = """\
import os
print(sum(os.lstat(os.path.join(folder, name)).st_size
          for folder, _, names in os.walk({!r}) for name in names))
"""


def _seconds(what: str, results: Sequence[Timed]) -> Figure:
    processor = [result.processor for result in results]
    return Figure.of(what, [result.seconds for result in results], processor)


def _answers(place: str, results: Sequence[Timed], tokens: int = ANSWER_TOKENS) -> list[Answer]:
    """The answers, after a check that the program ran where it should."""
    answers = [Answer.of(result, tokens) for result in results]
    for answer in answers:
        if not answer.place.startswith(PLACES[place]):
            raise BenchFailed(f"the program ran in {answer.place}, not {place}")
    return answers


def _rates(what: str, place: str, results: Sequence[Timed]) -> Figure:
    return Figure.of(what, [answer.rate for answer in _answers(place, results)])


def start(bench: Bench) -> Iterator[BenchRow]:
    """``tea --version`` against a program that does nothing: Python's, or the system's."""
    if bench.program.impl == "python":
        nothing = Step("python3 -c pass", (*bench.python(TREE), "-c", "pass"))
        goal = Goal(0.15)
    else:
        nothing = Step("/bin/true", ("/bin/true",))
        goal = Goal(0.02)
    steps = [bench.tea(place, "--version") for place in IMAGES]
    with bench.inside(**FUSE) as inside:
        results = inside.measure([*steps, nothing], bench.runs * SHORT)
    peer = _seconds(nothing.name, results[nothing.name])
    for step in steps:
        ours = _seconds("tea --version", results[step.name])
        yield BenchRow(f"start, {step.name}", "s", ours, peer, goal, difference=True)


def first_start(bench: Bench) -> Iterator[BenchRow]:
    """The first start ever, which unpacks the program, against a later one; no FUSE for either."""
    with bench.inside() as inside:
        results = inside.measure(
            [bench.tea(place, "--version") for place in UNPACKING], bench.runs * SHORT
        )
        size = int(inside.python(FOLDER_SIZE.format(FIRST_CACHE)))
    first, later = (_seconds(place, results[place]) for place in UNPACKING)
    yield BenchRow("first start ever", "s", first, later, Goal(0.15), difference=True)
    left = Figure("files", size / 1e6, 1)
    yield BenchRow("cache after it", "MB", left, None, Goal(CACHE_GOALS[bench.program.impl]))


def first_token(bench: Bench) -> Iterator[BenchRow]:
    """From the start of the program to the first piece of the answer.

    Of a first start ever, what `tea --version` takes longer there is subtracted.
    """
    answers = [bench.answer(place, tokens=1) for place in PLACES]
    starts = [bench.tea(place, "--version", name=f"{place}, version") for place in UNPACKING]
    with bench.inside(**FUSE) as inside:
        results = inside.measure([*answers, *starts], bench.runs * SHORT)
    figures = {place: _firsts(place, results[place]) for place in PLACES}
    first, later = (_seconds(step.name, results[step.name]) for step in starts)
    figures["first start"] = _without(figures["first start"], first, later)
    goal = Goal(1.05 if bench.large else 1.15)
    for place in (*IMAGES, "first start"):
        yield BenchRow(f"first token, {place}", "s", figures[place], figures["tree"], goal)


def _without(figure: Figure, longer: Figure, shorter: Figure) -> Figure:
    """``figure`` less what ``longer`` takes more than ``shorter``."""
    assert figure.processor and longer.processor and shorter.processor
    return replace(
        figure,
        median=figure.median - longer.median + shorter.median,
        processor=figure.processor - longer.processor + shorter.processor,
    )


def _firsts(place: str, results: Sequence[Timed]) -> Figure:
    what = "plain folder" if place == "tree" else "AppImage"
    firsts = [answer.first for answer in _answers(place, results, 1)]
    return Figure.of(what, firsts, [result.processor for result in results])


def rate(bench: Bench) -> Iterator[BenchRow]:
    """Tokens per second against llama-bench: same libraries, threads, and place in the context."""
    with bench.inside() as inside:
        threads = _threads(inside)
        answer = bench.answer("tree", threads=threads)
        depth = Answer.of(inside.measure([answer], 1)["tree"][0]).prompt_tokens
        peer = bench.bench_of_llama(depth, threads)
        whole = bench.whole_answer(threads)
        results = inside.measure([whole, answer, peer], bench.runs * SHORT)
        _check_backends(inside, peer)
    ours = Figure.of("llm.call", [logged_rate(result) for result in results[whole.name]])
    read = _rates("llm.stream", "tree", results["tree"])
    theirs = Figure.of(peer.name, [bench_rate(result) for result in results[peer.name]])
    whole_goal, read_goal = RATE_GOALS[bench.program.impl]
    yield BenchRow("rate", "tokens/s", ours, theirs, Goal(whole_goal, at_most=False))
    yield BenchRow(
        "rate, each token read", "tokens/s", read, theirs, Goal(read_goal, at_most=False)
    )


def busy(bench: Bench) -> Iterator[BenchRow]:
    """Tokens per second while every core has other work, against the idle machine."""
    idle = bench.answer("tree")
    with bench.inside() as inside:
        cores = int(inside.python("import os; print(len(os.sched_getaffinity(0)))"))
        working = idle.renamed("busy", busy=cores)
        results = inside.measure([idle, working], bench.runs)
    ours = _rates(f"with {cores} busy processes", "tree", results["busy"])
    theirs = _rates("without", "tree", results["tree"])
    yield BenchRow("rate, all cores busy", "tokens/s", ours, theirs, Goal(0.4, at_most=False))


def half(bench: Bench) -> Iterator[BenchRow]:
    """Tokens per second on half the cores with nothing told, against the best number of threads."""
    cores = len(os.sched_getaffinity(0))
    part = max(1, cores // 2)
    limits: tuple[tuple[str, dict[str, Any]], ...] = (
        (f"quota of {part}", {"cpus": float(part)}),
        (f"cpuset of {part}", {"cpuset": f"0-{part - 1}"}),
    )
    for name, limit in limits:
        with bench.inside(**limit) as inside:
            told = [bench.answer("tree", threads=n, name=f"{n} threads") for n in _tries(cores)]
            results = inside.measure([bench.answer("tree"), *told], bench.runs)
        ours = _rates("nothing told", "tree", results["tree"])
        figures = [_rates(step.name, "tree", results[step.name]) for step in told]
        best = max(figures, key=lambda figure: figure.median)
        yield BenchRow(f"rate, {name}", "tokens/s", ours, best, Goal(0.9, at_most=False))


def _tries(cores: int) -> list[int]:
    """Numbers of threads worth trying on half of ``cores``: all where they are few."""
    part = max(1, cores // 2)
    near = {1, part // 2, part - 1, part, part + 1, cores}
    return sorted(n for n in near if 1 <= n <= cores)


def _threads(inside: BenchContainer) -> int:
    """The number of threads that the program takes here by itself."""
    return int(json.loads(inside.say([f"{TREE}/AppRun", "model", "--json"]))["threads"])


def _check_backends(inside: BenchContainer, llama_bench: Step) -> None:
    """Both sides must have run the same instructions. Not timed: the words cost time."""
    ours = cpu_backend(inside.say([f"{TREE}/AppRun", "--version", "--verbose"]))
    talking = replace(llama_bench, argv=(*llama_bench.argv, "-v"))
    theirs = cpu_backend(inside.measure([talking], 1)[talking.name][0].stderr)
    if ours != theirs:
        raise BenchFailed(f"tea runs {ours}, llama-bench {theirs}: their rates do not compare")
    console.note(f"CPU backend of both: {ours}")


GROUPS: dict[str, Callable[[Bench], Iterator[BenchRow]]] = {
    "start": start,
    "first-start": first_start,
    "first-token": first_token,
    "rate": rate,
    "busy": busy,
    "half": half,
}
