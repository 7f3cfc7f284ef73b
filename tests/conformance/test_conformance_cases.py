"""Every case of conformance/ on the Python engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from .case import Case, load_cases
from .judge import differences
from .python_engine import play
from .stage import Stage

CASES = [case for case in load_cases() if case.runs_on("python")]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_ends_as_the_format_says(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(case, tmp_path)
    for outcome in play(stage, monkeypatch):
        found = differences(case.expect, outcome, stage)
        assert not found, "\n".join([case.about, *found])
