"""The cases of the conformance suite that run a command, on the Rust program."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.conformance.case import Case, load_cases
from tests.conformance.judge import differences
from tests.conformance.stage import Outcome, Stage
from tests.tea.cli.tea_process import DEADLINE

# A case with a scripted model needs an engine that takes it, which a program does not.
CASES = [
    case
    for case in load_cases()
    if "command" in case.data and case.runs_on("rust") and "models" not in case.data
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_rust_program_does_what_the_case_says(
    case: Case, program: Path, tmp_path: Path
) -> None:
    stage = Stage(case, tmp_path)
    done = subprocess.run(
        [program, *stage.data["command"]],
        input=stage.data.get("stdin", "").encode(),
        capture_output=True,
        env={"HOME": str(stage.root), "PATH": os.defpath, **stage.data.get("env", {})},
        cwd=stage.directory,
        timeout=DEADLINE,
        check=False,
    )
    outcome = Outcome(
        exit=done.returncode, stdout=done.stdout.decode(), stderr=done.stderr.decode()
    )
    assert differences(case.expect, outcome, stage) == [], case.about


def test_there_are_cases_of_commands() -> None:
    assert len(CASES) >= 40
