"""Runs and times programs inside a container; what it says is judged outside.

Standard library only, so that any Python can run it. Reads a plan from standard input:

    {"runs": 5, "steps": [{"name": …, "argv": […], "cwd": …, "env": {…}, "stdin": …, "busy": 0,
                           "remove": …, "resident": false}]}

All steps are run in their order, ``runs`` times and once more before that to warm up, so that noise
hits each alike. ``busy`` processes compute beside a step; the folder ``remove`` is removed before
it. Writes one JSON list: for each run a map of step names to {"seconds": …, "processor": …,
"lines": [[seconds since the start, text], …], "stderr": …, "peak": …, "resident": […]}.
"processor" is the time on all cores, "peak" the most memory that the program, or one that it waited
for, had at one time; "resident", where asked for, what the program had at each line; both in bytes.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

ERROR_KEPT = 2000  # characters from the end of what a failed step said
PAGE = os.sysconf("SC_PAGE_SIZE")


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


def resident(pid: int) -> int:
    """Bytes of memory that a process has now; 0 when it has ended."""
    return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * PAGE


def run(step: dict[str, Any]) -> dict[str, Any]:
    """Run one step; the time of each line is when it arrived."""
    if step.get("remove"):
        shutil.rmtree(step["remove"], ignore_errors=True)
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
                lines, memory = [], []
                for line in process.stdout:
                    lines.append((perf_counter() - start, line))
                    if step.get("resident"):
                        memory.append(resident(process.pid))
                _, status, usage = os.wait4(process.pid, 0)
                seconds = perf_counter() - start
                code = process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        said = errors.read().decode(errors="replace")
    if code:
        sys.exit(f"{step['name']}: exit code {code}: {said[-ERROR_KEPT:]}")
    texts = [(moment, line.decode(errors="replace")) for moment, line in lines]
    return {
        "seconds": seconds,
        "processor": usage.ru_utime + usage.ru_stime,
        "lines": texts,
        "stderr": said,
        "peak": usage.ru_maxrss * 1024,
        "resident": memory,
    }


def main() -> None:
    """Carry the plan out."""
    plan = json.load(sys.stdin)
    results = [{step["name"]: run(step) for step in plan["steps"]} for _ in range(plan["runs"] + 1)]
    json.dump(results[1:], sys.stdout)


if __name__ == "__main__":
    main()
