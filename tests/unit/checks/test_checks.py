from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import nox
import pytest

from tasks import images
from tasks.base.errors import CommandFailed, NoEngine
from tasks.base.paths import ROOT
from tasks.checks import checks
from tasks.engine import engine
from tasks.host import report


class Session:
    """Notes what a session would run."""

    posargs: tuple[str, ...] = ("-k", "some name")

    def __init__(self) -> None:
        self.ran: list[tuple[str, ...]] = []

    def install(self, *words: str) -> None:
        self.ran.append(("install", *words))

    def run(self, *words: str, **options: object) -> None:
        self.ran.append(words)


def session() -> Any:
    return cast(nox.Session, Session())


def test_every_shell_script_of_the_project_is_checked() -> None:
    ignored = {line.strip("/") for line in (ROOT / ".gitignore").read_text().split()} | {".git"}
    scripts = set()
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in ignored]
        for path in (Path(folder, name) for name in files if not Path(folder, name).is_symlink()):
            with path.open("rb") as file:
                if re.match(rb"#!.*\b(ba|da)?sh\b", file.readline(80)):
                    scripts.add(str(path.relative_to(ROOT)))
    assert scripts == set(checks.SCRIPTS)


def test_unit_tests_run_with_locked_packages_and_no_engine() -> None:
    given = session()
    checks.unit(given)
    install, run = given.ran
    assert install == ("install", "--require-hashes", "--requirement", checks.REQUIREMENTS)
    assert run[0] == "pytest"
    assert run[run.index("-m") + 1] == "not integration"
    assert run[-2:] == ("-k", "some name")


def test_requirements_of_the_checks_are_locked_by_hashes() -> None:
    text = (ROOT / checks.REQUIREMENTS).read_text()
    pins = [line for line in text.splitlines() if "==" in line]
    assert pins
    assert text.count("--hash=sha256:") >= len(pins)


def test_integration_ends_with_the_machine_s_error_and_its_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def prepare(install: bool) -> None:
        assert install
        raise NoEngine("no engine answers", hint="install one")

    monkeypatch.setattr(report, "prepare", prepare)
    given = session()
    with pytest.raises(SystemExit) as ended:
        checks.integration(given)
    assert ended.value.code == 40
    assert capsys.readouterr().err == "error: no engine answers\n  → install one\n"
    assert given.ran == []


def imports_are_in_order(root: Path) -> subprocess.CompletedProcess[str]:
    """What `lint-imports` says of a copy of tasks/, with the contract of this project."""
    words = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command as run; run()",
    ]
    return subprocess.run(
        [*words, "--no-cache"], cwd=root, capture_output=True, text=True, check=False
    )


def test_package_that_uses_a_later_stage_fails_lint(tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("data", "__pycache__")
    shutil.copytree(ROOT / "tasks", tmp_path / "tasks", ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    done = imports_are_in_order(tmp_path)
    assert done.returncode == 0, done.stdout
    with (tmp_path / "tasks/base/elf.py").open("a") as file:
        file.write("from tasks.smoke import cpus\n")
    done = imports_are_in_order(tmp_path)
    assert done.returncode == 1
    assert "tasks.base is not allowed to import tasks.smoke" in done.stdout
    (tmp_path / "tasks/base/elf.py").write_text("")
    (tmp_path / "tasks/late").mkdir()
    (tmp_path / "tasks/late/__init__.py").touch()
    assert imports_are_in_order(tmp_path).returncode == 1  # a package that has no place yet


CHECKERS = ["ruff", "ruff", "mypy", "lint-imports", *["check-jsonschema"] * 3, "zizmor"]


@pytest.mark.parametrize(("script", "source"), [("SC2086", ""), ("", "CWE-476")])
def test_lint_tells_what_was_found_in_shell_scripts_and_in_c(
    script: str, source: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Engine:
        target = SimpleNamespace(arch="x86_64")

        def __enter__(self) -> Engine:
            return self

        def __exit__(self, *error: object) -> None:
            return None

        def image_id(self, tag: str) -> str:
            return "sha256:1"

        def run(self, tag: str, argv: list[str], **options: Any) -> SimpleNamespace:
            assert argv == ["shellcheck", "--", *checks.SCRIPTS]
            said = f"In AppRun line 1: {script}\n".encode()
            return SimpleNamespace(exit_code=int(bool(script)), stdout=said, stderr=b"")

        def build(self, dockerfile: Path, *, stage: str, **options: Any) -> None:
            assert (dockerfile, stage) == (ROOT / "docker/runtime/Dockerfile", "check")
            if source:
                raise CommandFailed("step [check]", returncode=1, output=f"fuse.c:50:15: {source}")

    monkeypatch.setattr(report, "prepare", lambda install: None)
    monkeypatch.setattr(engine.Engine, "connect", Engine)
    base = SimpleNamespace(id="sha256:1", reference="debian")
    monkeypatch.setattr(images, "ensure", lambda *words: base)
    given = session()
    with pytest.raises(SystemExit) as ended:
        checks.lint(given)
    assert ended.value.code == 1
    assert (script or f"fuse.c:50:15: {source}") in capsys.readouterr().err
    assert [words[0] for words in given.ran] == ["install", *CHECKERS]
