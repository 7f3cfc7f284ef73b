"""The store trusts what is as recorded, hashes what is not, and deletes what is damaged."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from tasks.base import files, paths
from tasks.base.errors import DiskFull, FetchError, NotWritable
from tasks.fetch.model_store import Store, StoredModel

CONTENT = b"model" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


@pytest.fixture
def stored(store: Store) -> StoredModel:
    with store.fetching(SHA256, "m"):
        store.part(SHA256).write_bytes(CONTENT)
        return store.adopt(
            store.part(SHA256), sha256=SHA256, file="m.gguf", source="test", revision="abc"
        )


def test_what_was_adopted_is_found(store: Store, stored: StoredModel) -> None:
    assert store.find(SHA256) == stored
    assert stored.path.read_bytes() == CONTENT
    assert stored.size == len(CONTENT)
    assert not store.part(SHA256).exists()


def test_what_was_never_stored_is_not_found(store: Store) -> None:
    assert store.find("0" * 64) is None


def test_unchanged_file_is_not_hashed_again(
    store: Store, stored: StoredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(path: Path) -> str:
        raise AssertionError(path)

    monkeypatch.setattr(files, "sha256_of", never)
    assert store.find(SHA256) == stored


def test_touched_file_of_the_same_bytes_is_kept(store: Store, stored: StoredModel) -> None:
    os.utime(stored.path, ns=(1, 1))
    assert store.find(SHA256) == stored
    record = json.loads((store.folder(SHA256) / "record.json").read_text())
    assert record["mtime_ns"] == 1


@pytest.mark.parametrize("damaged", [CONTENT[:-1], b"M" + CONTENT[1:], CONTENT + b"x", b""])
def test_changed_file_is_deleted_and_not_found(
    damaged: bytes, store: Store, stored: StoredModel
) -> None:
    stored.path.write_bytes(damaged)
    os.utime(stored.path, ns=(1, 1))
    assert store.find(SHA256) is None
    assert not stored.path.exists()


def test_verify_finds_damage_that_kept_size_and_time(store: Store, stored: StoredModel) -> None:
    before = stored.path.stat().st_mtime_ns
    stored.path.write_bytes(b"M" + CONTENT[1:])
    os.utime(stored.path, ns=(before, before))
    assert store.find(SHA256) is not None
    assert store.find(SHA256, verify=True) is None
    assert not stored.path.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"file": "m.gguf"}'])
def test_unreadable_record_counts_as_none(text: str, store: Store, stored: StoredModel) -> None:
    (store.folder(SHA256) / "record.json").write_text(text)
    assert store.find(SHA256) is None


def test_record_without_its_file_is_not_found(store: Store, stored: StoredModel) -> None:
    stored.path.unlink()
    assert store.find(SHA256) is None


def test_default_root_follows_the_environment(tmp_path: Path) -> None:
    chosen = {"TEA_BUNDLES_CACHE": str(tmp_path), "XDG_CACHE_HOME": "/elsewhere"}
    assert paths.store_root(chosen) == tmp_path / "models"
    xdg = paths.store_root({"XDG_CACHE_HOME": "/elsewhere"})
    assert xdg == Path("/elsewhere/tea-bundles/models")
    # The specification wants a relative one to be ignored.
    relative = paths.store_root({"XDG_CACHE_HOME": "relative"})
    assert relative == Path.home() / ".cache/tea-bundles/models"


def test_refusals_of_the_disk_have_their_kinds(tmp_path: Path) -> None:
    import errno

    for code, kind in ((errno.ENOSPC, DiskFull), (errno.EROFS, NotWritable)):
        with pytest.raises(kind), files.disk_errors(tmp_path):
            raise OSError(code, "no", str(tmp_path))
    with pytest.raises(OSError, match="other"), files.disk_errors(tmp_path):
        raise OSError(errno.EIO, "other")


def test_write_text_leaves_the_old_text_when_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "x"
    files.write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        files.write_text(path, "new \ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_record_that_may_not_be_read_is_an_error_with_a_hint(
    store: Store, stored: StoredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", denied)
    with pytest.raises(FetchError, match="not readable"):
        store.find(SHA256)
