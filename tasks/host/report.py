"""What the machine has of what the builds need, and for each thing it lacks the command for it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tasks import catalog
from tasks.base import arguments, console, files, paths, process
from tasks.base.errors import DiskFull, EngineError, HostError, NoBuildx, UsageError
from tasks.base.files import GB
from tasks.base.paths import ROOT
from tasks.catalog import Target
from tasks.engine import connect
from tasks.host import binfmt, binfmt_install, ci_disk
from tasks.host.install import mend

MIN_PYTHON = (3, 11)
ENGINE_SPACE = (4 * GB, 12 * GB)  # bytes: too little for a cold build; enough with its caches
FILE_SPACE = (GB, 4 * GB)  # bytes: too little for the smallest bundle; enough for most
MIN_MEMORY = 2 * GB  # bytes that a parallel C++ build wants at the least
CGROUP = Path("/sys/fs/cgroup")

State = Literal["ok", "warning", "missing"]


@dataclass(frozen=True, slots=True)
class HostCheck:
    """One thing looked at. ``remedy`` is a command or a short instruction, or empty."""

    name: str
    state: State
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Space:
    """A place that fills up, with too little for a build and enough for comfort, in bytes."""

    name: str
    place: Path
    least: int
    enough: int


def prepare(install: bool, environ: Mapping[str, str] = os.environ) -> None:
    """Make the machine ready to build: an engine with buildx, and room.

    With ``install`` true, what is missing is installed and started, after saying so and, on a
    terminal, asking. Raises as ``install.mend`` does, and ``DiskFull``.
    """
    mend(install, environ)
    client = connect.open_client(environ)
    try:
        info = client.info()
    finally:
        client.close()
    for space in spaces(environ, info):
        if space_check(space).state == "missing":
            raise DiskFull(space.place, space.least, files.free_bytes(space.place))


def report(environ: Mapping[str, str] = os.environ) -> list[HostCheck]:
    """Look at everything; changes nothing and raises nothing."""
    info, engine_checks = _engine(environ)
    foreign = [target for target in catalog.targets().values() if target != catalog.native_target()]
    return [
        python_check(sys.version_info[:3]),
        *engine_checks,
        mmdebstrap_check(),
        *(space_check(space) for space in spaces(environ, info)),
        memory_check(),
        HostCheck("cgroup", "ok", f"version {cgroup_version()}"),
        fuse_check(),
        *(check for target in foreign for check in emulation_checks(target)),
    ]


def show(environ: Mapping[str, str] = os.environ) -> None:
    """Print the table.

    Raises:
        HostError: something that every build needs is missing.
    """
    checks = report(environ)
    rows: list[tuple[str, ...]] = [
        (check.name, check.state, check.detail, check.remedy) for check in checks
    ]
    console.table("This machine", ("what", "state", "found", "remedy"), rows)
    missing = [check for check in checks if check.state == "missing"]
    if missing:
        raise HostError(
            f"missing: {', '.join(check.name for check in missing)}",
            hint=next((check.remedy for check in missing if check.remedy), ""),
        )


def python_check(version: tuple[int, ...]) -> HostCheck:
    """The interpreter that runs this."""
    text = ".".join(map(str, version))
    wanted = ".".join(map(str, MIN_PYTHON))
    if version >= MIN_PYTHON:
        return HostCheck("Python", "ok", text)
    return HostCheck("Python", "missing", text, f"install Python {wanted} or newer")


def _engine(environ: Mapping[str, str]) -> tuple[Mapping[str, object], list[HostCheck]]:
    """What the engine says of itself (empty without one), and the checks on it and buildx."""
    try:
        client = connect.open_client(environ)
    except EngineError as error:
        return {}, [HostCheck("engine", "missing", error.message, error.hint), _buildx(environ)]
    try:
        info = client.info()
        connect.check_version(client)
        found = f"Docker {info.get('ServerVersion')}, {info.get('Architecture')}"
        engine = HostCheck("engine", "ok", found)
    except EngineError as error:
        engine = HostCheck("engine", "missing", error.message, error.hint)
    except connect.SDK_ERRORS as error:
        return {}, [HostCheck("engine", "missing", connect.reason(error)), _buildx(environ)]
    finally:
        client.close()
    return info, [engine, _buildx(environ)]


def _buildx(environ: Mapping[str, str]) -> HostCheck:
    try:
        connect.check_buildx(environ)
    except NoBuildx as error:
        return HostCheck("buildx", "missing", error.message, error.hint)
    words = ["docker", "buildx", "version"]
    said = process.capture(words, env=environ, check=False).stdout.split()
    return HostCheck("buildx", "ok", said[1] if len(said) > 1 else "version not told")


def mmdebstrap_check(which: Callable[[str], str | None] = shutil.which) -> HostCheck:
    """The maker of base images where the registry cannot be reached."""
    found = which("mmdebstrap")
    if found:
        return HostCheck("mmdebstrap", "ok", found)
    return HostCheck(
        "mmdebstrap", "warning", "needed where Docker Hub cannot be reached", connect.INSTALL
    )


def spaces(environ: Mapping[str, str], info: Mapping[str, object]) -> list[Space]:
    """The places that fill up. ``info`` is what the engine says of itself, or empty."""
    root = Path(str(info.get("DockerRootDir", "/var/lib/docker")))
    return [
        Space("disk, engine", root, *ENGINE_SPACE),
        Space("disk, models", paths.store_root(environ), *FILE_SPACE),
        Space("disk, dist", ROOT / "dist", *FILE_SPACE),
    ]


def space_check(space: Space, free_bytes: Callable[[Path], int] = files.free_bytes) -> HostCheck:
    """Free space there, or in the nearest folder above it that exists."""
    try:
        free = free_bytes(space.place)
    except OSError as error:
        return HostCheck(space.name, "warning", f"{space.place}: cannot be read ({error.strerror})")
    detail = f"{free / GB:,.1f} GB free at {space.place}"
    if free >= space.enough:
        return HostCheck(space.name, "ok", detail)
    remedy = f"free some space: {space.enough / GB:,.0f} GB are comfortable"
    return HostCheck(space.name, "warning" if free >= space.least else "missing", detail, remedy)


def memory_check(meminfo: Path = Path("/proc/meminfo")) -> HostCheck:
    """Memory that programs can still get."""
    for line in meminfo.read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            free = int(value.split()[0]) * 1024
            if free >= MIN_MEMORY:
                return HostCheck("memory", "ok", f"{free / GB:,.1f} GB available")
            detail = f"{free / GB:,.1f} GB available, {MIN_MEMORY / GB:,.0f} GB wanted"
            return HostCheck("memory", "warning", detail, "close other programs, or add swap")
    return HostCheck("memory", "warning", "not told by the kernel")


def cgroup_version(root: Path = CGROUP) -> int:
    """2 where the unified hierarchy is mounted, else 1."""
    return 2 if (root / "cgroup.controllers").exists() else 1


def fuse_check(device: Path = Path("/dev/fuse")) -> HostCheck:
    """Without FUSE an AppImage still runs, from a copy that it extracts once."""
    if device.exists():
        return HostCheck("FUSE", "ok", str(device))
    return HostCheck("FUSE", "warning", f"no {device}: AppImages extract", "sudo modprobe fuse")


def emulation_checks(target: Target, entries: Path = binfmt.BINFMT) -> list[HostCheck]:
    """Whether ``target``'s programs run here, plain ones and AppImages."""
    name = f"binfmt {target.arch}"
    checks = []
    for suffix, what, runs in (
        ("", "programs", binfmt.runs(target, entries)),
        (" AppImage", "AppImages", binfmt.runs_appimages(target, entries)),
    ):
        said = f"{what} run under QEMU" if runs else f"{target.arch} {what} cannot run here"
        state: State = "ok" if runs else "warning"
        checks.append(HostCheck(name + suffix, state, said, "" if runs else connect.INSTALL))
    return checks


@dataclass(frozen=True, slots=True)
class Request:
    """What `nox -s host` was asked for; ``room`` in bytes, 0 for none."""

    install: bool = False
    room: int = 0


def session(request: Request) -> None:
    """`nox -s host`: the table, after installing and making room where that was asked for."""
    if request.room:
        ci_disk.make_room(request.room)
    if request.install:
        prepare(install=True)
        binfmt_install.prepare_all(list(catalog.targets().values()))
    show()


def request(words: Sequence[str]) -> Request:
    """What `nox -s host` may change."""
    parser = arguments.parser("host")
    parser.add_argument("--install", action="store_true", help="install what is missing")
    parser.add_argument(
        "--room",
        type=int,
        default=0,
        metavar="GB",
        help="have so much disk free: on GitHub's machines by deleting toolchains",
    )
    given = parser.read(words)
    if given.room < 0:
        raise UsageError("--room must be 0 or more")
    return Request(given.install, given.room * GB)
