"""The artefacts of a release as they lie in dist/: found, held to their records, and summed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks import catalog
from tasks.base import console, process
from tasks.base.errors import ReleaseError
from tasks.base.files import disk_errors, sha256_of, write_text
from tasks.build import pack, updates

SUMS = "SHA256SUMS"
MOST_ASSETS = 1000  # of one release on GitHub
_AGAIN = "build it again: a bundle and its record are written together"


@dataclass(frozen=True, slots=True)
class Artefact:
    """A finished AppImage with its record. ``size`` in bytes."""

    path: Path
    sha256: str
    size: int
    record: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def impl(self) -> str:
        """The implementation of the program in it."""
        return str(self.record["implementation"])

    @property
    def arch(self) -> str:
        """The architecture that it is for."""
        return str(self.record["architecture"])

    @property
    def model(self) -> Mapping[str, Any] | None:
        """What the record says of its model; None for a bundle without one."""
        found: Mapping[str, Any] | None = self.record["model"]
        return found

    def beside(self, suffix: str) -> Path:
        """The file that belongs to it, such as its .cdx.json."""
        return self.path.with_name(f"{self.name}{suffix}")


def find(dist: Path) -> list[Artefact]:
    """All AppImages of this version in ``dist``, by name; those of others are told and left.

    Raises:
        ReleaseError: none is there, or one without the record that it was built with.
    """
    paths = sorted(dist.glob("*.AppImage"))
    ours = [path for path in paths if _version_of(path) == catalog.version()]
    for path in paths:
        if path not in ours:
            console.note(f"{path.name}: not of version {catalog.version()}, left out")
    if not ours:
        raise ReleaseError(
            f"{dist}: no AppImage of version {catalog.version()}",
            hint="build some first: nox -s release -- --all",
        )
    return [_artefact(path) for path in ours]


def _version_of(path: Path) -> str | None:
    archs = "|".join(catalog.targets())
    found = re.fullmatch(rf"tea-[a-z]+-llm-.+-(\d+\.\d+\.\d+\w*)-(?:{archs})\.AppImage", path.name)
    return found[1] if found else None


def _artefact(path: Path) -> Artefact:
    record = path.with_suffix(".json")
    try:
        facts = json.loads(record.read_text(encoding="utf-8"))
        expected = (facts["file"], facts["size"], facts["content"])
        artefact = Artefact(path, sha256_of(path), path.stat().st_size, facts)
        _ = (artefact.impl, artefact.arch, artefact.model, facts["inputs"], facts["base_image"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReleaseError(f"{record}: no readable record ({error})", hint=_AGAIN) from error
    if expected != (path.name, artefact.size, pack.read(path).digest):
        raise ReleaseError(f"{path.name}: not the file that its record describes", hint=_AGAIN)
    return artefact


def write_sums(dist: Path, files: Iterable[Path]) -> Path:
    """Write SHA256SUMS over ``files`` of ``dist``, by name, and let sha256sum check it.

    It is written last of all and lists what is to be published: whoever has it has all of it.

    Raises:
        ReleaseError: a file that no release can hold, or too many, or one that changed meanwhile.
    """
    paths = sorted(set(files), key=lambda path: path.name)
    if len(paths) >= MOST_ASSETS:
        raise ReleaseError(f"{len(paths):,} files; a release holds {MOST_ASSETS:,} with {SUMS}")
    for path in paths:
        if (size := path.stat().st_size) >= updates.ASSET_LIMIT:
            raise ReleaseError(
                f"{path.name}: {size:,} bytes; an asset has fewer than {updates.ASSET_LIMIT:,}"
            )
    out = dist / SUMS
    lines = [f"{sha256_of(path)}  {path.name}\n" for path in paths]
    with disk_errors(dist):
        write_text(out, "".join(lines))
    verify(out)
    return out


def verify(sums: Path) -> None:
    """Have sha256sum check every file of ``sums``, as whoever downloads them does.

    Raises:
        ReleaseError: a file is not there, or not the one that is listed.
    """
    argv = ["sha256sum", "--check", "--strict", "--quiet", sums.name]
    said = process.capture(argv, cwd=sums.parent, check=False)
    if said.returncode:
        sums.unlink(missing_ok=True)
        first = (said.stdout or said.stderr).splitlines()[0]
        raise ReleaseError(
            f"{sums.name}: does not fit the files: {first}",
            hint="something changed them meanwhile; run again: nox -s release",
        )
