"""How long a fetch of one large file takes against curl, and how much memory it needs.

python -m tests.support.fetch_speed --megabytes 1000 --runs 3
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tasks.catalog import Model
from tasks.fetch import ensure, hub
from tests.support import fetching, loopback
from tests.support.loopback import ROOT, LoopbackHub

BLOCK = 1 << 20  # bytes


@dataclass(frozen=True)
class Speed:
    """Medians in seconds; memory in bytes over what the imports alone need."""

    size: int
    runs: int
    curl: float
    fetch: float
    fetch_in_process: float
    memory: int

    @property
    def ratio(self) -> float:
        """Of whole commands: Python's start and imports included."""
        return self.fetch / self.curl


def measure(root: Path, size: int, runs: int) -> Speed:
    """Fetch ``size`` bytes ``runs`` times each way, in turns, below the folder ``root``."""
    served = root / "hub"
    path = served / fetching.REPO / fetching.FILE
    path.parent.mkdir(parents=True)
    sha256 = _write_random(path, size)
    curls, fetches, inner, memory = [], [], [], []
    with loopback.running(served) as server:
        url = f"{server.endpoint}/{fetching.REPO}/resolve/main/{fetching.FILE}"
        for run in range(runs):
            curls.append(_curl(url, root / "curl.out"))
            seconds, said = _fetch(server.endpoint, root / f"store-{run}", size, sha256)
            fetches.append(seconds)
            inner.append(said["seconds"])
            memory.append(int(said["memory"]))
            (root / f"store-{run}" / sha256 / fetching.FILE).unlink()
    return Speed(
        size=size,
        runs=runs,
        curl=statistics.median(curls),
        fetch=statistics.median(fetches),
        fetch_in_process=statistics.median(inner),
        memory=max(memory),
    )


def memory_of_one(root: Path, size: int) -> int:
    """Bytes that one fetch of ``size`` bytes needs over what the imports alone need."""
    served = root / "hub"
    path = served / fetching.REPO / fetching.FILE
    path.parent.mkdir(parents=True)
    sha256 = _write_random(path, size)
    with loopback.running(served) as server:
        _, said = _fetch(server.endpoint, root / "store", size, sha256)
    assert (root / "store" / sha256 / fetching.FILE).stat().st_size == size
    return int(said["memory"])


def _write_random(path: Path, size: int) -> str:
    source, digest = random.Random(8), hashlib.sha256()
    with path.open("wb") as file:
        while size:
            block = source.randbytes(min(BLOCK, size))
            digest.update(block)
            file.write(block)
            size -= len(block)
    return digest.hexdigest()


def _curl(url: str, out: Path) -> float:
    start = time.perf_counter()
    argv = ["curl", "--silent", "--fail", "--location", "--noproxy", "*", "-o", str(out), url]
    subprocess.run(argv, check=True)
    seconds = time.perf_counter() - start
    out.unlink()
    return seconds


def _fetch(endpoint: str, root: Path, size: int, sha256: str) -> tuple[float, dict[str, float]]:
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.fetch_speed", "--one", endpoint, root, str(size),
         sha256],
        cwd=ROOT, env={**os.environ, "NO_PROXY": "127.0.0.1"}, check=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    return time.perf_counter() - start, json.loads(done.stdout)


def _one(endpoint: str, root: str, size: str, sha256: str) -> None:
    """One fetch, in a process of its own; says its seconds and memory."""
    model: Model = fetching.model(fetching.source(size=int(size), sha256=sha256))
    where = LoopbackHub(Path(), endpoint, "", "")
    chosen = fetching.options(where, Path(root), fetching.Waits())
    hub.session()
    bare = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    ensure.ensure(model, chosen)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    said = {"seconds": seconds, "memory": (peak - bare) * 1024}
    sys.stdout.write(json.dumps(said) + "\n")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Measure a fetch against curl.")
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        return _one(*args.one)
    with tempfile.TemporaryDirectory() as work:
        speed = measure(Path(work), args.megabytes * 1_000_000, args.runs)
    sys.stdout.write(json.dumps({**asdict(speed), "ratio": speed.ratio}, indent=2) + "\n")
    return None


if __name__ == "__main__":
    main()
