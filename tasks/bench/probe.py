"""Runs and times programs inside a container; what it says is judged outside.

Standard library only, so that any Python can run it. Reads a plan from standard input:

    {"runs": 5, "steps": [{"name": …, "argv": […], "cwd": …, "env": {…}, "stdin": …, "busy": 0}]}

All steps are run in their order, ``runs`` times and once more before that to warm up, so that noise
hits each alike. ``busy`` processes compute beside a step. Writes one JSON list: for each run a map
of step names to {"seconds": …, "lines": [[seconds since the start, text], …], "stderr": …,
"peak": …}: the most memory that the program, or one that it waited for, had at one time, in bytes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

ERROR_KEPT = 2000  # characters from the end of what a failed step said


@contextmanager
def busy(count: int) -> Iterator[None]:
    """``count`` processes that compute until the end of the block."""
    workers = []
    for _ in range(count):
        worker = os.fork()
        if worker == 0:
            while True:
                pass
        workers.append(worker)
    try:
        yield
    finally:
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
            os.waitpid(worker, 0)


def run(step: dict[str, Any]) -> dict[str, Any]:
    """Run one step; the time of each line is when it arrived."""
    with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as given:
        given.write(step.get("stdin", "").encode())
        given.seek(0)
        with busy(step.get("busy", 0)):
            start = perf_counter()
            with subprocess.Popen(
                step["argv"],
                cwd=step.get("cwd"),
                env={**os.environ, **step.get("env", {})},
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=errors,
            ) as process:
                assert process.stdout is not None
                lines = [(perf_counter() - start, line) for line in process.stdout]
                _, status, usage = os.wait4(process.pid, 0)
                seconds = perf_counter() - start
                code = process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        said = errors.read().decode(errors="replace")
    if code:
        sys.exit(f"{step['name']}: exit code {code}: {said[-ERROR_KEPT:]}")
    texts = [(moment, line.decode(errors="replace")) for moment, line in lines]
    return {"seconds": seconds, "lines": texts, "stderr": said, "peak": usage.ru_maxrss * 1024}


def main() -> None:
    """Carry the plan out."""
    plan = json.load(sys.stdin)
    results = [{step["name"]: run(step) for step in plan["steps"]} for _ in range(plan["runs"] + 1)]
    json.dump(results[1:], sys.stdout)


if __name__ == "__main__":
    main()
