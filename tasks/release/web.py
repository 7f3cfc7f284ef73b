"""The package for browsers among the files of a release: what is in it, and where it came from."""

from __future__ import annotations

import base64
import json
import re
import tarfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.base import files
from tasks.base.errors import ReleaseError
from tasks.base.paths import ROOT
from tasks.release.plan import Web

FOLDER = ROOT / "web"
NPM_LOCK = FOLDER / "package-lock.json"
CRATES_LOCK = ROOT / "rust/Cargo.lock"
CRATE = "tea-wasm"
_NOTICE = re.compile(r"(.*/)?(LICEN[CS]E|COPYING|NOTICE)[^/]*|licenses/.+", re.IGNORECASE)
_NPM = "node_modules/"
# The package's name alone: a path of a module in it may follow.
_IMPORT = re.compile(r"""\b(?:from|import)\s*\(?\s*['"]((?:@[\w.-]+/)?[\w-][\w.-]*)[^'"]*['"]""")


@dataclass(frozen=True, slots=True)
class Dependency:
    """A package that the browser package is built from. ``digest`` in hexadecimal, or None."""

    kind: str  # npm or cargo
    name: str  # of npm with its scope
    version: str
    license: str
    algorithm: str
    digest: str | None


@dataclass(frozen=True, slots=True)
class WebPackage:
    """The finished package, and what was read out of it and of its locks."""

    plan: Web
    path: Path
    sha256: str
    dependencies: tuple[Dependency, ...]
    notices: Mapping[str, bytes]  # by their paths in the package

    def beside(self, suffix: str) -> Path:
        """The file that belongs to it, such as its .cdx.json."""
        return self.path.with_name(f"{self.path.name}{suffix}")


def find(dist: Path, planned: Web | None) -> WebPackage | None:
    """The package in ``dist``, or None where it has not been made.

    Raises:
        ReleaseError: the file is not what npm packs.
    """
    if planned is None or not (path := dist / planned.file).exists():
        return None
    dependencies = (*npm(NPM_LOCK, FOLDER / "ts"), *crates(CRATES_LOCK, CRATE))
    return WebPackage(planned, path, files.sha256_of(path), dependencies, _notices(path))


def _notices(path: Path) -> dict[str, bytes]:
    """Every licence and notice in the package."""
    found = {}
    try:
        with tarfile.open(path) as archive:
            for entry in archive:
                name = entry.name.partition("/")[2]  # npm packs everything below package/
                if entry.isfile() and _NOTICE.fullmatch(name):
                    file = archive.extractfile(entry)
                    assert file is not None  # as isfile says
                    found[name] = file.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ReleaseError(
            f"{path.name}: not a package ({error})", hint="make it again: nox -s web"
        ) from error
    return found


def npm(lock: Path, sources: Path) -> Iterator[Dependency]:
    """The packages that the modules below ``sources`` import, and what these need.

    They are bundled into the package's own files, so package.json names no dependencies.

    Raises:
        ReleaseError: the lock has no such package.
    """
    packages: Mapping[str, Mapping[str, Any]] = json.loads(lock.read_text("utf-8"))["packages"]
    waiting = [
        found[1]
        for module in sorted(sources.rglob("*.ts"))
        for found in _IMPORT.finditer(module.read_text(encoding="utf-8"))
    ]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if (place := _NPM + name) not in packages:
            raise ReleaseError(f"{lock.name}: does not have {name}, which a module imports")
        waiting += packages[place].get("dependencies", {})
    for name in sorted(seen):
        facts = packages[_NPM + name]
        kind, _, digest = str(facts.get("integrity", "")).partition("-")
        yield Dependency(
            kind="npm",
            name=name,
            version=str(facts["version"]),
            license=str(facts.get("license", "")),
            algorithm=kind.upper().replace("SHA", "SHA-"),
            digest=base64.b64decode(digest).hex() if digest else None,
        )


def crates(lock: Path, root: str) -> Iterator[Dependency]:
    """All crates of a Cargo.lock that ``root`` is built from, tools of its build among them."""
    rows = tomllib.loads(lock.read_text(encoding="utf-8"))["package"]
    waiting, seen = [root], set()
    while waiting:
        wanted = waiting.pop().split()  # a version stands beside a name that is there twice
        for row in _matching(rows, wanted):
            if (key := (row["name"], row["version"])) not in seen:
                seen.add(key)
                waiting += row.get("dependencies", [])
    digests = {(row["name"], row["version"]): row.get("checksum") for row in rows}
    for name, version in sorted(seen):
        if digest := digests[name, version]:  # the project's own have none
            yield Dependency("cargo", name, version, "", "SHA-256", digest)


def _matching(
    rows: Sequence[Mapping[str, Any]], wanted: Sequence[str]
) -> Iterator[Mapping[str, Any]]:
    for row in rows:
        if row["name"] == wanted[0] and (len(wanted) == 1 or row["version"] == wanted[1]):
            yield row
