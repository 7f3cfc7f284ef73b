"""A large file from the loopback Hub: as fast as its digest and fsync allow, in flat memory."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support import fetch_speed

SIZE = 1_000_000_000  # bytes
MEMORY = 100_000_000  # bytes over the bare import


@pytest.mark.integration
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is what it is held against")
def test_a_gigabyte_takes_at_most_one_and_a_half_times_curls_time(tmp_path: Path) -> None:
    speed = fetch_speed.measure(tmp_path, SIZE, runs=3)
    assert speed.ratio <= 1.5, speed
    assert speed.memory <= MEMORY, speed
