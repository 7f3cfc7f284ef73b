"""`./nox`: what it makes once, what it hands on, and what it says where it cannot."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tasks.base.paths import ROOT

# Stands for the machine's Python and for that of .venv: says what it was asked, and as which mode.
PYTHON = """#!/bin/sh
echo "$*" >> "$ASKED"
case "$*" in
    *version_info*) exit ${OLD:-0} ;;
    *ensurepip*) exit ${NO_VENV:-0} ;;
    --version) echo "Python 3.9.2" ;;
    "-m venv"*) mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
    "-m pip install"*) exit ${NO_PIP:-0} ;;
    "-m nox"*) echo "$NOX_SCRIPT_MODE:$*" ;;
esac
"""


class Checkout:
    """A folder with the script, a lock file, and a machine that has only what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a checkout"
        (self.root / "requirements").mkdir(parents=True)
        shutil.copy(ROOT / "nox", self.root)
        self.lock = self.root / "requirements/nox.txt"
        self.lock.write_text("nox==1\n")
        self.path = folder / "bin"
        self.path.mkdir()
        for name in ("cmp", "cp", "dirname", "id", "mkdir", "mv"):
            (self.path / name).symlink_to(str(shutil.which(name)))
        self.asked = folder / "asked"

    def has(self, name: str, text: str) -> None:
        (self.path / name).write_text(text)
        (self.path / name).chmod(0o755)

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        self.asked.write_text("")
        return subprocess.run(
            ["/bin/sh", self.root / "nox", *words],
            env={"PATH": str(self.path), "ASKED": str(self.asked), **env},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def installs(self) -> int:
        return self.asked.read_text().count("-m pip install")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    made = Checkout(tmp_path)
    made.has("python3", PYTHON)
    return made


def test_arguments_reach_nox_as_they_are(checkout: Checkout) -> None:
    done = checkout.run("-s", "fetch-x", "--", "a b", "*")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"none:-m nox -f {checkout.root}/noxfile.py -s fetch-x -- a b *\n"


def test_venv_is_made_once_and_again_for_another_lock(checkout: Checkout) -> None:
    counts = []
    for _ in range(2):
        checkout.run("-l")
        counts.append(checkout.installs())
    checkout.lock.write_text("nox==2\n")
    checkout.run("-l")
    assert [*counts, checkout.installs()] == [1, 0, 1]


def test_install_that_failed_is_done_again(checkout: Checkout) -> None:
    assert checkout.run("-l", NO_PIP="1").returncode == 1
    assert checkout.run("-l").stdout.startswith("none:")
    assert checkout.installs() == 1


def test_old_python_is_named(checkout: Checkout) -> None:
    done = checkout.run("-l", OLD="1")
    assert done.returncode == 7
    assert "Python 3.9.2 is too old: Python 3.11" in done.stderr
    assert not (checkout.root / ".venv").exists()


def test_python_without_venv_is_told_what_to_install(checkout: Checkout) -> None:
    done = checkout.run("-l", NO_VENV="1")
    assert done.returncode == 7
    assert "python3 has no module venv" in done.stderr
    assert "apt-get install python3-venv" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="asks as root")
def test_root_on_debian_gets_python_with_venv(checkout: Checkout) -> None:
    checkout.has("apt-get", '#!/bin/sh\necho "apt-get $*" >> "$ASKED"\n')
    done = checkout.run("-l", NO_VENV="1")
    assert done.returncode == 0, done.stderr
    assert re.search(r"apt-get .*install .*python3-venv", checkout.asked.read_text())


def test_lock_has_what_the_noxfile_asks_for() -> None:
    head = re.findall(r"^# (.*)$", (ROOT / "noxfile.py").read_text().split("# ///")[1], re.M)
    asked = set(tomllib.loads("\n".join(head))["dependencies"])
    lines = (ROOT / "requirements/nox.in").read_text().splitlines()
    wanted = {line.replace("nox[uv]", "nox") for line in lines if not line.startswith("#")}
    assert wanted == asked
    locked = (ROOT / "requirements/nox.txt").read_text()
    pins = re.findall(r"^([\w-]+)(?:\[.*\])?==(\S+)", "\n".join(asked), re.M)
    assert len(pins) == len(asked) - 1  # pip's is a lower bound
    for name, version in pins:
        assert re.search(
            rf"^{re.escape(name.replace('_', '-'))}(\[.*\])?=={version}\b", locked, re.M
        )
