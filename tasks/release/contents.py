"""What is in a finished AppImage, read out of its image: packages, notices, its own description."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.base import process
from tasks.base.errors import CommandFailed, ReleaseError
from tasks.build import appdir, pack
from tasks.release.artefacts import Artefact

SHARE = "usr/share/tea"
LICENSES = "usr/share/licenses"
LISTS = {  # by the kind of package, as package URLs call it; which ones there are, the program says
    "python": {"deb": "debian-packages.txt", "pypi": "python-packages.txt"},
    "rust": {"deb": "debian-packages.txt", "cargo": "rust-crates.txt"},
}
_WANTED = (SHARE, LICENSES, *(f"{appdir.LAYER}/{name}"
           for name in ("bundle.json", "licenses", "notices")))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Package:
    """Something that others made. ``kind`` is a package URL's type."""

    kind: str
    name: str
    version: str
    license: str = ""  # SPDX or the words of its metadata; a deb's are in its copyright file
    source: str = ""  # a deb's source package and its version
    part: str = "program"  # or runtime

    @property
    def notice(self) -> str:
        """Where a deb's copyright file is, below usr/share/licenses."""
        return f"{'runtime/' if self.part == 'runtime' else ''}debian-{self.name}"


@dataclass(frozen=True, slots=True)
class Contents:
    """What was read out of one AppImage."""

    packages: tuple[Package, ...]
    notices: Mapping[str, bytes]  # by their paths below usr/share/licenses
    bundle: Mapping[str, Any]  # bundle.json


def read(artefact: Artefact, unsquashfs: Sequence[str]) -> Contents:
    """Unpack what describes the bundle, and read it. ``unsquashfs`` is the command that runs it.

    Raises:
        ReleaseError: the image does not say what is in it.
    """
    with _unpacked(artefact, unsquashfs) as root:
        try:
            packages = [
                package
                for kind, name in LISTS[artefact.impl].items()
                for package in parse(kind, (root / SHARE / name).read_text(encoding="utf-8"))
            ]
            runtime = root / appdir.LAYER / "notices/packages.txt"
            if runtime.exists():  # a runtime of others' making says nothing
                packages += parse("deb", runtime.read_text(encoding="utf-8"), "runtime")
            bundle = json.loads((root / appdir.LAYER / "bundle.json").read_text(encoding="utf-8"))
            notices = dict(_notices(root))
        except (OSError, ValueError, KeyError) as error:
            raise ReleaseError(
                f"{artefact.name}: does not say what is in it ({error})", hint="build it again"
            ) from error
    for package in packages:
        if package.kind == "deb" and package.notice not in notices:
            raise ReleaseError(
                f"{artefact.name}: has no copyright file of {package.name}",
                hint="name the package that holds it in the debs.txt of the program",
            )
    return Contents(tuple(packages), notices, bundle)


def parse(kind: str, text: str, part: str = "program") -> Iterator[Package]:
    """The packages of a list: name, version, and for a deb its source, for others a licence.

    Raises:
        ValueError: a line is not of that form.
    """
    for line in text.splitlines():
        name, version, *rest = line.split(" ", 2)
        last = rest[0] if rest else ""
        if kind == "deb":
            yield Package(kind, name, version, source=last, part=part)
        else:
            # Older crates write a choice of licences with a slash.
            yield Package(kind, name, version, last.replace("/", " OR "), part=part)


def _notices(root: Path) -> Iterator[tuple[str, bytes]]:
    """The texts by the paths that they have in the mounted image."""
    for path in sorted((root / LICENSES).iterdir()):
        if not path.is_symlink():
            yield path.name, path.read_bytes()
    for link, folder in (("model", "licenses"), ("runtime", "notices")):
        for path in sorted((root / appdir.LAYER / folder).iterdir()):
            yield f"{link}/{path.name}", path.read_bytes()


@contextmanager
def _unpacked(artefact: Artefact, unsquashfs: Sequence[str]) -> Iterator[Path]:
    image = pack.read(artefact.path)
    with tempfile.TemporaryDirectory(prefix="tea-release-") as folder:
        root = Path(folder) / "root"
        argv = [*unsquashfs, "-quiet", "-no-progress", "-no-xattrs", "-offset", str(image.offset)]
        try:
            process.capture([*argv, "-dest", root, artefact.path, *_WANTED])
        except CommandFailed as error:
            raise ReleaseError(
                f"{artefact.name}: cannot be unpacked: {error.message}", hint="build it again"
            ) from error
        yield root
