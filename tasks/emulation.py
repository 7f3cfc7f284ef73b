"""Whether this machine can run another architecture's programs (binfmt_misc and QEMU)."""

from __future__ import annotations

from pathlib import Path

from tasks.catalog import Target, native_target
from tasks.errors import HostError

BINFMT = Path("/proc/sys/fs/binfmt_misc")


def runs(target: Target, binfmt: Path = BINFMT) -> bool:
    """Whether the kernel hands ``target``'s programs to an emulator, in containers too."""
    if target == native_target():
        return True
    return _fixed(binfmt / f"qemu-{target.arch}")


def runs_appimages(target: Target, binfmt: Path = BINFMT) -> bool:
    """Whether that is so for AppImages as well, which have marks in the bytes 8 to 10.

    The usual entry wants those bytes to be zero, so a second one must ignore them.
    """
    if target == native_target():
        return True
    return any(
        _fixed(entry) and _ignores_marks(entry) for entry in sorted(binfmt.glob(f"*{target.arch}*"))
    )


def require(target: Target) -> None:
    """Raise ``HostError`` where ``target``'s programs cannot be run."""
    if not runs(target):
        raise HostError(
            f"this machine cannot run {target.arch} programs: binfmt_misc has no entry "
            f"qemu-{target.arch} with the flag F",
            hint="nox -s host says how to set it up",
        )


def _fields(entry: Path) -> dict[str, str]:
    try:
        lines = entry.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return {}
    return {name: value for name, _, value in (line.partition(" ") for line in lines)}


def _fixed(entry: Path) -> bool:
    """Enabled, and its interpreter held open, so that it works where its file is not."""
    fields = _fields(entry)
    return "enabled" in fields and "F" in fields.get("flags:", "")


def _ignores_marks(entry: Path) -> bool:
    mask = _fields(entry).get("mask", "")
    return mask[16:22] == "000000"  # two digits a byte
