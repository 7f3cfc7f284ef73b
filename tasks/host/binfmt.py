"""Whether this machine can run another architecture's programs (binfmt_misc and QEMU).

Only looks; ``emulation_install`` sets it up.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.enums import ENUM_E_MACHINE

from tasks.base import process
from tasks.base.errors import NoEmulation, QemuTooOld
from tasks.catalog import Target, native_target

BINFMT = Path("/proc/sys/fs/binfmt_misc")
APPIMAGE = b"AI\x02"  # at offset 8 of an AppImage's ELF header, elsewhere zeros
# The first that takes a program's own name from the kernel, as an entry with the flag P gives it.
OLDEST_QEMU = (6, 0)
REMEDY = "run: nox -s host -- --install; where that may not, docs/aarch64.md says how"

Version = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of binfmt_misc that goes by a file's first bytes."""

    name: str
    interpreter: Path
    flags: str
    offset: int
    magic: bytes
    mask: bytes

    @property
    def fixed(self) -> bool:
        """Whether the interpreter is held open, so that containers without it can use it."""
        return "F" in self.flags

    def takes(self, head: bytes) -> bool:
        """Whether the kernel gives a file that begins with ``head`` to this entry."""
        part = head[self.offset : self.offset + len(self.magic)]
        return len(part) == len(self.magic) and all(
            byte & mask == magic & mask
            for byte, magic, mask in zip(part, self.magic, self.mask, strict=True)
        )


def elf_head(target: Target, mark: bytes = b"") -> bytes:
    """The first 20 bytes of a ``target`` program, with ``mark`` at offset 8.

    Source: elf(5): identification, type (an executable, also a position-independent one in the
    entries' masks), machine.
    """
    ident = (b"\x7fELF\x02\x01\x01\x00" + mark).ljust(16, b"\0")
    machine: int = ENUM_E_MACHINE[target.elf]
    return ident + (2).to_bytes(2, "little") + machine.to_bytes(2, "little")


def entries(binfmt: Path = BINFMT) -> Iterator[Entry]:
    """The enabled entries that go by magic bytes."""
    for path in sorted(binfmt.glob("*")):
        entry = _read(path)
        if entry is not None:
            yield entry


def _read(path: Path) -> Entry | None:
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:  # `register` can only be written to
        return None
    fields = {name: value for name, _, value in (line.partition(" ") for line in lines)}
    if "enabled" not in fields or "magic" not in fields:
        return None
    magic = bytes.fromhex(fields["magic"])
    mask = bytes.fromhex(fields["mask"]) if "mask" in fields else b"\xff" * len(magic)
    offset = int(fields.get("offset", "0"))
    interpreter = Path(fields.get("interpreter", ""))
    return Entry(path.name, interpreter, fields.get("flags:", ""), offset, magic, mask)


def entry_for(target: Target, mark: bytes = b"", binfmt: Path = BINFMT) -> Entry | None:
    """An entry that runs ``target``'s programs, in containers too, or None."""
    head = elf_head(target, mark)
    return next((entry for entry in entries(binfmt) if entry.fixed and entry.takes(head)), None)


def runs(target: Target, binfmt: Path = BINFMT) -> bool:
    """Whether ``target``'s programs run here, in containers too."""
    return target == native_target() or entry_for(target, binfmt=binfmt) is not None


def runs_appimages(target: Target, binfmt: Path = BINFMT) -> bool:
    """Whether that is so for AppImages as well.

    The usual entry wants the bytes that mark one to be zero, so another one must ignore them.
    """
    return target == native_target() or entry_for(target, APPIMAGE, binfmt) is not None


def require(target: Target, *, appimages: bool = False, binfmt: Path = BINFMT) -> None:
    """Raise unless ``target``'s programs, and where asked its AppImages, can be run.

    Raises:
        NoEmulation: binfmt_misc has no entry that would.
        QemuTooOld: the entry's QEMU is older than ``OLDEST_QEMU``.
    """
    if target == native_target():
        return
    entry = entry_for(target, APPIMAGE if appimages else b"", binfmt)
    if entry is None:
        what = f"{target.arch} {'AppImages' if appimages else 'programs'}"
        raise NoEmulation(
            f"this machine cannot run {what}: binfmt_misc has no entry with the flag F that "
            "takes them",
            hint=REMEDY,
        )
    require_version(entry.interpreter, OLDEST_QEMU, f"to run {target.arch} programs")


def require_version(qemu: Path, oldest: Version, why: str) -> None:
    """Raise ``QemuTooOld`` when ``qemu`` tells an older version.

    An interpreter that was registered from inside a container is not there to be asked.
    """
    found = version(qemu)
    if found is not None and found < oldest:
        raise QemuTooOld(
            f"{qemu.name} is version {_text(found)}, {why} it must be {_text(oldest)} or newer",
            hint="install a newer qemu-user-static (Debian 12 has 7.2), then register it again: "
            "docs/aarch64.md",
        )


def version(qemu: Path) -> Version | None:
    """What ``qemu --version`` says, or None where it is not there or does not say."""
    if not qemu.is_file():
        return None
    said = process.capture([qemu, "--version"], check=False, timeout=30).stdout
    found = re.search(r"version (\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else None


def program(target: Target) -> Path | None:
    """QEMU for ``target`` as a static program that works in any container, or None."""
    found = shutil.which(f"qemu-{target.arch}-static")
    return Path(found).resolve() if found else None


def _text(number: Version) -> str:
    return ".".join(map(str, number))
