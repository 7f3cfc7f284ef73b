"""The Rust program that the tests here run.

    cargo build    (in rust/)
    TEA_RUST_PROGRAM=rust/target/debug/tea TEA_RUST_HOST=rust/target/debug/engine-host \\
        pytest tests/tea/rust

Nothing is collected where no program is named: a build of it is no matter of seconds.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

PROGRAM = "TEA_RUST_PROGRAM"

collect_ignore_glob = [] if PROGRAM in os.environ else ["test_*.py"]


@pytest.fixture(scope="session")
def program() -> Path:
    """The program ``tea`` of the Rust engine."""
    return Path(os.environ[PROGRAM]).resolve(strict=True)
