"""Plays cases on an engine: a process of its own that is told a case and asks for the rest.

Both sides write one JSON map a line; conformance/README.md says what they say.
"""

from __future__ import annotations

import json
import os
import select
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from . import program
from .compare import differences, refusal_differences
from .sandbox import Outcome, Sandbox
from .scripted import Models
from .suite import Case

ROOT = Path(__file__).parents[2]
DEADLINE = 60.0  # seconds a case; only an engine that hangs needs them
ASKED = ("sleep", "chat", "embed", "decide", "post")


class EngineEndedError(Exception):
    """The process of an engine ended, or was ended because it hung, in mid-case."""


class Engine:
    """An engine and its process, which lives until ``close``.

    ``program`` is the engine's ``tea`` for the cases that run it; without one, the process is asked
    to run it.
    """

    def __init__(self, name: str, command: list[str], program: str | None = None) -> None:
        self.name = name
        self._command = command
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self._heard = b""  # of the lines that it has begun

    def faults(self, case: Case, root: Path) -> list[str]:
        """Play a case in ``root`` and return what is not as it should be."""
        sandbox = Sandbox(case, root)
        outcomes = self.play(sandbox)
        refused = case.data.get("refused_by", {}).get(self.name)
        if refused is not None:
            return refusal_differences(outcomes[0], refused["node"], self.name)
        expect = case.expect
        warned = case.data.get("warned_by", {}).get(self.name, [])
        if warned:
            expect["warnings"] = [*expect.get("warnings", []), *warned]
        return [line for each in outcomes for line in differences(expect, each, sandbox)]

    def play(self, sandbox: Sandbox) -> list[Outcome]:
        """Return what came of a case, once for each time that it runs."""
        models = Models(sandbox.data.get("models", {}))
        if "command" not in sandbox.data:
            return self._play_runs(sandbox, models)
        if self._program is None:
            self._say("command", program.call(sandbox))
            return [self._outcome(models, sandbox)]
        return [program.play(self._program, sandbox, models)]

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.communicate()
            self._process = None

    def _play_runs(self, sandbox: Sandbox, models: Models) -> list[Outcome]:
        data = sandbox.data
        options, times = data.get("options", {}), data.get("repeat", 1)
        given: dict[str, Any] = {
            key: data[key] for key in ("input", "env", "secrets") if key in data
        }
        if "backend" in options:
            given["backend"] = options["backend"]
        local = data.get("models", {}).get("local")
        self._say(
            "run",
            {
                "source": data["workflow"],
                "name": sandbox.workflow_name,
                "given": json.dumps(given),
                "has_model": local is not None,
                "find_model": bool(local and local.get("find")),
                "tool_form": (local or {}).get("tool_form"),
                "gguf": options.get("gguf"),
                "directory": str(sandbox.directory),
                "roots": sandbox.roots,
                "times": times,
            },
        )
        outcomes = [self._outcome(models, sandbox)]
        while len(outcomes) < times and outcomes[0].problems is None:
            models.outcome = Outcome()
            outcomes.append(self._outcome(models, sandbox))
        return outcomes

    def _outcome(self, models: Models, sandbox: Sandbox) -> Outcome:
        """Answer the engine until a run has ended, and return what came of it."""
        outcome = models.outcome
        while True:
            ((what, value),) = self._hear().items()
            if what == "event":
                outcome.events.append(value)
            elif what == "model":
                outcome.model = os.path.relpath(value, sandbox.root)
            elif what in ASKED:
                self._write(models.answer(what, value))
            elif what == "ended":
                for key, found in value.items():
                    setattr(outcome, key, found)
                return outcome
            else:
                raise EngineEndedError(f"{self.name} said {what}: {value}")

    def _say(self, what: str, value: Any) -> None:
        if self._process is None or self._process.poll() is not None:
            self._heard = b""
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'python/src'}"},
            )
        self._write({what: value})

    def _write(self, value: dict[str, Any]) -> None:
        assert self._process and self._process.stdin
        self._process.stdin.write(json.dumps(value).encode() + b"\n")

    def _hear(self) -> dict[str, Any]:
        assert self._process and self._process.stdout
        while b"\n" not in self._heard:
            if not select.select([self._process.stdout], [], [], DEADLINE)[0]:
                self._process.kill()
            part = os.read(self._process.stdout.fileno(), 1_000_000)
            if not part:
                raise EngineEndedError(f"{self.name} ended with {self._process.wait()}")
            self._heard += part
        line, _, self._heard = self._heard.partition(b"\n")
        heard: dict[str, Any] = json.loads(line)
        return heard


def names() -> list[str]:
    """The engines to play on, by TEA_ENGINES (python, rust, browser); Python alone by default."""
    return os.environ.get("TEA_ENGINES", "python").split(",")


def start(name: str) -> Engine:
    """Return an engine. That of Rust is TEA_RUST_HOST and TEA_RUST_PROGRAM, a page's TEA_PAGE_HOST.

    Raises KeyError for one that is not named there.
    """
    if name == "python":
        return Engine(name, [sys.executable, "-m", "tests.conformance.engine_host"])
    if name == "rust":
        return Engine(name, [os.environ["TEA_RUST_HOST"]], os.environ["TEA_RUST_PROGRAM"])
    return Engine(name, shlex.split(os.environ["TEA_PAGE_HOST"]))
