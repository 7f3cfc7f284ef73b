"""How many threads a model gets: as many as there are cores that this process may really use.

One thread too many is worse than one too few: threads wait for each other several hundred times
a token, so a thread without a core of its own holds up all the others.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from the_edge_agent.llm.control_groups import Group, groups, read


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
        cores.add(read(topology) or str(cpu))
    return len(cores)


def cpu_quota(root: Path) -> float | None:
    """Return the CPUs' worth of time granted to this process, None when there is no limit.

    Looks at the process's own control group and at those above it; the tightest limit counts.
    """
    limits = (_limit(group) for group in groups("cpu", root))
    return min((limit for limit in limits if limit is not None), default=None)


def _limit(group: Group) -> float | None:
    if group.version == 2:
        words = read(group.folder / "cpu.max").split()
    else:
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        words = [read(group.folder / name) for name in names]
    try:
        quota, period = (int(word) for word in words)
    except ValueError:  # no such file, or "max"
        return None
    return quota / period if quota > 0 and period > 0 else None
