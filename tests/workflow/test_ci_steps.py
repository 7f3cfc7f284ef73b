"""The steps of ci.yml, run here one after another: `nox -s workflow`, which takes as long as CI."""

from __future__ import annotations

import os
import subprocess
import time

import pytest

from tasks import catalog
from tasks.base.paths import ROOT
from tests.support import workflows
from tests.support.workflows import Step

pytestmark = pytest.mark.workflow
# A matrix of runners has one of another architecture, whose step is the same but for the machine.
HERE = {target.runner for target in [catalog.native_target()]} | {"ubuntu-24.04"}
STEPS = [step for step in workflows.steps(workflows.FOLDER / "ci.yml") if "nox -s" in step.script]


def runs_here(step: Step) -> bool:
    """Whether this machine can stand in for the step's runner."""
    other = {target.runner for target in catalog.targets().values()} - HERE
    return step.runner not in other


def test_what_is_left_out_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    left_out = [step for step in STEPS if not runs_here(step)]
    with capsys.disabled():
        for step in left_out:
            print(f"\nnot run here, for want of its machine: {step.id}", end="")  # noqa: T201
    assert len(left_out) < len(STEPS) / 2


@pytest.mark.parametrize(
    "step", [step for step in STEPS if runs_here(step)], ids=lambda step: step.id
)
def test_step_passes(step: Step, capsys: pytest.CaptureFixture[str]) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("NOX")}
    start = time.monotonic()
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", step.script],
        cwd=ROOT,
        env={**clean, **step.env, "CI": "true"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=step.minutes * 60,
        check=False,
    )
    with capsys.disabled():
        print(f"\n{step.id}: {time.monotonic() - start:.0f} s", end="")  # noqa: T201
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
