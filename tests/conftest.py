"""Options of the test run."""

from __future__ import annotations

import signal

import pytest

# A test run in the background of a script would ignore Ctrl-C, and so would all that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Marks of tests that run only when they are asked for.
ASKED = {
    "large": "also run what needs gigabytes",
    "scale": "also try a builder and a registry of their own, which take minutes to make",
    "workflow": "also run the steps of the CI workflow",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    for mark, what in ASKED.items():
        parser.addoption(f"--{mark}", action="store_true", help=what)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, visibly, what is not asked for."""
    for mark in ASKED:
        if config.getoption(f"--{mark}"):
            continue
        left_out = [item for item in items if item.get_closest_marker(mark)]
        if left_out:
            config.hook.pytest_deselected(items=left_out)
            items[:] = [item for item in items if item not in left_out]
