"""Rows of the fetch: a large file from a Hub on this machine, against curl."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tasks.base.errors import MissingProgram
from tasks.bench.container import Bench
from tasks.bench.report import BenchRow, Figure, Goal

SIZE = 1_000_000_000  # bytes


def fetch(bench: Bench) -> Iterator[BenchRow]:
    """Whole commands, ours with sha256 and fsync; and the memory that ours needs."""
    from tests.support import fetch_speed  # with the tests' own Hub; no other session needs it

    if shutil.which("curl") is None:
        raise MissingProgram("curl: not installed", hint="install curl, which the fetch is held to")
    with tempfile.TemporaryDirectory(prefix="tea-bench-") as folder:
        speed = fetch_speed.measure(Path(folder), SIZE, bench.runs)
    ours = Figure("fetch", speed.fetch, speed.runs)
    yield BenchRow("fetch, 1 GB", "s", ours, Figure("curl", speed.curl, speed.runs), Goal(1.5))
    memory = Figure("over the imports", speed.memory / 1e6, speed.runs)
    yield BenchRow("fetch, memory", "MB", memory, None, Goal(100))
