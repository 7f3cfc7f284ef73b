"""The control groups that limit this process, of versions 1 and 2."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Group:
    """A group's folder; the files in it are those of ``version``."""

    folder: Path
    version: int


@dataclass(frozen=True, slots=True)
class _Mount:
    """A control group file system: what is mounted (``root``) and where (``point``)."""

    root: str
    point: str
    version: int


def groups(controller: str, root: Path) -> Iterator[Group]:
    """Yield the process's own group and each above it that is visible.

    ``controller`` is the kernel's name, such as ``cpu``; ``root`` is where proc and sys are found.
    """
    mounts = list(_mounts(read(root / "proc/self/mountinfo"), controller))
    for line in read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        version = 1 if controller in controllers.split(",") else 2 if not controllers else 0
        for mount in mounts:
            if mount.version == version:
                yield from _upwards(root, mount, path)


def _mounts(mountinfo: str, controller: str) -> Iterator[_Mount]:
    for line in mountinfo.splitlines():
        # ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [FIELD…] - TYPE SOURCE SUPER_OPTIONS
        before, _, after = line.partition(" - ")
        fields, rest = before.split(), after.split()
        if len(fields) < 5 or len(rest) < 3:
            continue
        if rest[0] == "cgroup2":
            yield _Mount(_unescape(fields[3]), _unescape(fields[4]), 2)
        elif rest[0] == "cgroup" and controller in rest[2].split(","):
            yield _Mount(_unescape(fields[3]), _unescape(fields[4]), 1)


def _unescape(field: str) -> str:
    """Undo what mountinfo does to white space and backslashes in paths (octal escapes)."""
    for code, character in (("040", " "), ("011", "\t"), ("012", "\n"), ("134", "\\")):
        field = field.replace(f"\\{code}", character)
    return field


def _upwards(root: Path, mount: _Mount, path: str) -> Iterator[Group]:
    point = root / mount.point.lstrip("/")
    if mount.root != "/" and (path == mount.root or path.startswith(mount.root + "/")):
        # A container sees its own group as the top of the mount, under the host's name for it.
        path = path[len(mount.root) :]
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for depth in range(len(parts), -1, -1):
        yield Group(point.joinpath(*parts[:depth]), mount.version)


def read(path: Path) -> str:
    """Return the text of a file of the kernel's; empty where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").strip()
    except OSError:
        return ""
