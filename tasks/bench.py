"""`nox -s bench`: what the project promises of its speed and size, measured against real peers.

Nothing is compared with a stored number: both sides of a row run here and now, in turns.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks import (
    bench_fetch,
    bench_pack,
    bench_speed,
    bench_table,
    bundles,
    catalog,
    console,
    images,
)
from tasks import fetch as models
from tasks.bench_lab import Bench
from tasks.bench_table import Figure, Goal, Row
from tasks.catalog import ROOT
from tasks.engine import Engine
from tasks.errors import UnknownName
from tasks.program import BUILD, DOCKER, Builder
from tasks.stages import Stage, digest_of_files

IMPL = "python"
RESULT = bundles.DIST / "bench.json"
SIZE_GOAL = 28.0  # MB


@dataclass(frozen=True, slots=True)
class Request:
    """What to measure: groups of rows, all when none is named; how often."""

    groups: tuple[str, ...] = ()
    runs: int = 5


def size(bench: Bench) -> Iterator[Row]:
    """What the AppImage adds to its model."""
    rest = bench.bundle.stat().st_size - bench.model.size
    ours = Figure("AppImage less model", rest / 1e6, 1)
    yield Row("size", "MB", ours, None, Goal(SIZE_GOAL))


GROUPS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "size": size,
    **bench_speed.GROUPS,
    "pack": bench_pack.pack,
    "pack-large": bench_pack.pack_large,
    "fetch": bench_fetch.fetch,
}


def known_groups(names: Sequence[str]) -> tuple[str, ...]:
    """``names``, or ``UnknownName`` with the nearest."""
    for name in names:
        if name not in GROUPS:
            raise UnknownName("group of rows", name, GROUPS)
    return tuple(names)


def run(request: Request) -> list[Row]:
    """Build the smallest bundle where needed, measure, print the table, write dist/bench.json.

    A missed goal is said in the table and is no error: a busy machine misses some.

    Raises:
        BenchFailed: a program that was to be measured ended with an error.
    """
    arch = catalog.native_target().arch
    model = catalog.model(catalog.QUICKSTART)
    (bundle,) = bundles.build(model, arch, bundles.Options(impls=(IMPL,)))
    with Engine.connect() as engine:
        builder = Builder.on(engine, catalog.target(arch), bundles.Options().build)
        clean = images.ensure(catalog.images()["smoke"], builder.target, engine)
        bench = Bench(
            engine=engine,
            image=clean.reference,
            bundle=bundle,
            program=builder.program(IMPL),
            model=models.ensure(model),
            runtime=builder.runtime(),
            mksquashfs=builder.mksquashfs(),
            llama_bench=_llama_bench(builder),
            runs=request.runs,
        )
        rows: list[Row] = []
        for name in request.groups or GROUPS:
            with console.stage(f"Measure {name}"):
                rows += GROUPS[name](bench)
    files = bench_table.largest_files(bench.program.appdir)
    bench_table.show(rows, files)
    bench_table.write(RESULT, rows, files, _about(bench))
    console.note(f"written to {RESULT.relative_to(ROOT)}")
    return rows


def _llama_bench(builder: Builder) -> Path:
    """llama.cpp's llama-bench, built on the libraries that the bundle carries."""
    output = BUILD / f"bench-{builder.target.arch}"
    file = DOCKER / "bench.Dockerfile"
    llama = builder.llama()
    sources = [file, DOCKER / "bench", DOCKER / "python/requirements-llama.txt", DOCKER / "llama"]
    inputs = {
        "base": builder.base.id,
        "sources": digest_of_files(sources, ROOT),
        "llama": digest_of_files([llama], llama),
    }
    Stage(f"llama-bench for {builder.target.arch}", output, inputs).run(
        lambda: builder.engine.build(
            file,
            context=ROOT,
            stage="export",
            target=builder.target,
            args={"BASE": builder.base.reference},
            output=output,
            contexts={"llama": llama},
        )
    )
    return output / "llama-bench"


def _about(bench: Bench) -> dict[str, Any]:
    """Where and on what the rows were measured. Load: the kernel's averages, 1 to 15 minutes."""
    return {
        "bundle": bench.bundle.name,
        "model": bench.model.sha256,
        "program": bench.program.digest,
        "image": bench.image,
        "machine": {
            "arch": platform.machine(),
            "kernel": platform.release(),
            "cores": len(os.sched_getaffinity(0)),
            "load": os.getloadavg(),
        },
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
