"""The model store: files by their sha256, each with a record of where it came from.

    STORE/<sha256>/<file>.gguf     the model; put there by rename, once its digest is right
    STORE/<sha256>/record.json     name, size, source, revision, and the file's time stamp
    STORE/<sha256>/part            what has come so far; the next run goes on from it
    STORE/<sha256>/lock            held by the run that fetches

A file whose size and time stamp are the recorded ones is taken as it is; any other is hashed.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.base import console
from tasks.base.errors import DiskFull, FetchError, NotWritable

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
# ENOTDIR and EEXIST: a file is where a folder should be.
NO_WRITE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST})
SYNC_INTERVAL = 0.01  # seconds
SYNC_FILE_RANGE_WRITE = 2  # linux/fs.h


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model file with the right bytes. ``revision`` is the commit, where the source has one."""

    path: Path
    sha256: str
    size: int
    source: str
    revision: str | None


def default_root(environ: Mapping[str, str] = os.environ) -> Path:
    """``$TEA_BUNDLES_CACHE``, else tea-bundles below the user's cache; in it ``models``."""
    chosen = environ.get("TEA_BUNDLES_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute() / "models"
    cache = environ.get("XDG_CACHE_HOME")
    base = Path(cache) if cache and Path(cache).is_absolute() else Path.home() / ".cache"
    return base / "tea-bundles" / "models"


def sha256_of(path: Path) -> str:
    """The file's sha256 in hexadecimal; reads it once."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def disk_errors(where: Path, needed: int = 0) -> Iterator[None]:
    """Turn what the file system refuses into ``DiskFull`` and ``NotWritable``.

    ``needed`` is the number of bytes that the work still wanted to write below ``where``.
    """
    try:
        yield
    except OSError as error:
        if error.errno in NO_SPACE:
            raise DiskFull(where, needed, free_bytes(where)) from error
        if error.errno in NO_WRITE:
            raise NotWritable(
                f"{error.filename or where}: {error.strerror}",
                hint="make the folder writable, or set TEA_BUNDLES_CACHE to one that is",
            ) from error
        raise


def free_bytes(where: Path) -> int:
    """Bytes that the user may write at ``where``, which need not be there yet."""
    while not where.exists():
        where = where.parent
    return shutil.disk_usage(where).free


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` as durable as the files' bytes."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def syncing(part: Path) -> Iterator[None]:
    """Have the disk write what comes into ``part`` meanwhile; all of it is safe at the end.

    Synced only once it is complete, the disk would wait for the work and the work for the disk.
    """
    complete = threading.Event()

    def sync() -> None:
        with part.open("rb") as file:
            while not complete.wait(SYNC_INTERVAL):
                _start_writing(file.fileno())
            os.fsync(file.fileno())

    with ThreadPoolExecutor(1) as pool:
        syncing = pool.submit(sync)
        try:
            yield
        finally:
            complete.set()
        syncing.result()  # the kernel tells a failed write once, and only here


def _start_writing(descriptor: int) -> None:
    """Hand what has come to the disk and wait for nothing; an error is kept for the fsync.

    Python has no name for it, and an fsync would write the file system's journal each time.
    """
    import ctypes  # only here, and slow to import

    call = ctypes.CDLL(None).sync_file_range
    call(descriptor, ctypes.c_int64(0), ctypes.c_int64(0), SYNC_FILE_RANGE_WRITE)


def write_text(path: Path, text: str) -> None:
    """Write a small file whole or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a small file whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Store:
    """The folder of models."""

    root: Path

    def folder(self, sha256: str) -> Path:
        """Where the file with this digest lives."""
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
        if sha256_of(path) != sha256:
            console.warn(f"{path}: damaged since it was stored; deleted")
            with disk_errors(path):
                path.unlink()
            return None
        if not as_recorded:
            with disk_errors(path):
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
        sync_folder(self.folder(sha256))
        return stored

    @contextmanager
    def fetching(self, sha256: str, name: str) -> Iterator[None]:
        """Hold the right to fetch this digest; a second run waits here for the first.

        The kernel lets go of the lock when its holder dies, however it dies.

        Raises:
            NotWritable: the store's folder cannot be made or written to.
        """
        folder = self.folder(sha256)
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / "lock").open("w")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                console.note(f"{name}: another run is fetching it; waiting")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def require_space(self, sha256: str, needed: int) -> None:
        """Raise ``DiskFull`` unless ``needed`` bytes can be written beside the file's place."""
        folder = self.folder(sha256)
        free = free_bytes(folder)
        if free < needed:
            raise DiskFull(folder, needed, free)

    def _record(self, sha256: str) -> dict[str, Any] | None:
        path = self.folder(sha256) / "record.json"
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            return {key: record[key] for key in ("file", "size", "mtime_ns", "source", "revision")}
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
        write_text(self.folder(stored.sha256) / "record.json", json.dumps(record, indent=2) + "\n")
