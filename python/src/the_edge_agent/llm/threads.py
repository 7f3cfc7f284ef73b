"""How many threads a model gets: as many as there are cores that this process may really use.

One thread too many is worse than one too few: threads wait for each other several hundred times
a token, so a thread without a core of its own holds up all the others.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class _Mount:
    """A control group file system: what is mounted (``root``) and where (``point``)."""

    root: str
    point: str
    version: int


def default_threads(root: Path = Path("/"), cpus: Iterable[int] | None = None) -> int:
    """Return the number of threads to use, at least 1.

    That is one for each physical core of ``cpus`` (the CPUs the scheduler allows, asked from the
    system when None), but no more than the CPU time that the control groups grant. ``root`` is
    where proc and sys are found.
    """
    allowed = set(os.sched_getaffinity(0)) if cpus is None else set(cpus)
    threads = physical_cores(root, allowed)
    quota = cpu_quota(root)
    if quota is not None:
        # Cut, not rounded: on 1.5 CPUs two threads wait for each other more than they gain.
        threads = min(threads, int(quota))
    return max(1, threads)


def physical_cores(root: Path, cpus: Iterable[int]) -> int:
    """Return how many cores ``cpus`` belong to; a CPU whose core is not known is one by itself.

    Two threads on one core share its arithmetic units and gain nothing here.
    """
    cores = set()
    for cpu in cpus:
        topology = root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        cores.add(_read(topology) or str(cpu))
    return len(cores)


def cpu_quota(root: Path) -> float | None:
    """Return the CPUs' worth of time granted to this process, None when there is no limit.

    Looks at versions 1 and 2 of control groups, from the process's own group up to the topmost
    that is visible; the tightest limit counts.
    """
    mounts = list(_cpu_mounts(_read(root / "proc/self/mountinfo")))
    limits: list[float] = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        version = 1 if "cpu" in controllers.split(",") else 2 if not controllers else 0
        for mount in mounts:
            if mount.version == version:
                limits.extend(_limits(root, mount, path))
    return min(limits, default=None)


def _cpu_mounts(mountinfo: str) -> Iterable[_Mount]:
    for line in mountinfo.splitlines():
        # ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [FIELD…] - TYPE SOURCE SUPER_OPTIONS
        before, _, after = line.partition(" - ")
        fields, rest = before.split(), after.split()
        if len(fields) < 5 or len(rest) < 3:
            continue
        if rest[0] == "cgroup2":
            yield _Mount(_unescape(fields[3]), _unescape(fields[4]), 2)
        elif rest[0] == "cgroup" and "cpu" in rest[2].split(","):
            yield _Mount(_unescape(fields[3]), _unescape(fields[4]), 1)


def _unescape(field: str) -> str:
    """Undo what mountinfo does to white space and backslashes in paths (octal escapes)."""
    for code, character in (("040", " "), ("011", "\t"), ("012", "\n"), ("134", "\\")):
        field = field.replace(f"\\{code}", character)
    return field


def _limits(root: Path, mount: _Mount, path: str) -> Iterable[float]:
    """Yield the limit of the group ``path`` and of each group above it."""
    point = root / mount.point.lstrip("/")
    if mount.root != "/" and (path == mount.root or path.startswith(mount.root + "/")):
        # A container sees its own group as the top of the mount, under the host's name for it.
        path = path[len(mount.root) :]
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for depth in range(len(parts), -1, -1):
        limit = _limit(point.joinpath(*parts[:depth]), mount.version)
        if limit is not None:
            yield limit


def _limit(group: Path, version: int) -> float | None:
    if version == 2:
        words = _read(group / "cpu.max").split()
    else:
        words = [_read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us")]
    try:
        quota, period = (int(word) for word in words)
    except ValueError:  # no such file, or "max"
        return None
    return quota / period if quota > 0 and period > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").strip()
    except OSError:
        return ""
