"""The browser package as a visitor meets it: Debian's Chromium, a real model, no other server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tasks.base import console
from tasks.engine.engine import Engine, Mount
from tasks.fetch.ensure import StoredModel
from tasks.web import build, model_table
from tests.support import standin

pytestmark = pytest.mark.integration
IMAGE = "tea-bundles/web-browser"
TIMEOUT = 1800  # seconds


def run_in_chromium(engine: Engine, variable: str, model: Path) -> str:
    """Run the package's tests in Debian's Chromium, with a real model; return what they said."""
    model_table.write()
    build.run_stage(engine, build.base_image(engine), "checked", tag=IMAGE)
    done = engine.run(
        IMAGE,
        ["npm", "run", "test:browser"],
        mounts=[Mount(model, "/model.gguf", read_only=True)],
        env={variable: "/model.gguf", "NO_COLOR": "1"},
        # With the loopback alone, Chromium tells its pages that they are offline.
        network="bridge",
        timeout=TIMEOUT,
    )
    said = done.stdout.decode() + done.stderr.decode()
    assert done.exit_code == 0, said
    return said


def test_package_passes_its_run_in_chromium(engine: Engine, model: StoredModel) -> None:
    said = run_in_chromium(engine, "TEA_TEST_MODEL", model.path)
    counts = re.search(r"Tests +(\d+) passed", said)
    assert counts and int(counts[1]) >= 15, said
    assert "skipped" not in said


@pytest.mark.large
def test_model_of_a_gigabyte_resumes_and_loads_in_chromium(engine: Engine, tmp_path: Path) -> None:
    gguf = tmp_path / "gemma.gguf"
    standin.write(gguf)
    said = run_in_chromium(engine, "TEA_LARGE_MODEL", gguf)
    assert re.search(r"Tests +3 passed", said), said
    figures = re.search(r"\{.*at the peak.*\}", said)
    assert figures, said
    console.note(figures[0])
