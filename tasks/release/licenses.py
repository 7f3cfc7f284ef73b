"""All licences and notices of a release in one archive, the same bytes for the same bundles."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from tasks import catalog
from tasks.base import files
from tasks.base.files import EPOCH
from tasks.base.paths import ROOT
from tasks.release import notes
from tasks.release.artefacts import Artefact
from tasks.release.contents import Contents
from tasks.release.web import WebPackage


def collect(
    bundles: Iterable[tuple[Artefact, Contents]], web: WebPackage | None = None
) -> dict[str, bytes]:
    """The texts by their names in the archive.

    LICENSE                     the project's own
    programs/IMPL-ARCH/…        of the programs and the runtime, Debian's copyright files too
    models/ID/…                 the terms that travel with each model
    """
    texts = {"LICENSE": (ROOT / "LICENSE").read_bytes()}
    for artefact, contents in bundles:
        for name, text in contents.notices.items():
            folder, _, file = name.rpartition("/")
            if folder == "model" and artefact.model is not None:
                texts[f"models/{artefact.model['id']}/{file}"] = text
            else:
                texts[f"programs/{artefact.impl}-{artefact.arch}/{name}"] = text
    for name, text in web.notices.items() if web else ():
        texts[f"web/{name}"] = text
    return texts


def write(dist: Path, texts: Mapping[str, bytes]) -> Path:
    """Write the archive of ``texts`` to ``dist``: sorted, one time stamp, no owner."""
    out = dist / notes.licenses_name()
    top = f"tea-licenses-{catalog.version()}"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz", format=tarfile.PAX_FORMAT) as archive:
        for name, text in sorted(texts.items()):
            entry = tarfile.TarInfo(f"{top}/{name}")
            entry.size, entry.mtime, entry.mode = len(text), EPOCH, 0o644
            archive.addfile(entry, io.BytesIO(text))
    with files.disk_errors(dist):
        files.write_bytes(out, packed.getvalue())
    return out
