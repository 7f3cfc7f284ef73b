"""The browser package as a visitor meets it: Debian's Chromium, a real model, no other server."""

from __future__ import annotations

import re

import pytest

from tasks import web
from tasks.engine import Engine

pytestmark = pytest.mark.integration


def test_package_passes_its_tests_in_chromium(engine: Engine) -> None:
    said = web.try_in_browser(engine)
    counts = re.search(r"Tests +(\d+) passed", said)
    assert counts and int(counts[1]) >= 15, said
    assert "skipped" not in said
