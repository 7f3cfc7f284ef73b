"""The tests of Python's command line, run on the Rust program."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tea.cli import tea_process
from tests.tea.cli.test_chat import *  # noqa: F403
from tests.tea.cli.test_main import *  # noqa: F403
from tests.tea.cli.test_model import *  # noqa: F403
from tests.tea.cli.test_output import *  # noqa: F403
from tests.tea.cli.test_run import *  # noqa: F403
from tests.tea.cli.test_run import SUM, test_a_wrong_option_is_exit_code_2, write
from tests.tea.cli.test_stop import *  # noqa: F403
from the_edge_agent import __version__

# What only Python's program can do: it has modules, and its own name and words.
del test_without_models_neither_httpx_nor_llama_is_imported  # noqa: F821
del test_the_sources_under_test_are_these  # noqa: F821
del test_the_version_imports_nothing_that_it_does_not_need  # noqa: F821
del test_version_and_implementation_are_said_exactly  # noqa: F821
del test_a_wrong_option_is_exit_code_2

ON_A_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv({program!r}, ["tea", *sys.argv[1:]])
"""


@pytest.fixture(autouse=True)
def rust(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every test start the Rust program."""
    monkeypatch.setattr(tea_process, "command", lambda *words: [str(program), *words])
    terminal = ON_A_TERMINAL.format(program=str(program))
    monkeypatch.setattr(tea_process, "ON_A_TERMINAL", terminal)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--version"], f"tea {__version__}"),
        (["--impl"], "rust"),
        (["--version", "--impl"], f"tea {__version__} (rust)"),
        (["--impl", "--version"], f"tea {__version__} (rust)"),
    ],
)
def test_the_rust_program_says_its_name(tmp_path: Path, arguments: list[str], line: str) -> None:
    done = tea_process.tea(tmp_path, *arguments)
    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, f"{line}\n", b"")


def test_a_number_that_json_does_not_have_is_refused(tmp_path: Path) -> None:
    done = tea_process.tea(tmp_path, "run", write(tmp_path, SUM), "--input", '{"a": NaN}')
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"--input is not JSON" in done.stderr
