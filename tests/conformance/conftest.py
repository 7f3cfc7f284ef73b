"""The engines that the cases are played on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from . import judge
from .judge import Engine


@pytest.fixture(scope="session")
def engines() -> Iterator[dict[str, Engine]]:
    """Every engine of TEA_ENGINES, by its name."""
    found = {name: judge.start(name) for name in judge.names()}
    yield found
    for engine in found.values():
        engine.close()


@pytest.fixture(params=judge.names())
def engine(request: pytest.FixtureRequest, engines: dict[str, Engine]) -> Engine:
    """Each of the engines, one after another."""
    return engines[request.param]
