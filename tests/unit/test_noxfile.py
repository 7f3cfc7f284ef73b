"""The command line as a user types it, and what is left of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tasks import catalog
from tasks.base.paths import ROOT
from tests.support.fork_server import ForkServer

NOX = Path(sys.executable).parent / "nox"
MODES = ("none", "reuse")  # with the second, nox looks at the noxfile's own dependencies first


DEADLINE = 60  # seconds
IMPORTED = ("nox._cli", "docker", "rich.progress", "tenacity", "tomli_w")  # by every start


def environment(mode: str) -> dict[str, str]:
    # No engine is there: what is refused is refused before one is asked.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("NOX")}
    return {**clean, "NOX_SCRIPT_MODE": mode, "DOCKER_HOST": "unix:///nonexistent/docker.sock"}


@cache
def _fork_server() -> ForkServer:
    return ForkServer(IMPORTED, environment("none"))


@dataclass(frozen=True)
class Done:
    """What came of a nox."""

    returncode: int
    stdout: str
    stderr: str


def nox(*words: str, root: Path = ROOT) -> Done:
    done = _fork_server().run(
        "nox",
        ["-f", str(root / "noxfile.py"), *words],
        env=environment("none"),
        cwd=ROOT,
        timeout=DEADLINE,
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


@dataclass(frozen=True)
class Refusal:
    """Words of a command line, and the code and first words of what it ends with."""

    words: tuple[str, ...]
    code: int
    says: str
    remedy: str


BUILD = "build-smollm2-135m-x86_64"
REFUSALS = [
    Refusal(("-s", "build", "--", "--model", "gemma3-1"), 2, "unknown model", "'gemma3-1b'?"),
    Refusal(("-s", BUILD, "--", "--impl", "pyton"), 2, "unknown implementation", "'python'?"),
    Refusal(("-s", BUILD, "--", "--dits", "x"), 2, "unknown option '--dits'", "'--dist'?"),
    Refusal(("-s", "build"), 2, "nothing to build", "give --model ID"),
    Refusal(("-s", "build-gemma3-1b-x86"), 2, "unknown session", "'build-gemma3-1b-x86_64'?"),
    Refusal(("-s", "smoke", "--", "LICENSE"), 21, "LICENSE: not an AppImage", "give a file"),
    Refusal(("-s", "smoke", "--", "no-such"), 21, "no-such: No such file", "give a file"),
    Refusal(("-s", "models", "--", "smollm2"), 2, "unexpected argument", "--help lists"),
    Refusal(
        ("-s", BUILD, "--", "--runtime", "LICENSE"),
        20,
        "LICENSE: not an ELF",
        "leave out --runtime",
    ),
    Refusal(("-s", BUILD, "--", "--dist", "LICENSE"), 9, "", "--dist"),
    Refusal(
        ("-s", "build", "--", "--model-file", "LICENSE", "--name", "mine"),
        16,
        "LICENSE is not a GGUF file",
        "converted to GGUF",
    ),
    Refusal(("-s", BUILD), 40, "/nonexistent/docker.sock", "DOCKER_HOST"),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: " ".join(refusal.words))
def test_bad_input_ends_with_one_line_a_remedy_and_its_code(refusal: Refusal) -> None:
    done = nox(*refusal.words)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("nox > ")]
    assert len(lines) == 2, done.stderr
    assert lines[0].startswith("error: ") and refusal.says in lines[0]
    assert lines[1].startswith("  → ") and refusal.remedy in lines[1]
    assert done.returncode == refusal.code
    assert done.stdout == ""


@pytest.mark.parametrize("mode", MODES)
def test_exit_code_passes_through_nox(mode: str) -> None:
    words = [str(NOX), "-f", str(ROOT / "noxfile.py"), "-s", "smoke", "--", "LICENSE"]
    done = subprocess.run(
        words, capture_output=True, timeout=DEADLINE, check=False, env=environment(mode)
    )
    assert done.returncode == 21


def test_noxfile_and_tests_have_the_same_dependencies() -> None:
    # So that the line above runs in the tests' own environment, and mypy sees what runs.
    head = (ROOT / "noxfile.py").read_text().split('"""')[0]
    pins = {line.split('"')[1] for line in head.splitlines() if "==" in line}
    listed = set((ROOT / "requirements/dev.in").read_text().split())
    assert pins and pins <= listed


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what nox loads."""
    shutil.copy(ROOT / "noxfile.py", tmp_path)
    shutil.copytree(ROOT / "tasks", tmp_path / "tasks")
    shutil.copytree(ROOT / "python/src", tmp_path / "python/src")
    return tmp_path


def broken_value(text: str) -> str:
    return text.replace("context = 8192", 'context = "8k"', 1)


def broken_toml(text: str) -> str:
    return text.replace("[gemma3-1b]", "[gemma3-1b", 1)


def unknown_key(text: str) -> str:
    return text.replace("about = ", "abuot = 1\nabout = ", 1)


SPOILT = [
    (broken_value, "models.toml: smollm2-135m.context: expected a whole number of", ("-l",)),
    (broken_value, "models.toml: smollm2-135m.context: expected a whole number of", ("-s", "unit")),
    (broken_toml, "models.toml: ", ("-s", "models")),
    (unknown_key, "models.toml: gemma3n-e4b.abuot: no such key", ("-l",)),
]


@pytest.mark.parametrize(("spoil", "says", "words"), SPOILT)
def test_broken_table_of_models_is_one_line_for_every_session(
    spoil: Callable[[str], str], says: str, words: tuple[str, ...], project: Path
) -> None:
    table = project / "tasks/catalog/data/models.toml"
    text = table.read_text()
    table.write_text(spoil(text))
    assert table.read_text() != text
    done = nox(*words, root=project)
    assert done.stderr.startswith(f"error: {says}")
    assert len(done.stderr.splitlines()) == 1
    assert done.returncode == 3


def sessions(root: Path = ROOT) -> dict[str, str]:
    """Every session and what `nox -l` says of it."""
    done = nox("--list", "--json", "-t", "start", "build", "fetch", "check", root=root)
    return {row["session"]: row["description"] for row in json.loads(done.stdout)}


def test_every_model_and_architecture_has_a_session() -> None:
    listed = sessions()
    for model in catalog.models():
        assert f"fetch-{model}" in listed
        for arch in catalog.targets():
            assert arch in listed[f"build-{model}-{arch}"]
    assert all(description.endswith(".") for description in listed.values())


def test_new_model_is_one_table_and_no_code(project: Path) -> None:
    table = project / "tasks/catalog/data/models.toml"
    row = table.read_text().split("[smollm2-135m]")[1].split("\n\n\n")[0]
    table.write_text(table.read_text() + "\n[mine]" + row.replace("[smollm2-135m.", "[mine."))
    assert {"fetch-mine", "build-mine-x86_64", "build-mine-aarch64"} <= sessions(project).keys()
