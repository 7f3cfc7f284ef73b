"""Two builds of one commit: how they are made to differ, and what is said of their outcome."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from pathlib import Path
from typing import cast

import pytest

from tasks import catalog
from tasks.base.errors import CommandFailed, NotReproducible, UnknownName
from tasks.catalog import Bundle
from tasks.checks import diffoscope, reproduce
from tasks.checks.diffoscope import Difference
from tasks.checks.reproduce import FIRST, SECOND, Build, Request
from tasks.engine.engine import Engine
from tasks.fetch.model_store import Store
from tests.support import tiny_gguf

LINES = [
    "nox > Running session build",
    "    skipped llama.cpp for x86_64: nothing that it is made from has changed",
    "==> python program for x86_64",
    "    [wheels] unchanged, taken from the build cache",
    "    done in 12.0 s",
    "==> AppDir of the python program for x86_64",
]


def test_log_of_a_build_tells_what_ran_and_what_was_taken_over() -> None:
    assert reproduce.what_was_done(LINES) == (
        ("python program for x86_64", "AppDir of the python program for x86_64"),
        ("llama.cpp for x86_64", "wheels"),
    )


def test_table_names_every_stage_and_what_each_build_did(
    capsys: pytest.CaptureFixture[str],
) -> None:
    two = Build(Path(), "2026-01-01 00:05:00", *reproduce.what_was_done(LINES[:3]))
    one = Build(Path(), "2026-01-01 00:00:00", *reproduce.what_was_done(LINES))
    reproduce._show([one, two])
    rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert rows[1].count("2026-01-01") == 2
    assert rows[2:] == [
        "python program for x86_64 run run",
        "AppDir of the python program for x86_64 run",
        "llama.cpp for x86_64 taken over taken over",
        "wheels taken over",
    ]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Two files of long ago, as git archives them."""
    for name, mode in (("plain", 0o664), ("program", 0o775)):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
    words = ["tar", "--create", "--file", "commit.tar", "--mtime=2001-01-01", "plain", "program"]
    subprocess.run(words, cwd=tmp_path, check=True)
    return tmp_path / "commit.tar"


def test_two_copies_differ_in_umask_name_length_and_time(archive: Path, tmp_path: Path) -> None:
    modes = []
    for setting in (FIRST, SECOND):
        folder = tmp_path / setting.folder
        reproduce._unpack(archive, folder, setting)
        modes.append([(folder / name).stat().st_mode & 0o777 for name in ("plain", "program")])
        assert time.time() - (folder / "plain").stat().st_mtime < 60
    assert modes == [[0o644, 0o755], [0o600, 0o700]]
    assert len(FIRST.folder) != len(SECOND.folder)
    assert FIRST.env.keys() == SECOND.env.keys() == {"TZ", "LC_ALL"}


def test_setting_runs_a_command_with_its_own_environment(tmp_path: Path) -> None:
    done = subprocess.run(
        SECOND.command("sh", "-c", 'umask; echo "$1"', "sh", "two words"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "0077\ntwo words\n"


def test_second_build_is_another_user_s_where_root_asks() -> None:
    other = reproduce._as_another_user(SECOND)
    done = subprocess.run(other.command("id", "-u"), capture_output=True, text=True, check=True)
    if other.user is None:  # not root, or its Python is nobody else's to run
        assert done.stdout == f"{os.geteuid()}\n"
    else:
        assert done.stdout == f"{reproduce.NOBODY}\n" and os.geteuid() == 0


def test_user_who_is_no_root_builds_twice_and_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reproduce, "NEEDS", "raise SystemExit(1)")
    assert reproduce._as_another_user(SECOND) == SECOND
    assert "both builds are one user's" in capsys.readouterr().err


def test_lent_model_is_found_by_the_build(tmp_path: Path) -> None:
    path = tiny_gguf.write(tmp_path / "part")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    store = Store(tmp_path / "models")
    store.folder(sha256).mkdir(parents=True)
    part = path.rename(store.part(sha256))
    stored = store.adopt(part, sha256=sha256, file="m.gguf", source="test", revision=None)
    reproduce._lend(stored, tmp_path / "there")
    found = Store(tmp_path / "there/cache/models").find(sha256)
    assert found is not None
    assert found.path.read_bytes() == stored.path.read_bytes()
    assert (found.source, found.sha256) == ("test", sha256)


# -- the outcome

PAIR = [
    Bundle(impl, catalog.model("smollm2-135m"), catalog.target("x86_64"))
    for impl in ("python", "rust")
]
BUILDS = [Build(Path("/one"), "then", (), ()), Build(Path("/two"), "now", (), ())]


def compare(monkeypatch: pytest.MonkeyPatch, found: dict[str, Difference]) -> None:
    def between(one: Path, two: Path, engine: object) -> Difference:
        assert (one.parent, two.parent) == (Path("/one"), Path("/two"))
        assert one.name == two.name
        return found[one.name.split("-")[1]]

    monkeypatch.setattr(diffoscope, "between", between)
    reproduce._compare(PAIR, BUILDS, cast(Engine, None))


SAME = Difference(("aa", "aa"), "")
OTHER = Difference(("aa", "bb"), "--- a/usr/bin/tea\n+++ b/usr/bin/tea [bold]\n")


def test_pairs_that_are_equal_are_listed_with_their_digest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compare(monkeypatch, {"python": SAME, "rust": SAME})
    rows = [line.split()[-2:] for line in capsys.readouterr().out.splitlines()]
    assert rows.count(["aa", "identical"]) == 2


def test_pair_that_differs_is_named_and_what_differs_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(NotReproducible, match=r"^1 of 2 bundles differ.*tea-rust-llm") as caught:
        compare(monkeypatch, {"python": SAME, "rust": OTHER})
    assert caught.value.exit_code == 34
    said = capsys.readouterr().out
    assert "+++ b/usr/bin/tea [bold]" in said
    assert "DIFFERENT" in said and "identical" in said


def test_report_on_equal_files_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandFailed, match="identical, but"):
        compare(monkeypatch, {"python": SAME, "rust": Difference(("aa", "aa"), "???")})


# -- options


def test_everything_is_built_twice_unless_told_otherwise() -> None:
    given = reproduce.request([])
    assert given == Request(catalog.QUICKSTART, ("python", "rust"), ("x86_64", "aarch64"), False)
    words = ["--impl", "rust", "--arch", "aarch64", "--model", "gemma3-1b", "--all-stages"]
    assert reproduce.request(words) == Request("gemma3-1b", ("rust",), ("aarch64",), True)
    for word in ("--impl", "--arch", "--model"):
        with pytest.raises(UnknownName):
            reproduce.request([word, "x"])
