"""Every case of conformance/ on every engine of TEA_ENGINES; without it, on Python's."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import judge
from .judge import Engine
from .suite import Case, load_cases

CASES = load_cases()


@pytest.mark.parametrize(
    ("name", "case"),
    [(name, case) for name in judge.names() for case in CASES if case.runs_on(name)],
    ids=lambda value: value.name if isinstance(value, Case) else value,
)
def test_case(name: str, case: Case, engines: dict[str, Engine], tmp_path: Path) -> None:
    found = engines[name].faults(case, tmp_path)
    assert not found, "\n".join([case.about, *found])


@pytest.mark.parametrize("name", judge.names())
def test_an_engine_that_ended_is_started_again(
    name: str, engines: dict[str, Engine], tmp_path: Path
) -> None:
    case = next(case for case in CASES if case.runs_on(name) and "command" not in case.data)
    engines[name].close()
    assert engines[name].faults(case, tmp_path) == []
