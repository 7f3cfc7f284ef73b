"""Files are written whole or not at all, and durably."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks.base import files
from tasks.base.errors import NotWritable


def test_bytes_are_synced_before_the_name_and_the_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, synced, sync = tmp_path / "out", [], os.fsync

    def fsync(handle: int) -> None:
        what = Path(f"/proc/self/fd/{handle}").readlink()
        synced.append(("folder" if what == tmp_path else "file", out.exists()))
        sync(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    files.write_text(out, "text")
    assert synced == [("file", False), ("folder", True)]
    assert list(tmp_path.iterdir()) == [out]


def test_link_stays_and_what_it_leads_to_keeps_its_mode(tmp_path: Path) -> None:
    there, link = tmp_path / "there", tmp_path / "link"
    there.write_text("old")
    there.chmod(0o640)
    link.symlink_to(there.name)
    files.write_text(link, "new")
    assert link.is_symlink()
    assert there.read_text() == "new"
    assert there.stat().st_mode & 0o777 == 0o640


def test_fifo_is_written_to_and_stays_one(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(fifo.read_text)
        files.write_text(fifo, "text")
        assert read.result(10) == "text"
    assert fifo.is_fifo()


@pytest.mark.parametrize(
    ("owner", "names", "said"),
    [(4711, 1, "belongs to another user"), (4712, 2, "has further names")],
    ids=["another user's", "hard link"],
)
def test_file_that_others_have_a_part_in_is_refused_unless_root(
    owner: int, names: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    for number in range(1, names):
        file.with_name(f"name {number}").hardlink_to(file)
    monkeypatch.setattr(os, "geteuid", lambda: owner)
    stat = Path.stat
    monkeypatch.setattr(Path, "stat", lambda path: _Owned(stat(path), 4712))
    with pytest.raises(NotWritable, match=said):
        files.write_text(file, "new")
    assert file.read_text() == "old"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    files.write_text(file, "new")
    assert file.read_text() == "new"


class _Owned:
    """What ``os.stat`` says of a file, but for its owner."""

    def __init__(self, found: os.stat_result, owner: int) -> None:
        self.st_mode, self.st_nlink, self.st_uid = found.st_mode, found.st_nlink, owner
