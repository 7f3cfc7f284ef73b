"""ELF files, read with the distrust that a file from anywhere deserves."""

from __future__ import annotations

import errno
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

# pyelftools believes the offsets, sizes and names in a file; these are what a lie ends in.
_LIES = (
    ELFError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    TypeError,
    ValueError,
)


class NotElf(Exception):
    """Says why a file is not ELF, or is damaged."""


@contextmanager
def reading(path: Path) -> Iterator[ELFFile]:
    """The ELF file ``path``, for as long as the block takes.

    Raises:
        OSError: it is not there, not a regular file, or not readable.
        NotElf: it is not ELF, or what the block read in it cannot be true.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    with path.open("rb") as file:
        try:
            yield ELFFile(file)
        except _LIES as error:
            raise NotElf(str(error) or type(error).__name__) from error


def sections(elf: ELFFile) -> dict[str, tuple[int, int]]:
    """Offset and size of each section by name, in bytes."""
    return {part.name: (part["sh_offset"], part["sh_size"]) for part in elf.iter_sections()}


def end(elf: ELFFile) -> int:
    """Where the file ends by its own account, in bytes: the section table comes last."""
    return int(elf["e_shoff"] + elf["e_shentsize"] * elf["e_shnum"])
