"""The model store: files by their sha256, each with a record of where it came from.

    STORE/<sha256>/<file>.gguf     the model; put there by rename, once its digest is right
    STORE/<sha256>/record.json     name, size, source, revision, and the file's time stamp
    STORE/<sha256>/part            what has come so far; the next run goes on from it
    STORE/<sha256>/lock            held by the run that fetches

A file whose size and time stamp are the recorded ones is taken as it is; any other is hashed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.base import console, files, forms
from tasks.base.errors import FetchError


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model file with the right bytes. ``revision`` is the commit, where the source has one."""

    path: Path
    sha256: str
    size: int
    source: str
    revision: str | None


@dataclass(frozen=True, slots=True)
class Store:
    """The folder of models."""

    root: Path

    def folder(self, sha256: str) -> Path:
        """Where the file with this digest lives."""
        if not forms.SHA256.fullmatch(sha256):
            raise FetchError(f"{sha256!r:.80}: not a sha256 of 64 hexadecimal digits")
        return self.root / sha256

    def part(self, sha256: str) -> Path:
        """Where its bytes gather before they are complete."""
        return self.folder(sha256) / "part"

    def find(self, sha256: str, *, verify: bool = False) -> StoredModel | None:
        """The stored file with this digest, or None. ``verify`` hashes it whatever the record says.

        A file that is not what its name promises is deleted, and so not found.
        """
        record = self._record(sha256)
        if record is None:
            return None
        path = self.folder(sha256) / record["file"]
        try:
            stat = path.stat()
        except FileNotFoundError:
            return None
        found = StoredModel(path, sha256, stat.st_size, record["source"], record["revision"])
        as_recorded = (stat.st_size, stat.st_mtime_ns) == (record["size"], record["mtime_ns"])
        if as_recorded and not verify:
            return found
        if files.sha256_of(path) != sha256:
            console.warn(f"{path}: damaged since it was stored; deleted")
            with files.disk_errors(path):
                path.unlink()
            return None
        if not as_recorded:
            with files.disk_errors(path):
                self._write_record(found)
        return found

    def adopt(
        self, part: Path, *, sha256: str, file: str, source: str, revision: str | None
    ) -> StoredModel:
        """Make ``part``, complete and of the right digest, the stored file of that digest.

        ``part`` must be on the store's file system. Once this returns, the file survives a crash.
        """
        path = self.folder(sha256) / file
        with part.open("rb") as handle:
            os.fsync(handle.fileno())
        stored = StoredModel(path, sha256, part.stat().st_size, source, revision)
        # The record goes first: a file without one would be looked for in vain.
        self._write_record(stored, part)
        part.replace(path)
        files.sync_folder(self.folder(sha256))
        return stored

    @contextmanager
    def fetching(self, sha256: str, name: str) -> Iterator[None]:
        """Hold the right to fetch this digest; a second run waits here for the first.

        Raises:
            NotWritable: the store's folder cannot be made or written to.
        """
        waiting = f"{name}: another run is fetching it; waiting"
        with files.locked(self.folder(sha256) / "lock", waiting):
            yield

    def require_space(self, sha256: str, needed: int) -> None:
        """Raise ``DiskFull`` unless ``needed`` bytes can be written beside the file's place."""
        files.require_space(self.folder(sha256), needed)

    def _record(self, sha256: str) -> dict[str, Any] | None:
        path = self.folder(sha256) / "record.json"
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            keys = ("file", "size", "mtime_ns", "source", "revision")
            found = {key: record[key] for key in keys}
            # The file is opened, and deleted where it is damaged: it lies beside the record.
            if not forms.FILE_NAME.fullmatch(found["file"]):
                raise ValueError("file")
            return found
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError as error:
            raise FetchError(
                f"{path}: not readable", hint="make it readable, or set TEA_BUNDLES_CACHE"
            ) from error
        except (ValueError, KeyError, TypeError):
            console.warn(f"{path}: unreadable record; the model is fetched again")
            return None

    def _write_record(self, stored: StoredModel, at: Path | None = None) -> None:
        record = {
            "file": stored.path.name,
            "size": stored.size,
            "mtime_ns": (at or stored.path).stat().st_mtime_ns,
            "sha256": stored.sha256,
            "source": stored.source,
            "revision": stored.revision,
        }
        files.write_text(
            self.folder(stored.sha256) / "record.json", json.dumps(record, indent=2) + "\n"
        )
