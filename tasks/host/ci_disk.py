"""Room on a hosted CI machine: large toolchains that come with it and that no build here uses."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tasks.base import console, files, process
from tasks.base.errors import DiskFull, HostError
from tasks.base.files import GB
from tasks.base.paths import ROOT
from tasks.host import install

# Of GitHub's Ubuntu images, the largest first; together some 30 GB. Not Python's, which runs this.
TOOLCHAINS = tuple(
    map(
        Path,
        (
            "/usr/local/lib/android",
            "/usr/local/.ghcup",
            "/opt/hostedtoolcache/CodeQL",
            "/usr/share/dotnet",
            "/usr/share/swift",
            "/opt/hostedtoolcache/go",
            "/usr/lib/jvm",
            "/usr/local/share/powershell",
            "/usr/lib/google-cloud-sdk",
            "/usr/local/julia*",
            "/opt/microsoft",
            "/usr/share/miniconda",
            "/opt/az",
            "/usr/local/share/chromium",
            "/opt/google",
            "/home/linuxbrew",
        ),
    )
)


def make_room(
    needed: int,
    environ: Mapping[str, str] = os.environ,
    toolchains: Sequence[Path] = TOOLCHAINS,
    free_bytes: Callable[[Path], int] = files.free_bytes,
) -> None:
    """See that ``needed`` bytes are free, deleting one ``toolchain`` after another until they are.

    Only a machine that GitHub hosts, and that is thrown away after the job, loses anything.

    Raises:
        HostError: there is too little, and the machine is not such a one.
        DiskFull: there is too little although all are gone.
    """
    place = ROOT
    free = free_bytes(place)
    if free >= needed:
        console.note(f"{free / GB:,.0f} GB are free, {needed / GB:,.0f} GB are wanted")
        return
    if environ.get("RUNNER_ENVIRONMENT") != "github-hosted":
        raise HostError(
            f"{free / GB:,.0f} GB are free, {needed / GB:,.0f} GB are wanted",
            hint="free some: only on machines that GitHub hosts is anything deleted",
        )
    root = install.root_prefix()
    for folder in toolchains:
        for found in sorted(folder.parent.glob(folder.name)):
            process.run([*root, "rm", "-rf", "--one-file-system", "--", found])
        if free_bytes(place) >= needed:
            break
    free = free_bytes(place)
    if free < needed:
        raise DiskFull(place, needed, free)
    console.note(f"{free / GB:,.0f} GB are free now")
