"""The row of cold builds: all bundles of a model against those of the Rust program alone."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from tasks import catalog
from tasks.base import process
from tasks.base.paths import ROOT
from tasks.bench.container import Bench
from tasks.bench.report import BenchRow, Figure, Goal

LEFT_OUT = (".git", ".nox", ".venv", ".*_cache", "__pycache__", "build", "dist", "target")


def builds(bench: Bench) -> Iterator[BenchRow]:
    """The Rust bundles of every architecture, then the others: both are the whole.

    Cold: a copy of the project in which nothing is built, no layer taken from BuildKit's cache, and
    compiler and package caches of the run's own (without the last, --no-cache would empty those
    of the machine). What is not built is there already: base images and the model.
    """
    name = f"bench-{uuid.uuid4().hex[:8]}"
    first, *others = sorted(catalog.IMPLEMENTATIONS, key=lambda impl: impl != "rust")
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder:
        copy = Path(folder) / "project"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*LEFT_OUT))
        try:
            alone = _build(copy, first, name)
            rest = sum(_build(copy, impl, name) for impl in others)
        finally:
            _forget(name)
    rust = Figure("the Rust bundles", alone, 1)
    yield BenchRow("cold build, all bundles", "s", Figure("all", alone + rest, 1), rust, Goal(1.25))


def _build(copy: Path, impl: str, caches: str) -> float:
    """Seconds of the session that builds the bundles of ``impl``, as its user would start it."""
    words = ["-s", "build", "--", "--model", catalog.QUICKSTART, "--impl", impl, "--no-cache"]
    for arch in catalog.targets():
        words += ["--arch", arch]
    start = time.perf_counter()
    process.run(
        [sys.executable, "-m", "nox", "-f", copy / "noxfile.py", *words],
        env={"NOX_SCRIPT_MODE": "none", "BUILDKIT_CACHE_MOUNT_NS": caches},
    )
    return time.perf_counter() - start


def _forget(caches: str) -> None:
    """Remove the caches of the run from the builder."""
    listed = process.capture(["docker", "buildx", "du", "--verbose"]).stdout
    for identity in cache_ids(listed, caches):
        process.run(
            ["docker", "buildx", "prune", "--force", "--filter", f"id={identity}"], quiet=True
        )


def cache_ids(listed: str, caches: str) -> list[str]:
    """The records of `docker buildx du --verbose` that are caches in the namespace ``caches``."""
    found = []
    for record in listed.split("\n\n"):
        fields = dict(re.findall(r"^(ID|Description):\s+(.*)$", record, re.MULTILINE))
        if f'with id "{caches}/' in fields.get("Description", ""):
            found.append(fields["ID"])
    return found
