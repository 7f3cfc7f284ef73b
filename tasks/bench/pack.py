"""Rows of packing: an AppImage around a model against a copy of that model."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tasks import catalog
from tasks.base import files, process
from tasks.base.files import BLOCK
from tasks.base.paths import DIST
from tasks.bench.container import Bench
from tasks.bench.report import BenchRow, Figure, Goal
from tasks.build import appdir, pack
from tasks.build.pack import Layer
from tasks.fetch.model_store import StoredModel

LARGE = 1_069_306_400  # bytes: Gemma 3 1B, Q8_0
GOAL = Goal(1.5)


def bundled(bench: Bench) -> Iterator[BenchRow]:
    """The bundle's own model."""
    with _folder(bench.model.size) as folder:
        yield from _against_cp(bench, bench.model.path, Path(folder), "pack", bench.runs)


def large(bench: Bench) -> Iterator[BenchRow]:
    """A file of Gemma 3 1B's size; its bytes are stored as they are, so any will do."""
    with _folder(LARGE * 2) as folder:
        model = Path(folder) / "large.gguf"
        with model.open("wb") as file:
            for start in range(0, LARGE, BLOCK):
                file.write(os.urandom(min(BLOCK, LARGE - start)))
            os.fsync(file.fileno())
        yield from _against_cp(bench, model, Path(folder), "pack, 1 GB model", bench.runs)


def _folder(size: int) -> tempfile.TemporaryDirectory[str]:
    """A folder on the disk that artefacts go to, with room for two of ``size`` bytes."""
    DIST.mkdir(exist_ok=True)
    needed = size * 2 + pack.SPARE
    files.require_space(DIST, needed)
    return tempfile.TemporaryDirectory(prefix=".bench-", dir=DIST)


def _against_cp(
    bench: Bench, model: Path, folder: Path, name: str, runs: int
) -> Iterator[BenchRow]:
    """Both in turns, each into a new file; a first turn fills the page cache and is not counted."""
    packs, copies, durable = [], [], []
    for _ in range(runs + 1):
        packs.append(_pack(bench, model, folder))
        plain, synced = _copy(model, folder)
        copies.append(plain)
        durable.append(synced)
    ours = Figure.of("pack", packs[1:])
    yield BenchRow(name, "s", ours, Figure.of("cp, fsync", durable[1:]), GOAL)
    yield BenchRow(f"{name}, not durable", "s", ours, Figure.of("cp", copies[1:]), None)


def _pack(bench: Bench, model: Path, folder: Path) -> float:
    """Seconds to make an AppImage of ``model``, safe on disk."""
    out = folder / "packed.AppImage"
    row = catalog.model(catalog.QUICKSTART)
    with tempfile.TemporaryDirectory(prefix=".tea-layer-", dir=model.parent) as made:
        appdir.write_layer(Path(made), row, model.name)
        stored = StoredModel(model, "0" * 64, model.stat().st_size, "bench", None)
        layer = Layer(Path(made), {model.name: stored})
        start = time.perf_counter()
        pack.pack(bench.program, layer, bench.runtime, out, mksquashfs=bench.mksquashfs)
        seconds = time.perf_counter() - start
    out.unlink()
    return seconds


def _copy(model: Path, folder: Path) -> tuple[float, float]:
    """Seconds until cp has ended, and until the copy and its name are safe on disk."""
    out = folder / "copy.gguf"
    start = time.perf_counter()
    process.capture(["cp", "--", model, out])
    plain = time.perf_counter() - start
    with out.open("rb") as file:
        os.fsync(file.fileno())
    files.sync_folder(folder)
    synced = time.perf_counter() - start
    out.unlink()
    return plain, synced
