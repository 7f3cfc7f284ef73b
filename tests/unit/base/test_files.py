"""Files are written whole or not at all, and durably."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tasks.base import files


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
