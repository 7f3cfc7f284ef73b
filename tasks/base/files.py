"""Files: digests, free space, what the disk refuses, writing whole or not at all, locks."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tasks.base import console
from tasks.base.errors import DiskFull, NotWritable

GB = 1_000_000_000
BLOCK = 1 << 20  # bytes to read at once where nothing asks for another size
EPOCH = 1_704_067_200  # 2024-01-01: the time stamp of every file in an image
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
# ENOTDIR and EEXIST: a file is where a folder should be.
NO_WRITE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST})
SYNC_INTERVAL = 0.25  # seconds


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


def require_space(where: Path, needed: int, *, freed: int = 0) -> None:
    """Raise ``DiskFull`` unless ``needed`` bytes can be written below ``where``.

    ``freed`` bytes are taken now by what the work replaces.
    """
    free = free_bytes(where) + freed
    if free < needed:
        raise DiskFull(where, needed, free)


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` as durable as the files' bytes."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """An empty file beside ``path`` that takes its place, durably, when the block ends well.

    A link stays, and what it leads to is replaced.

    Raises:
        NotWritable: the file there is another user's, or has further names, which would keep the
            old bytes; root may.
    """
    path = Path(os.path.realpath(path))
    mode = _replaceable_mode(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(b"")
        if mode is not None:
            beside.chmod(mode)
        yield beside
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
        sync_folder(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def _replaceable_mode(path: Path) -> int | None:
    """The mode that a new file at ``path`` takes over; None where there is no file."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    if os.geteuid() != 0 and (found.st_uid != os.geteuid() or found.st_nlink > 1):
        why = "has further names (hard links)" if found.st_nlink > 1 else "belongs to another user"
        raise NotWritable(f"{path}: {why}", hint="choose another file, or remove this one")
    return stat.S_IMODE(found.st_mode)


def write_text(path: Path, text: str) -> None:
    """Write a small file whole or not at all; see ``write_bytes``."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a small file whole or not at all; a device or a FIFO is written to as it is.

    Raises:
        NotWritable: as ``replacing`` says.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            file.write(content)
        return
    with replacing(path) as beside:
        beside.write_bytes(content)


@contextmanager
def locked(path: Path, waiting: str) -> Iterator[None]:
    """Hold a lock on ``path``, a folder or a file that is made; a second run waits for the first.

    ``waiting`` is said by a run that waits. The kernel lets go of the lock when its holder dies,
    however it dies.

    Raises:
        NotWritable: the file cannot be made.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDONLY | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.note(waiting)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def syncing(part: Path) -> Iterator[None]:
    """Have the disk write what comes into ``part`` meanwhile; who gives it its name syncs the rest.

    Synced only once it is complete, the disk would wait for the work and the work for the disk.
    """
    complete = threading.Event()

    def sync() -> None:
        with part.open("rb") as file:
            while not complete.wait(SYNC_INTERVAL):
                os.fdatasync(file.fileno())

    with ThreadPoolExecutor(1) as pool:
        syncing = pool.submit(sync)
        try:
            yield
        finally:
            complete.set()
        syncing.result()  # the kernel tells a failed write once, perhaps here
