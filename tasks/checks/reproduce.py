"""Proves that a commit has one outcome: builds it twice, as differently as can be, and compares.

Two copies of the commit in two folders, one after the other; the second with another user, where
this one may become another, and with another umask, time zone and locale. Neither BuildKit's cache
nor a compiler's is used. What both builds share is the base image, the downloaded packages, which
are named by digest or version, and llama.cpp unless it is asked for.
"""

from __future__ import annotations

import re
import shutil
import sys
import sysconfig
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tasks import catalog
from tasks.base import arguments, console, process
from tasks.base.errors import CommandFailed, NotReproducible
from tasks.base.paths import BUILD, ROOT
from tasks.build.parts import Builder
from tasks.catalog import Bundle
from tasks.checks import diffoscope
from tasks.engine.engine import BuildOptions, Engine
from tasks.fetch import ensure
from tasks.fetch.model_store import StoredModel

NOBODY = 65534  # a user and a group that every Linux has
SOCKET = Path("/var/run/docker.sock")
NEEDS = "import docker, nox, rich"  # what a build's Python must be able to
_STAGE = re.compile(r"==> (.*)")
_TAKEN = re.compile(r" +skipped (.*?): |.*\[(.*)\] unchanged, taken from the build cache")


@dataclass(frozen=True, slots=True)
class Request:
    """What `nox -s reproduce` was asked for."""

    model: str = catalog.QUICKSTART
    impls: tuple[str, ...] = catalog.IMPLEMENTATIONS
    archs: tuple[str, ...] = field(default_factory=lambda: tuple(catalog.targets()))
    all_stages: bool = False  # llama.cpp too: 10 minutes for each architecture and build


@dataclass(frozen=True, slots=True)
class Setting:
    """What differs between the two builds, beside the time."""

    folder: str
    umask: str
    env: Mapping[str, str]
    user: int | None = None  # None is the one who asks
    python: tuple[str, str] = (sys.executable, "")  # an interpreter that the user may run, its path

    def command(self, *words: str | Path) -> list[str]:
        """``words`` as this setting's user and umask."""
        become: list[str] = []
        if self.user is not None:
            groups = f"--groups={SOCKET.stat().st_gid}" if SOCKET.exists() else "--clear-groups"
            become = ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", groups]
        umask = ["sh", "-c", 'umask "$1"; shift; exec "$@"', "sh", self.umask]
        return [*become, *umask, *map(str, words)]


FIRST = Setting("one", "022", {"TZ": "UTC", "LC_ALL": "C.UTF-8"})
SECOND = Setting("another, with a longer name", "077", {"TZ": "Asia/Kathmandu", "LC_ALL": "C"})


@dataclass(frozen=True, slots=True)
class Build:
    """What one of the two did."""

    dist: Path
    started: str  # UTC
    stages: tuple[str, ...]  # that were run
    taken: tuple[str, ...]  # stages and steps whose earlier result was taken over

    def did(self, name: str) -> str:
        """What became of one stage."""
        return "run" if name in self.stages else "taken over" if name in self.taken else ""


def run(request: Request) -> None:
    """Build twice, compare, and print what was done and what came of it.

    Raises:
        NotReproducible: two AppImages differ; what differs in them is printed before.
        TaskError: of a build.
    """
    model = catalog.model(request.model)
    bundles = [
        Bundle(impl, model, catalog.target(arch))
        for arch in request.archs
        for impl in request.impls
    ]
    with (
        Engine.connect() as engine,
        tempfile.TemporaryDirectory(prefix="tea-reproduce-") as name,
    ):
        work = Path(name)
        work.chmod(0o755)
        archive = _archive(work)
        stored = ensure.ensure(model)
        builds = []
        for setting in (FIRST, _as_another_user(SECOND)):
            folder = work / setting.folder
            _unpack(archive, folder, setting)
            if not request.all_stages:
                _take_llama(folder, request.archs, engine)
            _lend(stored, folder)
            builds.append(_build(folder, setting, request))
        _show(builds)
        _compare(bundles, builds, engine)


def _archive(work: Path) -> Path:
    """The commit's files, as git has them."""
    commit = process.capture(["git", "rev-parse", "HEAD"], cwd=ROOT).stdout.strip()
    console.note(f"commit {commit}")
    if process.capture(["git", "status", "--porcelain"], cwd=ROOT).stdout.strip():
        console.warn("what is not committed is left out")
    out = work / "commit.tar"
    process.run(["git", "archive", "--output", out, commit], cwd=ROOT, quiet=True)
    out.chmod(0o644)
    return out


def _as_another_user(setting: Setting) -> Setting:
    """``setting`` with another user; as it is, and said so, where that cannot be."""
    packages = sysconfig.get_path("purelib")
    system = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    for python in ((sys.executable, ""), (system, packages)):
        other = replace(setting, user=NOBODY, python=python)
        words = other.command(python[0], "-c", NEEDS)
        done = process.capture(words, env={"PYTHONPATH": python[1]}, cwd=Path("/"), check=False)
        if done.returncode == 0:
            return other
    console.warn("both builds are one user's: this one cannot become another, or lend its Python")
    return setting


