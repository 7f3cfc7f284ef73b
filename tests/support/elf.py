"""Small ELF files made byte by byte, so that a test needs no compiler and no host's programs."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

X86_64, AARCH64, RISCV = 62, 183, 243
_HEADER, _SEGMENT, _SECTION = "<16sHHIQQQIHHHHHH", "<IIQQQQQQ", "<IIQQQQIIQQ"
_PT_GNU_STACK = 0x6474E551
_NEEDED, _RPATH, _RUNPATH = 1, 15, 29
_PROGBITS, _STRTAB, _DYNAMIC = 1, 3, 6


@dataclass(frozen=True)
class Elf:
    """A 64-bit little-endian shared object; ``bytes(Elf(...))`` is the file.

    ``stack``: flags of PT_GNU_STACK (1 is execute), None for no such segment. ``mark``: bytes at
    offset 8. ``sections``: further ones by name.
    """

    machine: int = X86_64
    needed: tuple[str, ...] = ()
    rpath: str = ""
    runpath: str = ""
    stack: int | None = 6
    mark: bytes = b""
    sections: Mapping[str, bytes] = field(default_factory=dict)

    def __bytes__(self) -> bytes:
        strings = _Strings()
        tags = [(_NEEDED, name) for name in self.needed]
        tags += [(_RPATH, self.rpath)] if self.rpath else []
        tags += [(_RUNPATH, self.runpath)] if self.runpath else []
        dynamic = b"".join(struct.pack("<qQ", tag, strings.at(text)) for tag, text in tags)
        parts = [
            (".dynstr", _STRTAB, 0, strings.table),
            (".dynamic", _DYNAMIC, 1, dynamic + bytes(16)),
            *((name, _PROGBITS, 0, content) for name, content in self.sections.items()),
        ]
        return self._file(parts)

    def _file(self, parts: list[tuple[str, int, int, bytes]]) -> bytes:
        names = _Strings()
        segments = b""
        if self.stack is not None:
            segments = struct.pack(_SEGMENT, _PT_GNU_STACK, self.stack, 0, 0, 0, 0, 0, 16)
        size = struct.calcsize(_HEADER)
        body, table = segments, bytes(struct.calcsize(_SECTION))
        places = [names.at(name) for name, *_ in parts] + [names.at(".shstrtab")]
        parts = [*parts, (".shstrtab", _STRTAB, 0, names.table)]
        for place, (_, kind, link, content) in zip(places, parts, strict=True):
            entry = 16 if kind == _DYNAMIC else 0
            table += struct.pack(
                _SECTION, place, kind, 0, 0, size + len(body), len(content), link, 0, 1, entry
            )
            body += content
        body += bytes(-len(body) % 8)
        ident = (b"\x7fELF\x02\x01\x01\x00" + self.mark).ljust(16, b"\0")
        header = struct.pack(
            _HEADER,
            ident,
            3,
            self.machine,
            1,
            0,
            size if segments else 0,
            size + len(body),
            0,
            size,
            struct.calcsize(_SEGMENT),
            len(segments) // struct.calcsize(_SEGMENT),
            struct.calcsize(_SECTION),
            len(parts) + 1,
            len(parts),
        )
        return header + body + table


class _Strings:
    """A string table that grows."""

    def __init__(self) -> None:
        self.table = b"\0"

    def at(self, text: str) -> int:
        """Where ``text`` is in the table, from now on."""
        place = len(self.table)
        self.table += text.encode() + b"\0"
        return place
