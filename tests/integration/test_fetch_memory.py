"""A large file from the loopback Hub comes in flat memory. Its speed is the bench's to measure."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import fetch_speed

SIZE = 1_000_000_000  # bytes
MEMORY = 100_000_000  # bytes over the bare import


@pytest.mark.integration
def test_a_gigabyte_is_fetched_in_a_tenth_of_its_memory(tmp_path: Path) -> None:
    assert fetch_speed.memory_of_one(tmp_path, SIZE) <= MEMORY
