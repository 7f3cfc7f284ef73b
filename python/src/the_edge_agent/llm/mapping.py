"""The model's file as it is mapped into memory.

llama.cpp maps the whole file and keeps it so. Where it has copied the weights into an order of its
own, hardly any of these pages is looked at again: they are given back to the kernel, which has
them in its cache still. And where the file is cut or cannot be read while it is mapped, the kernel
sends SIGBUS to whoever looks at a page that is gone: that becomes an error line.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from the_edge_agent.spec import EXIT_MODEL

_SIGBUS = 7
_SA_SIGINFO, _SA_RESTART = 4, 0x10000000
_ADDRESS = 16  # of the fault, in siginfo_t
_LINE = re.compile(
    r"^([0-9a-f]+)-([0-9a-f]+) r--s [0-9a-f]+ [0-9a-f]+:[0-9a-f]+ (\d+) *(.*)$", re.MULTILINE
)
_GONE = (
    b"tea: the model's file cannot be read any more: it was changed while it was in use,"
    b" or its disk fails\n     nothing may write to it while tea runs; if it is damaged,"
    b" download it again\n"
)


class _SigAction(ctypes.Structure):
    """glibc's ``struct sigaction``."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_ulong * (1024 // (8 * ctypes.sizeof(ctypes.c_ulong)))),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


_watching: list[object] = []  # what C calls has to live as long as the process


class Mapping:
    """The mapped pages of some files."""

    def __init__(self, files: Iterable[int | Path]) -> None:
        """``files``: descriptors, or paths."""
        paths = [Path(f"/proc/self/fd/{file}") if isinstance(file, int) else file for file in files]
        # A file system in layers may say another inode to one than to the other.
        self._inodes = {path.stat().st_ino for path in paths}
        self._paths = {os.path.realpath(path) for path in paths}

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Yield the first address of each piece that is mapped, and the one after its last."""
        maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape")
        for start, end, inode, path in _LINE.findall(maps):
            if int(inode) in self._inodes or path in self._paths:
                yield int(start, 16), int(end, 16)

    def give_back(self) -> None:
        """Give the pages back to the kernel; those that are looked at again come back."""
        madvise = ctypes.CDLL(None).madvise
        madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        for start, end in self.ranges():
            madvise(start, end - start, mmap.MADV_DONTNEED)

    def watch(self) -> None:
        """Have a page that is gone end the program with an error line and exit code 3."""
        libc = ctypes.CDLL(None)
        default = _SigAction()

        def on_fault(signal: int, facts: int, _context: int) -> None:
            # The thread that looked at the page is in llama.cpp, and holds no lock of Python's.
            address = ctypes.c_size_t.from_address(facts + _ADDRESS).value
            if any(start <= address < end for start, end in self.ranges()):
                os.write(2, _GONE)
                os._exit(EXIT_MODEL)
            libc.sigaction(signal, ctypes.byref(default), None)  # and it faults again

        kind = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
        handler = kind(on_fault)
        _watching.append(handler)
        action = _SigAction(
            handler=ctypes.cast(handler, ctypes.c_void_p), flags=_SA_SIGINFO | _SA_RESTART
        )
        libc.sigaction(_SIGBUS, ctypes.byref(action), None)
