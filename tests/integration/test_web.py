"""The browser package as a visitor meets it: Debian's Chromium, a real model, no other server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tasks.base import console
from tasks.engine.engine import Engine
from tasks.web import build as web
from tests.support import standin

pytestmark = pytest.mark.integration


def test_package_passes_its_tests_in_chromium(engine: Engine) -> None:
    said = web.try_in_browser(engine)
    counts = re.search(r"Tests +(\d+) passed", said)
    assert counts and int(counts[1]) >= 15, said
    assert "skipped" not in said


@pytest.mark.large
def test_model_of_a_gigabyte_resumes_and_loads_in_chromium(engine: Engine, tmp_path: Path) -> None:
    gguf = tmp_path / "gemma.gguf"
    standin.write(gguf)
    said = web.try_in_browser(engine, large=gguf)
    assert re.search(r"Tests +3 passed", said), said
    figures = re.search(r"\{.*at the peak.*\}", said)
    assert figures, said
    console.note(figures[0])
