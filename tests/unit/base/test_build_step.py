from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.base import build_step
from tasks.base.build_step import BuildStep
from tasks.base.errors import BuildError, CommandFailed, NotWritable


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder of sources with an executable, a module and a file that no build reads."""
    root = tmp_path / "project" / "src"
    (root / "inner").mkdir(parents=True)
    (root / "run").write_text("#!/bin/sh\n")
    (root / "run").chmod(0o755)
    (root / "inner" / "module.py").write_text("x = 1\n")
    return root


def digest(tree: Path) -> str:
    return build_step.digest_of_files([tree], tree.parent)


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda tree: (tree / "inner/module.py").write_text("x = 2\n"),
    "name": lambda tree: (tree / "inner/module.py").rename(tree / "inner/renamed.py"),
    "place": lambda tree: (tree / "inner/module.py").rename(tree / "module.py"),
    "mode": lambda tree: (tree / "run").chmod(0o644),
    "new file": lambda tree: (tree / "new").touch(),
    "file gone": lambda tree: (tree / "run").unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_digest_changes_with(change: str, tree: Path) -> None:
    before = digest(tree)
    CHANGES[change](tree)
    assert digest(tree) != before


def test_digest_does_not_depend_on_where_the_project_lies(tree: Path, tmp_path: Path) -> None:
    # A folder named "target" holds what compilers leave, but not when it is above the project.
    copy = tmp_path / "target" / "elsewhere" / "src"
    shutil.copytree(tree, copy)
    assert digest(copy) == digest(tree)
    before = digest(copy)
    (copy / "run").write_text("#!/bin/sh\nexit 1\n")
    assert digest(copy) != before


@pytest.mark.parametrize("leftover", ["target/debug/program", "inner/__pycache__/module.pyc"])
def test_digest_ignores_what_compilers_leave(leftover: str, tree: Path) -> None:
    before = digest(tree)
    (tree / leftover).parent.mkdir(parents=True)
    (tree / leftover).touch()
    assert digest(tree) == before


def test_digest_ignores_time_stamps_and_the_order_of_arguments(tree: Path) -> None:
    paths = [tree / "run", tree / "inner"]
    before = build_step.digest_of_files(paths, tree)
    os.utime(tree / "run", (1, 1))
    assert build_step.digest_of_files(reversed(paths), tree) == before


def test_digest_of_a_source_that_is_gone_is_an_error(tree: Path) -> None:
    with pytest.raises(BuildError, match=r"missing\.c: not there"):
        build_step.digest_of_files([tree, tree / "missing.c"], tree)


@dataclass
class Maker:
    """Makes the output, a folder or a file, and counts how often."""

    output: Path
    folder: bool = True
    runs: int = 0

    def __call__(self) -> None:
        self.runs += 1
        if self.folder:
            (self.output / "lib").mkdir(parents=True, exist_ok=True)
            (self.output / "lib" / "library.so").write_bytes(b"library")
        else:
            self.output.write_bytes(b"image")


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    return Maker(tmp_path / "out")


def stage(make: Maker, **inputs: str) -> BuildStep:
    return BuildStep("part", make.output, inputs or {"source": "1"})


def test_stage_runs_once_and_says_that_it_was_skipped(
    make: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stage(make).run(make)
    assert not stage(make).run(make)
    assert make.runs == 1
    assert "skipped part" in capsys.readouterr().err


@pytest.mark.parametrize("inputs", [{"source": "2"}, {"source": "1", "more": "1"}, {"name": "1"}])
def test_stage_runs_again_when_an_input_differs(inputs: dict[str, str], make: Maker) -> None:
    stage(make).run(make)
    assert stage(make, **inputs).run(make)
    assert make.runs == 2


def test_stage_does_not_depend_on_the_order_of_its_inputs(make: Maker) -> None:
    assert stage(make, a="1", b="2").digest == stage(make, b="2", a="1").digest


TOUCHES: dict[str, Callable[[Path], object]] = {
    "a file inside is longer": lambda out: (out / "lib/library.so").write_bytes(b"library!"),
    "a file inside is newer": lambda out: os.utime(out / "lib/library.so", ns=(1, 1)),
    "a file inside is gone": lambda out: (out / "lib/library.so").unlink(),
    "a file was added": lambda out: (out / "lib/other.so").touch(),
    "all of it is gone": shutil.rmtree,
}


@pytest.mark.parametrize("touch", TOUCHES)
def test_stage_runs_again_when(touch: str, make: Maker) -> None:
    stage(make).run(make)
    TOUCHES[touch](make.output)
    assert stage(make).run(make)
    assert not stage(make).run(make)


def test_stage_runs_again_when_its_file_was_cut(make: Maker) -> None:
    make.folder = False
    stage(make).run(make)
    make.output.write_bytes(b"ima")
    assert stage(make).run(make)
    assert make.output.read_bytes() == b"image"


def test_stage_that_fails_is_not_done_even_when_it_was_before(make: Maker) -> None:
    stage(make).run(make)

    def fail() -> None:
        raise CommandFailed("the compiler stopped", returncode=1)

    with pytest.raises(CommandFailed):
        stage(make, source="2").run(fail)
    assert not stage(make, source="2").is_done()
    assert not stage(make).is_done()
    assert not stage(make).stamp.exists()


def test_stage_with_a_damaged_stamp_runs_again(make: Maker) -> None:
    stage(make).run(make)
    stage(make).stamp.write_bytes(b"\xff\xfe")
    assert stage(make).run(make)


def test_second_run_waits_for_the_first_and_does_nothing(make: Maker) -> None:
    started, end = threading.Event(), threading.Event()

    def slow() -> None:
        started.set()
        assert end.wait(30)
        make()

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(stage(make).run, slow)
        assert started.wait(30)
        second = pool.submit(stage(make).run, make)
        end.set()
        assert (first.result(30), second.result(30)) == (True, False)
    assert make.runs == 1


def test_stage_whose_place_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    maker = Maker(tmp_path / "file" / "out")
    with pytest.raises(NotWritable):
        stage(maker).run(maker)
    assert maker.runs == 0
