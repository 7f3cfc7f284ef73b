"""Two AppImages that differ in one file, and two that do not, as diffoscope tells it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tasks.base import process
from tasks.build import appdir
from tasks.build.pack import Layer
from tasks.build.parts import Program
from tasks.checks import diffoscope
from tests.integration.conftest import Parts

pytestmark = pytest.mark.integration


def program(parts: Parts, folder: Path, text: str) -> Program:
    """A program of three files, one of which holds ``text``."""
    tree = folder / "tree"
    (tree / "usr/share").mkdir(parents=True)
    (tree / "AppRun").write_text("#!/bin/sh\n")
    (tree / "usr/share/same").write_text("same\n")
    (tree / "usr/share/notes").write_text(text)
    out = folder / "program.squashfs"
    words = ["env", "-u", "SOURCE_DATE_EPOCH", *parts.mksquashfs, str(tree), str(out)]
    words += ["-quiet", "-no-progress", "-mkfs-time", "0", "-all-time", "0", "-comp", "zstd"]
    process.run(words)
    return replace(parts.program, squashfs=out, unpacked_size=100)


def pack(parts: Parts, folder: Path, text: str) -> Path:
    (folder / "layer").mkdir(parents=True)
    appdir.write_layer(folder / "layer", None)
    out = folder / "a.AppImage"
    parts.pack(Layer(folder / "layer", {}), out, program(parts, folder, text))
    return out


def test_report_on_two_that_are_equal_is_empty(parts: Parts, tmp_path: Path) -> None:
    one, two = (pack(parts, tmp_path / name, "one\n") for name in ("x", "y"))
    found = diffoscope.between(one, two, parts.engine)
    assert found.same
    assert found.report == ""


def test_report_on_two_that_differ_names_the_file_and_its_lines(
    parts: Parts, tmp_path: Path
) -> None:
    one, two = (pack(parts, tmp_path / text, f"{text}\n") for text in ("old", "new"))
    found = diffoscope.between(one, two, parts.engine)
    assert not found.same
    assert "Files a/AppDir/usr/share/notes and b/AppDir/usr/share/notes differ" in found.report
    assert "-old" in found.report and "+new" in found.report
    assert "usr/share/same" not in found.report
