from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tea import proxy_cases


@pytest.mark.parametrize("case", proxy_cases.CASES, ids=str)
def test_a_request_takes_the_way_that_the_environment_says(
    program: Path, tmp_path: Path, case: dict[str, Any]
) -> None:
    proxy_cases.play_on_program([program], tmp_path, case)
