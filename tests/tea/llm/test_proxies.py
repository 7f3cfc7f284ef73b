from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tea import proxy_cases
from tests.tea.cli import tea_process


@pytest.mark.parametrize("case", proxy_cases.CASES, ids=str)
def test_a_request_takes_the_way_that_the_environment_says(
    tmp_path: Path, case: dict[str, Any]
) -> None:
    proxy_cases.play_on_program(tea_process.tea, tmp_path, case)
