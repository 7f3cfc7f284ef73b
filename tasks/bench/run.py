"""`nox -s bench`: what the project promises of its speed and size, measured against real peers.

Nothing is compared with a stored number: both sides of a row run here and now, in turns.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tasks import catalog, images
from tasks.base import arguments, console
from tasks.base.build_step import BuildStep, digest_of_files
from tasks.base.errors import UnknownName, UsageError
from tasks.base.paths import BUILD, DIST, DOCKER, ROOT
from tasks.bench import builds, fetch, memory, pack, report, shapes, speed
from tasks.bench.container import Bench
from tasks.bench.report import BenchRow, Figure, Goal
from tasks.build import bundle
from tasks.build.parts import Builder
from tasks.catalog import Bundle
from tasks.engine.engine import Engine
from tasks.fetch import ensure
from tasks.fetch import sessions as models

SIZE_GOALS = {"python": 28.0, "rust": 12.0}  # MB


@dataclass(frozen=True, slots=True)
class Request:
    """What to measure: groups of rows, all but ASKED when none is named; how often.

    ``model_file``: measure bundles of this model, called ``name``, instead of the smallest one's.
    """

    groups: tuple[str, ...] = ()
    runs: int = 5
    model_file: Path | None = None
    name: str | None = None

    @property
    def chosen(self) -> tuple[str, ...]:
        """The groups that are measured."""
        return self.groups or tuple(name for name in GROUPS if name not in ASKED)


def size(bench: Bench) -> Iterator[BenchRow]:
    """What the AppImage adds to its model."""
    rest = bench.bundle.stat().st_size - bench.model.size
    ours = Figure("AppImage less model", rest / 1e6, 1)
    yield BenchRow("size", "MB", ours, None, Goal(SIZE_GOALS[bench.program.impl]))


GROUPS: dict[str, Callable[[Bench], Iterator[BenchRow]]] = {
    "size": size,
    **speed.GROUPS,
    "shapes": shapes.shapes,
    "memory": memory.memory,
    "pack": pack.bundled,
    "pack-large": pack.large,
    "fetch": fetch.fetch,
    "builds": builds.builds,
}
SHARED = ("fetch", "builds")  # rows that are not of one program
ASKED = ("builds",)  # takes as long as the compilers do: only when named


def known_groups(names: Sequence[str]) -> tuple[str, ...]:
    """``names``, or ``UnknownName`` with the nearest."""
    for name in names:
        if name not in GROUPS:
            raise UnknownName("group of rows", name, GROUPS)
    return tuple(names)


def run(request: Request) -> list[BenchRow]:
    """Build the smallest bundle where needed, measure, print the table, write dist/bench.json.

    A missed goal is said in the table and is no error: a busy machine misses some.

    Raises:
        BenchFailed: a program that was to be measured ended with an error.
    """
    with Engine.connect() as engine:
        benches = _benches(engine, request)
        rows: list[BenchRow] = []
        for name in request.chosen:
            with console.stage(f"Measure {name}"):
                rows += _rows(name, benches)
    files = {bench.program.impl: report.largest_files(bench.program.appdir) for bench in benches}
    report.show(rows, files)
    result = DIST / (f"bench-{request.name}.json" if request.name else "bench.json")
    report.write(result, rows, files, _about(benches))
    console.note(f"written to {result.relative_to(ROOT)}")
    return rows


def _benches(engine: Engine, request: Request) -> list[Bench]:
    """What each program is measured with, built where needed."""
    target = catalog.native_target()
    options = bundle.Options()
    if request.model_file is None:
        model = catalog.model(catalog.QUICKSTART)
        stored = ensure.ensure(model)
    else:
        assert request.name is not None  # the options say so
        model, stored = models.from_file(request.model_file, request.name)
        options = replace(options, repository=None)  # no release has the user's own model
    built = [
        bundle.build_one(Bundle(impl, model, target), stored, engine, options)
        for impl in options.impls
    ]
    builder = Builder.on(engine, target, options.build)
    clean = images.ensure(catalog.images()["smoke"], builder.target, engine)
    llama_bench = _llama_bench(builder) if "rate" in request.chosen else None
    programs = {impl: builder.program(impl) for impl in catalog.IMPLEMENTATIONS}
    return [
        Bench(
            engine=engine,
            image=clean.reference,
            bundle=bundle,
            program=program,
            interpreter=programs["python"].appdir,
            model=stored,
            runtime=builder.runtime(),
            mksquashfs=builder.mksquashfs(),
            llama_bench=llama_bench,
            runs=request.runs,
        )
        for bundle, program in zip(built, programs.values(), strict=True)
    ]


def _rows(name: str, benches: Sequence[Bench]) -> list[BenchRow]:
    """A group's rows: of each program in turn, or once where it is not of one program."""
    if name in SHARED:
        return list(GROUPS[name](benches[0]))
    return [
        replace(row, impl=bench.program.impl, model=bench.model.path.stem)
        for bench in benches
        for row in GROUPS[name](bench)
    ]


def _llama_bench(builder: Builder) -> Path:
    """llama.cpp's llama-bench, built on the libraries that the bundle carries."""
    output = BUILD / f"bench-{builder.target.arch}"
    llama = builder.llama()
    sources = [DOCKER / name for name in ("apt", "bench", "llama", "python/requirements-llama.txt")]
    inputs = {
        "base": builder.base.id,
        "sources": digest_of_files(sources, ROOT),
        "llama": digest_of_files([llama], llama),
    }
    BuildStep(f"llama-bench for {builder.target.arch}", output, inputs).run(
        lambda: builder.engine.build(
            DOCKER / "bench/Dockerfile",
            context=ROOT,
            stage="export",
            target=builder.target,
            args={"BASE": builder.base.reference},
            output=output,
            contexts={"llama": llama},
        )
    )
    return output / "llama-bench"


def _about(benches: Sequence[Bench]) -> dict[str, Any]:
    """Where and on what the rows were measured. Load: the kernel's averages, 1 to 15 minutes."""
    return {
        "bundles": {bench.bundle.name: bench.program.digest for bench in benches},
        "model": benches[0].model.sha256,
        "image": benches[0].image,
        "machine": {
            "arch": platform.machine(),
            "kernel": platform.release(),
            "cores": len(os.sched_getaffinity(0)),
            "load": os.getloadavg(),
        },
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def request(words: Sequence[str]) -> Request:
    """What `nox -s bench` is to measure, and how often.

    Raises:
        UnknownName: a group of rows that there is not, with the nearest.
    """
    parser = arguments.parser("bench")
    parser.add_argument(
        "--rows", nargs="+", default=[], metavar="GROUP", help=f"of: {', '.join(GROUPS)}"
    )
    parser.add_argument("--runs", type=int, default=5, help="how often each is run (default: 5)")
    parser.add_argument("--model-file", type=Path, help="measure bundles of this GGUF file")
    parser.add_argument("--name", help="what to call the bundles of --model-file")
    given = parser.read(words)
    if bool(given.model_file) != bool(given.name):
        raise UsageError("--model-file and --name go together")
    if given.runs < 1:
        raise UsageError("--runs must be 1 or more")
    return Request(known_groups(given.rows), given.runs, given.model_file, given.name)
