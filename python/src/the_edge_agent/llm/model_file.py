"""The bundle's model where it lies inside the AppImage: an open file, an offset and a size.

The AppImage's runtime opens the AppImage and hands its descriptor over in ``TEA_MODEL_FD``, as
``DESCRIPTOR:OFFSET:SIZE`` in decimal numbers. A path could be that of another file by now.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from the_edge_agent.errors import ModelError

MODEL_FD = "TEA_MODEL_FD"

_FORM = re.compile(r"(\d{1,9}):(\d{1,18}):(\d{1,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Extent:
    """``size`` bytes from byte ``offset`` of the open file ``descriptor``."""

    descriptor: int
    offset: int
    size: int


_given: str | None = None


def take(environ: MutableMapping[str, str]) -> None:
    """Take the descriptor over from ``environ``: programs started from here inherit neither."""
    global _given  # noqa: PLW0603  # a process is handed one descriptor, at its start
    _given = environ.pop(MODEL_FD, None)
    match = _FORM.fullmatch(_given or "")
    if match is not None:
        with suppress(OSError):  # it is not open: said when a model is looked for
            os.set_inheritable(int(match[1]), False)


def extent() -> Extent | None:
    """Return where the bundle's model lies, None when no descriptor was handed over.

    Raises:
        ModelError: what was handed over is no such extent.
    """
    if _given is None:
        return None
    match = _FORM.fullmatch(_given)
    if match is None:
        raise _useless("is not DESCRIPTOR:OFFSET:SIZE")
    found = Extent(*map(int, match.groups()))
    try:
        facts = os.fstat(found.descriptor)
    except OSError as error:
        raise _useless("names a descriptor that is not open") from error
    if not stat.S_ISREG(facts.st_mode) or found.offset + found.size > facts.st_size:
        raise _useless("goes beyond the end of the file")
    return found


def _useless(why: str) -> ModelError:
    return ModelError(
        f"the AppImage's model cannot be read: {MODEL_FD}={_given} {why}",
        hint="start the AppImage itself; if it was started, download it again",
    )


@contextmanager
def stream(extent: Extent) -> Iterator[int]:
    """Give the address of a C stream that stands where the model begins; closed at the end.

    Raises:
        ModelError: there is no memory or no descriptor left.
    """
    import ctypes  # only when a model is loaded

    libc = ctypes.CDLL(None, use_errno=True)
    libc.fdopen.restype = ctypes.c_void_p
    libc.fdopen.argtypes = [ctypes.c_int, ctypes.c_char_p]
    libc.fseeko.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int]
    libc.fclose.argtypes = [ctypes.c_void_p]
    try:
        descriptor = os.dup(extent.descriptor)
    except OSError as error:
        raise ModelError(f"the AppImage's model cannot be opened: {error.strerror}") from error
    file = libc.fdopen(descriptor, b"rb")
    if not file:
        os.close(descriptor)
        reason = os.strerror(ctypes.get_errno())
        raise ModelError(f"the AppImage's model cannot be opened: {reason}")
    try:
        if libc.fseeko(file, extent.offset, os.SEEK_SET) != 0:
            reason = os.strerror(ctypes.get_errno())
            raise ModelError(f"the AppImage's model cannot be opened: {reason}")
        yield file
    finally:
        libc.fclose(file)


def file_path(appimage: str | None, extent: Extent) -> Path:
    """Return how people call the file that ``extent`` is in."""
    return Path(appimage or f"/proc/self/fd/{extent.descriptor}")
