"""Files that one asset of a release cannot hold: numbered parts, and a script that joins them."""

from __future__ import annotations

from pathlib import Path

from tasks.base import console, files
from tasks.build import updates
from tasks.catalog import DATA
from tasks.release import plan
from tasks.release.artefacts import Artefact

TEMPLATE = DATA / "join.sh"


def split(
    artefact: Artefact, limit: int = updates.ASSET_LIMIT, part_size: int = plan.PART_SIZE
) -> list[Path]:
    """Write the parts of ``artefact`` and their joiner beside it; nothing for one that fits.

    The parts are ``NAME.part01`` and so on; joined in that order they are the file. Parts that an
    earlier, larger file of that name left are removed. ``limit`` and ``part_size`` in bytes.

    Raises:
        DiskFull, NotWritable: beside the file; no part is incomplete then.
    """
    count = plan.parts_of(artefact.size, limit, part_size)
    parts = [artefact.beside(f".part{number:02}") for number in range(1, count + 1)]
    joiner = artefact.beside(".join.sh")
    keep = {*parts, joiner} if count > 1 else set()
    for old in (joiner, *artefact.path.parent.glob(f"{artefact.name}.part*")):
        if old not in keep:
            old.unlink(missing_ok=True)
    if count == 1:
        return []
    folder = artefact.path.parent
    with files.disk_errors(folder, artefact.size), artefact.path.open("rb") as file:
        there = sum(part.stat().st_size for part in parts if part.exists())
        files.require_space(folder, artefact.size, freed=there)
        for part in parts:
            left = min(part_size, artefact.size - file.tell())
            with files.replacing(part) as beside, beside.open("wb") as target:
                while left:
                    left -= target.write(file.read(min(files.BLOCK, left)))
        _write_joiner(artefact, parts, joiner)
    console.note(f"{artefact.name}: {count} parts, joined by {joiner.name}")
    return [*parts, joiner]


def _write_joiner(artefact: Artefact, parts: list[Path], joiner: Path) -> None:
    text = TEMPLATE.read_text(encoding="utf-8")
    for mark, value in (
        ("@FILE@", artefact.name),
        ("@SHA256@", artefact.sha256),
        ("@PARTS@", " ".join(part.suffix.lstrip(".") for part in parts)),
    ):
        text = text.replace(mark, value)
    files.write_text(joiner, text)
    joiner.chmod(0o755)
