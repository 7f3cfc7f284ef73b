"""Reads .github/workflows as GitHub does, as far as the project's own files need it."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, reduce
from pathlib import Path
from typing import Any

import yaml

from tasks.base.paths import ROOT
from tasks.release import plan

FOLDER = ROOT / ".github/workflows"
FILES = tuple(sorted(FOLDER.glob("*.yml")))
ACTIONS = tuple(sorted(ROOT.glob(".github/actions/*/action.yml")))
_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
_JOINED = re.compile(r"join\(matrix\.([\w.]+), ' '\)")
PLAN = "fromJson(needs.plan.outputs.plan)."


@dataclass(frozen=True)
class Step:
    """One `run` step of one job, for one row of the job's matrix."""

    workflow: str
    job: str
    runner: str
    name: str
    script: str
    env: Mapping[str, str]
    minutes: int  # the job's limit

    @property
    def id(self) -> str:
        """Tells it from all others."""
        return f"{self.workflow}: {self.job} on {self.runner}: {self.name}"


def load(path: Path) -> dict[str, Any]:
    """The whole file. YAML 1.1 takes the key `on` for a truth value; it is `on` again here."""
    document: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {("on" if key is True else key): value for key, value in document.items()}


def steps(path: Path) -> Iterator[Step]:
    """Every `run` step in the order written, jobs multiplied by their matrix."""
    for name, job in load(path)["jobs"].items():
        for row in _rows(job.get("strategy", {}).get("matrix", {})):
            for step in job.get("steps", []):
                if "run" in step:
                    env = {**job.get("env", {}), **step.get("env", {})}
                    yield Step(
                        workflow=path.name,
                        job=_job_name(name, row),
                        runner=_filled(job["runs-on"], row),
                        name=step["name"],
                        script=_filled(step["run"], row),
                        env={key: _filled(value, row) for key, value in env.items()},
                        minutes=job["timeout-minutes"],
                    )


def _job_name(name: str, row: Mapping[str, Any]) -> str:
    values = [value["id"] if isinstance(value, dict) else str(value) for value in row.values()]
    return f"{name} ({', '.join(values)})" if values else name


def _rows(matrix: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every combination of the matrix; the one that the plan makes is asked of the plan."""
    lists = [
        planned()["bundles"] if isinstance(values, str) else values for values in matrix.values()
    ]
    return [dict(zip(matrix, values, strict=True)) for values in itertools.product(*lists)]


@cache
def planned() -> dict[str, Any]:
    """The plan, by the same way as in the workflow: its JSON."""
    facts: dict[str, Any] = json.loads(plan.as_json(plan.make(plan.Request())))
    return facts


def _filled(text: str, row: Mapping[str, Any]) -> str:
    """``text`` with the expressions replaced that a workflow's matrix answers."""

    def value(found: re.Match[str]) -> str:
        expression = found[1]
        if joined := _JOINED.fullmatch(expression):
            return " ".join(_look_up(joined[1], row))
        if expression.startswith("matrix."):
            return str(_look_up(expression.removeprefix("matrix."), row))
        if expression.startswith(PLAN):
            return str(_look_up(expression.removeprefix(PLAN), planned()))
        return f"<{expression}>"  # what only GitHub knows, and no option depends on

    return _EXPRESSION.sub(value, text)


def _look_up(path: str, row: Mapping[str, Any]) -> Any:
    return reduce(lambda value, name: value[name], path.split("."), dict(row))
