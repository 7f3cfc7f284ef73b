"""What differs between two AppImages, as diffoscope tells it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tasks import images
from tasks.base import files
from tasks.base.errors import CommandFailed
from tasks.build import pack
from tasks.engine.engine import Engine, Mount

TIMEOUT = 1800.0  # seconds: two bundles of a gigabyte, unpacked and compared
DIFFERENT = 1  # exit code of diff and diffoscope
LONGEST = 100_000  # bytes of a report

# Arguments: the offsets of the two squashfs. First which files differ, then how: diffoscope sees no
# more of an AppImage than an ELF file.
_UNPACK = f"""\
set -eu
for side in a b; do
    mkdir -p "/work/$side"
    head -c "$1" "/in/$side" > "/work/$side/runtime"
    unsquashfs -quiet -no-progress -offset "$1" -dest "/work/$side/AppDir" "/in/$side" >/dev/null
    shift
done
cd /work
diff --recursive --brief --no-dereference a b || [ $? = 1 ]  # 2 is trouble
exec diffoscope --no-progress --max-text-report-size {LONGEST} --text - a b
"""


@dataclass(frozen=True, slots=True)
class Difference:
    """Two files' digests, and what diffoscope says: nothing where they are the same."""

    digests: tuple[str, str]
    report: str

    @property
    def same(self) -> bool:
        """Whether every byte is."""
        return self.digests[0] == self.digests[1]


def between(one: Path, two: Path, engine: Engine) -> Difference:
    """Compare two AppImages, byte by byte, and where they differ file by file.

    Raises:
        AppImageError: one of them is none.
        CommandFailed: they could not be compared.
    """
    digests = (files.sha256_of(one), files.sha256_of(two))
    if digests[0] == digests[1]:
        argv = ["diffoscope", "--no-progress", "--text", "-", "/in/a", "/in/b"]
    else:
        offsets = [str(pack.read(path).offset) for path in (one, two)]
        argv = ["sh", "-c", _UNPACK, "sh", *offsets]
    done = engine.run(
        images.tools("diffoscope", engine),
        argv,
        mounts=[Mount(one, "/in/a", read_only=True), Mount(two, "/in/b", read_only=True)],
        timeout=TIMEOUT,
    )
    if done.exit_code not in (0, DIFFERENT):
        text = done.stderr.decode(errors="replace").strip()
        raise CommandFailed(
            f"{one.name}: could not be compared: {text}", returncode=done.exit_code, output=text
        )
    return Difference(digests, done.stdout.decode(errors="replace"))
