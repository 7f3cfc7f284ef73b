"""Files, read and written so that no link leads elsewhere than was looked at.

Paths are absolute and free of links, as ``os.path.realpath`` gives them: a link that takes the
place of a part of one afterwards is not followed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC


def read(path: Path) -> bytes:
    """Return the bytes of a regular file; a FIFO or a device may have no end.

    Raises:
        OSError: it cannot be read.
    """
    with _folder(path) as folder:
        # O_NONBLOCK: a FIFO without a writer opens at once, to be refused.
        number = os.open(path.name, os.O_RDONLY | os.O_NONBLOCK | _FILE, dir_fd=folder)
    try:
        mode = os.fstat(number).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        with os.fdopen(number, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(number)


def write(path: Path, data: bytes, *, make_folders: bool = False) -> None:
    """Write a regular file whole or not at all; into a device or FIFO as it is.

    With ``make_folders`` those that its path needs are made.

    Raises:
        OSError: it cannot be written, or see ``check_owner``.
    """
    with _folder(path, make=make_folders) as folder:
        try:
            old = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            old = None
        if old is not None and not stat.S_ISREG(old.st_mode):
            number = os.open(path.name, os.O_WRONLY | _FILE, dir_fd=folder)
            with os.fdopen(number, "wb") as file:
                file.write(data)
            return
        if old is not None:
            check_owner(old)
        _replace(path.name, folder, data, old)


def append(path: Path, data: bytes) -> None:
    """Add a line to a regular file whole or not at all; into a device or FIFO as it is.

    A last line without an end gets one before. Folders that the path needs are made.

    Raises:
        OSError: it cannot be written.
    """
    with _folder(path, make=True) as folder:
        try:
            mode = os.stat(path.name, dir_fd=folder, follow_symlinks=False).st_mode
        except FileNotFoundError:
            mode = stat.S_IFREG
        access = os.O_RDWR | os.O_CREAT if stat.S_ISREG(mode) else os.O_WRONLY
        number = os.open(path.name, access | os.O_APPEND | _FILE, 0o666, dir_fd=folder)
    try:
        if not stat.S_ISREG(mode):
            _write_all(number, data)
            return
        size = os.fstat(number).st_size
        if size and os.pread(number, 1, size - 1) != b"\n":
            data = b"\n" + data
        try:
            _write_all(number, data)
            os.fsync(number)
        except BaseException:
            os.ftruncate(number, size)
            raise
    finally:
        os.close(number)


def _write_all(number: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(number, left) :]


def check_owner(facts: os.stat_result) -> None:
    """Refuse to replace a file that others have a part in, except for root.

    Raises:
        PermissionError: it is another user's, has further names, or is not to be written.
    """
    if os.geteuid() == 0:
        return
    if facts.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "it belongs to another user")
    if facts.st_nlink > 1:
        raise PermissionError(errno.EPERM, "it has hard links, which would keep the old content")
    if not facts.st_mode & stat.S_IWUSR:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _replace(name: str, folder: int, data: bytes, old: os.stat_result | None) -> None:
    """Write to a temporary file beside ``name``, which then takes its name, owner and mode."""
    temporary = f".tea-{os.urandom(8).hex()}"  # as short for the longest name
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FILE
    number = os.open(temporary, flags, 0o666 if old is None else 0o600, dir_fd=folder)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
            file.flush()
            if old is not None:
                _take_over(number, old)
            os.fsync(number)
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise


def _take_over(number: int, old: os.stat_result) -> None:
    new = os.fstat(number)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        try:
            os.fchown(number, old.st_uid, old.st_gid)
        except PermissionError:
            if new.st_uid != old.st_uid:
                raise  # a group that the user is not in is lost
    os.fchmod(number, old.st_mode & 0o777)


@contextmanager
def _folder(path: Path, *, make: bool = False) -> Iterator[int]:
    """Open the folder that ``path`` lies in, part by part; ``make`` those that are not there."""
    number = os.open("/", _FOLDER)
    try:
        for part in path.parent.parts[1:]:
            try:
                inner = os.open(part, _FOLDER, dir_fd=number)
            except FileNotFoundError:
                if not make:
                    raise
                with contextlib.suppress(FileExistsError):  # another has made it meanwhile
                    os.mkdir(part, dir_fd=number)
                inner = os.open(part, _FOLDER, dir_fd=number)
            os.close(number)
            number = inner
        yield number
    finally:
        os.close(number)
