"""Starts the loopback Hub in a process of its own and talks to it."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent


class LoopbackHub:
    """A running Hub. ``root`` is the folder of its repositories."""

    def __init__(self, root: Path, endpoint: str, cdn: str, control: str) -> None:
        self.root = root
        self.endpoint = endpoint
        self.cdn = cdn
        self._control = control
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def serve(self, repo_file: str, content: bytes) -> None:
        """Put a file at owner/name/path."""
        path = self.root / repo_file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def plan(self, **plan: Any) -> None:
        """Forget what was seen, and behave like this from now on."""
        self._ask("plan", json.dumps(plan).encode())

    def release(self) -> None:
        """Let go of every request that stalls."""
        self._ask("release", b"{}")

    @property
    def log(self) -> list[dict[str, Any]]:
        """The requests since the last plan."""
        return list(self._ask("log")["log"])

    @property
    def bytes_sent(self) -> int:
        """Bytes of files' bodies since the last plan."""
        return int(self._ask("log")["bytes_sent"])

    def _ask(self, what: str, body: bytes | None = None) -> Any:
        request = urllib.request.Request(f"{self._control}/_control/{what}", data=body)
        with self._opener.open(request, timeout=30) as answer:
            return json.loads(answer.read() or b"{}")


@contextmanager
def running(root: Path, *options: str) -> Iterator[LoopbackHub]:
    """A Hub that serves ``root`` until the block ends."""
    root.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "tests.support.hub", "--root", root, "--until-eof", *options]
    with subprocess.Popen(
        [str(word) for word in argv],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stdin is not None
        said = json.loads(process.stdout.readline())
        try:
            yield LoopbackHub(root, said["endpoint"], said["cdn"], said["endpoint"])
        finally:
            process.stdin.close()
            process.wait(10)
