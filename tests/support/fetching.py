"""A small model on the loopback Hub, and fetching it in this process or in one of its own."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tasks.base import console
from tasks.catalog import HubSource, Model
from tasks.fetch import ensure
from tasks.fetch.ensure import FetchOptions
from tasks.fetch.retry import RetryPolicy
from tests.support.loopback import ROOT, LoopbackHub

CONTENT = random.Random(4).randbytes(300_000)
SIZE = len(CONTENT)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
REPO, MIRROR, FILE = "owner/name", "owner/mirror", "model.gguf"
NOW = 1_800_000_000.0  # seconds since 1970


@dataclass
class Waits:
    """A clock that is never waited for."""

    asked: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)


def policy(waits: Waits, read_timeout: float = 5.0) -> RetryPolicy:
    """Every chance at its middle, every wait written down."""
    return RetryPolicy(
        sleep=waits.sleep, now=lambda: NOW, random=lambda: 1.0, read_timeout=read_timeout
    )


def source(
    repo: str = REPO,
    *,
    file: str = FILE,
    revision: str = "main",
    size: int | None = SIZE,
    sha256: str | None = SHA256,
) -> HubSource:
    return HubSource(repo, file, revision, size, sha256)


def model(*sources: HubSource) -> Model:
    sources = sources or (source(),)
    return Model(
        id="tiny",
        title="Tiny",
        architecture="llama",
        quantization="F32",
        context=64,
        license="MIT",
        license_url="https://example.org",
        license_files=(),
        file=FILE,
        size=sources[0].size,
        about=SIZE,
        sha256=sources[0].sha256,
        sources=sources,
        chat_template=None,
    )


def options(hub: LoopbackHub, root: Path, waits: Waits, read_timeout: float = 5.0) -> FetchOptions:
    return FetchOptions(
        root=root,
        locked=False,
        offline=False,
        endpoint=hub.endpoint,
        lock=root / "lock.toml",
        policy=policy(waits, read_timeout),
    )


def final_bytes(root: Path) -> bytes | None:
    """The bytes at any final path of the store, or None. Anything but one file is an error."""
    found = list(root.glob("*/*.gguf"))
    assert len(found) <= 1
    return found[0].read_bytes() if found else None


def start(hub: LoopbackHub, root: Path, **env: str) -> subprocess.Popen[str]:
    """A fetch of the small model in a process of its own; its exit code is the session's."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.fetching", hub.endpoint, str(root)],
        cwd=ROOT,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@console.reported
def main() -> None:
    """What ``start`` runs: no wait is real but that for the server."""
    endpoint, root = sys.argv[1:]
    where = LoopbackHub(Path(), endpoint, "", "")
    stored = ensure.ensure(model(), options(where, Path(root), Waits(), 30.0))
    sys.stdout.write(json.dumps({"path": str(stored.path), "source": stored.source}) + "\n")


if __name__ == "__main__":
    main()
