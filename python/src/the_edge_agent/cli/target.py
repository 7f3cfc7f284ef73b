"""The file of ``-o``: looked at before the run, written after it."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from the_edge_agent import files
from the_edge_agent.errors import OutputError, UsageError


@dataclass(frozen=True, slots=True)
class Target:
    """Where the final state goes: a path free of links, or the number of an open file."""

    name: str
    place: Path | int

    def write(self, text: str) -> None:
        """Write ``text``, to a regular file whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        data = text.encode("utf-8", "replace")
        try:
            if isinstance(self.place, Path):
                files.write(self.place, data)
            else:
                with os.fdopen(self.place, "wb") as file:
                    file.write(data)
        except OSError as error:
            raise _unwritable(self.name, error) from error


def look_at(name: str) -> Target:
    """Return what ``-o name`` stands for.

    A device or FIFO is opened at once, as a shell does it: /dev/stdout may be another file later.

    Raises:
        UsageError: there is no such folder, or the file may not be replaced.
        OutputError: a device or FIFO cannot be opened.
    """
    path = Path(os.path.realpath(name))
    try:
        facts = Path(name).stat()
    except OSError:
        facts = None
    if facts is not None and not stat.S_ISREG(facts.st_mode) and not stat.S_ISDIR(facts.st_mode):
        try:
            return Target(name, os.open(name, os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC))
        except OSError as error:
            raise _unwritable(name, error) from error
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"-o {name}: {'a folder' if path.is_dir() else 'no such folder'}")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"-o {name}: the folder may not be written to")
    if facts is not None:
        try:
            files.check_owner(facts)
        except OSError as error:
            raise UsageError(f"-o {name}: {error.strerror}") from error
    return Target(name, path)


def _unwritable(name: str, error: OSError) -> OutputError:
    return OutputError(f"{name} cannot be written: {error.strerror or error}")