def _unpack(archive: Path, folder: Path, setting: Setting) -> None:
    """Make ``folder`` as a fresh checkout of the setting's user: their files, umask and time."""
    folder.mkdir()
    if setting.user is not None:
        shutil.chown(folder, setting.user, setting.user)
    words = ["tar", "--extract", "--touch", "--no-same-owner", "--no-same-permissions"]
    words += ["--directory", str(folder), "--file", str(archive)]
    process.run(setting.command(*words), quiet=True)


def _take_llama(folder: Path, archs: tuple[str, ...], engine: Engine) -> None:
    """Give ``folder`` the llama.cpp that this one has, so that it is not compiled there."""
    for arch in archs:
        llama = Builder.on(engine, catalog.target(arch), BuildOptions()).llama()
        copy = folder / BUILD.relative_to(ROOT) / llama.name
        shutil.copytree(llama, copy, symlinks=True)
        stamp = llama.with_name(f".{llama.name}.stamp")
        shutil.copy2(stamp, copy.with_name(stamp.name))


def _lend(stored: StoredModel, folder: Path) -> None:
    """Give ``folder`` a model store with the one model."""
    store = folder / "cache/models" / stored.sha256
    store.mkdir(parents=True)
    for path in (stored.path, stored.path.with_name("record.json")):
        shutil.copy2(path, store)


def _build(folder: Path, setting: Setting, request: Request) -> Build:
    """Run `nox -s build` in ``folder``; what it says is shown."""
    python, packages = setting.python
    words: list[str | Path] = [python, "-m", "nox", "-s", "build", "--", "--no-cache"]
    words += ["--model", request.model, "--offline"]
    for arch in request.archs:
        words += ["--arch", arch]
    if len(request.impls) == 1:
        words += ["--impl", request.impls[0]]
    env = {
        **setting.env,
        "HOME": str(folder / "home"),
        "TEA_BUNDLES_CACHE": str(folder / "cache"),
        "NOX_SCRIPT_MODE": "none",
        "PYTHONPATH": packages,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    (folder / "home").mkdir()
    if setting.user is not None:
        process.run(["chown", "-R", f"{setting.user}:{setting.user}", folder], quiet=True)
    lines: list[str] = []

    def show(line: str) -> None:
        lines.append(line)
        console.note(line)

    started = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    with console.stage(f"Build in {folder.name!r}, umask {setting.umask}, {_who(setting)}"):
        process.run(setting.command(*words), cwd=folder, env=env, on_line=show)
    return Build(folder / "dist", started, *what_was_done(lines))


def _who(setting: Setting) -> str:
    return "the same user" if setting.user is None else f"user {setting.user}"


def what_was_done(lines: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The stages that a build says it ran, and the stages and steps it says it took over."""
    stages, taken = [], []
    for line in lines:
        if found := _STAGE.match(line):
            stages.append(found[1])
        elif found := _TAKEN.match(line):
            taken.append(found[1] or found[2])
    return tuple(stages), tuple(taken)


def _show(builds: list[Build]) -> None:
    """Print what each build did anew, and what it took over."""
    names = dict.fromkeys(name for build in builds for name in (*build.stages, *build.taken))
    rows = [(name, *(build.did(name) for build in builds)) for name in names]
    columns = ("stage", *(f"begun {build.started} UTC" for build in builds))
    console.table("What the two builds did", columns, rows)


def _compare(bundles: list[Bundle], builds: list[Build], engine: Engine) -> None:
    """Print the table of results; raise ``NotReproducible`` when a pair differs."""
    rows, different = [], []
    for bundle in bundles:
        name = bundle.file_name(catalog.version())
        one, two = (build.dist / name for build in builds)
        found = diffoscope.between(one, two, engine)
        rows.append((name, found.digests[0], "identical" if found.same else "DIFFERENT"))
        if not found.same:
            different.append(name)
            console.out.print(found.report, markup=False)
        elif found.report:
            raise CommandFailed(f"{name}: identical, but diffoscope reports", returncode=1)
    console.table("Two builds", ("AppImage", "sha256", ""), rows)
    if different:
        raise NotReproducible(
            f"{len(different)} of {len(bundles)} bundles differ between two builds: "
            f"{', '.join(different)}",
            hint="what differs in them is shown above",
        )


def request(words: Sequence[str]) -> Request:
    """What `nox -s reproduce` is to build twice.

    Raises:
        UnknownName: a model, an architecture or an implementation that there is not.
    """
    parser = arguments.parser("reproduce")
    parser.add_argument("--model", default=catalog.QUICKSTART, help="id of a model")
    parser.add_argument("--impl", help="python or rust (default: both)")
    parser.add_argument("--arch", action="append", default=[], help="x86_64 or aarch64")
    parser.add_argument("--all-stages", action="store_true", help="compile llama.cpp too")
    given = parser.read(words)
    archs = tuple(catalog.target(arch).arch for arch in given.arch or catalog.targets())
    return Request(
        catalog.model(given.model).id, catalog.implementations(given.impl), archs, given.all_stages
    )
