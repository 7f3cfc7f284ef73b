"""Files in parts: cut, joined by the script that a user gets, and refused when a part is wrong."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tasks.base import files
from tasks.base.errors import DiskFull
from tasks.release import split
from tasks.release.artefacts import Artefact
from tests.support.releases import artefact

LIMIT, PART = 3000, 1000  # bytes


@pytest.fixture
def large(tmp_path: Path) -> Artefact:
    return artefact(tmp_path, content=bytes(range(256)) * 16)


def join(joiner: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", joiner], cwd=cwd, capture_output=True, text=True, check=False)


def test_a_file_that_fits_is_left_whole(large: Artefact) -> None:
    assert split.split(large, large.size + 1, PART) == []
    assert {path.suffix for path in large.path.parent.iterdir()} == {".AppImage", ".json"}


def test_parts_are_numbered_full_and_in_order(large: Artefact) -> None:
    *parts, joiner = split.split(large, LIMIT, PART)
    assert [part.name for part in parts] == [
        f"{large.name}.part{number:02}" for number in range(1, len(parts) + 1)
    ]
    assert {part.stat().st_size for part in parts[:-1]} == {PART}
    assert 0 < parts[-1].stat().st_size <= PART
    assert b"".join(part.read_bytes() for part in parts) == large.path.read_bytes()
    assert joiner.name == f"{large.name}.join.sh"


def test_joiner_makes_the_very_file_from_anywhere(large: Artefact, tmp_path: Path) -> None:
    *_, joiner = split.split(large, LIMIT, PART)
    whole = large.path.read_bytes()
    large.path.unlink()
    done = join(joiner, Path("/"))
    assert (done.returncode, done.stdout) == (0, f"{large.name} is complete.\n")
    assert large.path.read_bytes() == whole
    assert large.path.stat().st_mode & 0o111 == 0o111
    assert not list(tmp_path.glob("*.joining"))


def damaged(part: Path) -> None:
    part.write_bytes(bytes([part.read_bytes()[0] ^ 1]) + part.read_bytes()[1:])


def cut_short(part: Path) -> None:
    part.write_bytes(part.read_bytes()[:-1])


def missing(part: Path) -> None:
    part.unlink()


@pytest.mark.parametrize("fault", [damaged, cut_short, missing])
@pytest.mark.parametrize("index", [0, 1, -1])
def test_joiner_leaves_nothing_of_parts_that_are_not_right(
    large: Artefact, tmp_path: Path, fault: object, index: int
) -> None:
    *parts, joiner = split.split(large, LIMIT, PART)
    large.path.unlink()
    assert callable(fault)
    fault(parts[index])
    done = join(joiner, tmp_path)
    assert done.returncode == 1
    assert large.name in done.stderr
    assert not large.path.exists()
    assert not list(tmp_path.glob("*.joining"))


def test_joiner_is_what_a_user_can_read(large: Artefact) -> None:
    *parts, joiner = split.split(large, LIMIT, PART)
    text = joiner.read_text()
    assert "@" not in text.replace("$@", "")
    assert large.sha256 in text
    assert all(part.suffix.lstrip(".") in text for part in parts)
    assert len(text.splitlines()) < 30
    assert subprocess.run(["sh", "-n", joiner], check=False).returncode == 0


def test_parts_of_an_earlier_larger_file_are_removed(large: Artefact, tmp_path: Path) -> None:
    before = split.split(large, LIMIT, PART)
    after = split.split(large, LIMIT, 2 * PART)
    assert len(after) < len(before)
    assert {path.name for path in tmp_path.glob("*.part*")} == {path.name for path in after[:-1]}
    split.split(large, large.size + 1, PART)
    assert not list(tmp_path.glob("*.part*")) and not list(tmp_path.glob("*.join.sh"))


def test_a_full_disk_is_told_before_the_first_part(
    large: Artefact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "free_bytes", lambda where: large.size - 1)
    with pytest.raises(DiskFull):
        split.split(large, LIMIT, PART)
    assert not list(tmp_path.glob("*.part*")) and not list(tmp_path.glob(".*.part*"))
