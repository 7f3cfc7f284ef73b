"""The Rust program that the tests here run.

    cargo build    (in rust/)
    TEA_RUST_PROGRAM=rust/target/debug/tea TEA_RUST_ANSWERER=rust/target/debug/answer \\
        pytest tests/tea/rust

Nothing is collected where no program is named: a build of it is no matter of seconds.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

PROGRAM = "TEA_RUST_PROGRAM"
ANSWERER = "TEA_RUST_ANSWERER"

collect_ignore_glob = [] if PROGRAM in os.environ else ["test_*.py"]


@pytest.fixture(scope="session")
def program() -> Path:
    """The program ``tea`` of the Rust engine."""
    return Path(os.environ[PROGRAM]).resolve(strict=True)


@pytest.fixture(scope="session")
def answerer() -> Path:
    """The program of the Rust engine's tests that answers a line with what it computes."""
    return Path(os.environ[ANSWERER]).resolve(strict=True)
