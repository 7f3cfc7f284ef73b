"""Updates that transfer only what changed: where a bundle is published, and the .zsync beside it.

A program that updates AppImages reads the update information in the file, fetches the newest
release's .zsync, and takes from the old file every block that the new one still has.

Sources: AppImage specification, "Update information"; zsyncmake(1).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from tasks.base import build_step, console, files, process
from tasks.base.build_step import BuildStep
from tasks.base.errors import MissingProgram, UsageError
from tasks.base.paths import ROOT
from tasks.build.parts import Builder
from tasks.catalog import Bundle
from tasks.engine.engine import BuildOptions, Engine

ASSET_LIMIT = 2_147_483_648  # bytes; a file of a release on GitHub must have fewer
BLOCK = (
    16384  # bytes: the unit in which old and new are told apart; smaller ones make a larger .zsync
)
_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
_REMOTE = re.compile(r"(?:https://|ssh://git@|git@)github\.com[/:](.+?)(?:\.git)?/?")
_MTIME = re.compile(rb"\nMTime: .*")


def known_repository(name: str) -> str:
    """``name``, or ``UsageError`` where it is not OWNER/NAME."""
    if not _REPOSITORY.fullmatch(name):
        raise UsageError(f"repository {name!r}: expected OWNER/NAME, as GitHub writes it")
    return name


def repository(environ: Mapping[str, str] = os.environ) -> str | None:
    """The GitHub repository whose releases hold the bundles, or None where nothing tells it.

    GITHUB_REPOSITORY, which GitHub's own runners set; else the remote ``origin`` of this checkout.
    """
    named = environ.get("GITHUB_REPOSITORY")
    return known_repository(named) if named else _origin(ROOT)


@cache
def _origin(root: Path) -> str | None:
    if not (root / ".git").exists():  # git would go on looking in the folders above
        return None
    try:
        said = process.capture(["git", "remote", "get-url", "origin"], cwd=root, check=False)
    except MissingProgram:
        return None
    found = _REMOTE.fullmatch(said.stdout.strip())
    return found[1] if found and _REPOSITORY.fullmatch(found[1]) else None


def update_information(bundle: Bundle, repository: str | None, size: int = 0) -> str:
    """What is embedded in ``bundle``: where its next version will be.

    "" without a repository, and for a bundle of ``size`` bytes that must be published in parts:
    no program updates a file from those.
    """
    if repository is None or size >= ASSET_LIMIT:
        return ""
    place = repository.replace("/", "|")
    return f"gh-releases-zsync|{place}|latest|{bundle.file_name('*')}.zsync"


def make_zsync(appimage: Path, engine: Engine, options: BuildOptions | None = None) -> Path:
    """Write what an update to ``appimage`` needs to ``appimage``.zsync, and return that.

    It names the AppImage by a relative address, so the two belong into one folder, and has the
    same bytes for the same AppImage. ``appimage`` must not change afterwards.

    Raises:
        CommandFailed: zsyncmake stopped.
        DiskFull, NotWritable: beside ``appimage``.
    """
    builder = Builder.on(engine, engine.target, options or BuildOptions())
    zsyncmake = builder.tool("zsyncmake", "zsync")
    out = appimage.with_name(f"{appimage.name}.zsync")
    inputs = {
        "appimage": files.sha256_of(appimage),
        "maker": build_step.digest_of_files(
            [ROOT / "tasks/build/updates.py", Path(zsyncmake[-1])], Path("/")
        ),
    }
    if BuildStep(out.name, out, inputs).run(lambda: _make(appimage, out, zsyncmake)):
        console.note(f"{out.name}: {out.stat().st_size / 1e3:,.0f} kB")
    return out


def _make(appimage: Path, out: Path, zsyncmake: Sequence[str]) -> None:
    # -e: the very file, whatever its content looks like to zsyncmake.
    argv = [*zsyncmake, "-e", "-b", str(BLOCK), "-f", appimage.name, "-u", appimage.name]
    with files.disk_errors(out.parent), files.replacing(out) as part:
        process.run([*argv, "-o", part, appimage], quiet=True)
        head, blank, sums = part.read_bytes().partition(b"\n\n")
        # When the AppImage was built says nothing of its content.
        part.write_bytes(_MTIME.sub(b"", head) + blank + sums)
