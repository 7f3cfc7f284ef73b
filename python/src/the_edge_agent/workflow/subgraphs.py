"""The files of subgraphs: below the folder of the workflow that is run, and none inside itself."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from the_edge_agent.errors import FileError


@dataclass(frozen=True, slots=True)
class Source:
    """A file that is read, and the files that led to it, itself the last. All free of links."""

    root: Path
    chain: tuple[Path, ...]

    def subgraph(self, given: str) -> Source:
        """Return the source of a subgraph that this file names.

        Raises:
            FileError: it is outside the root, or one of the files that led to it.
        """
        base = self.chain[-1].parent if self.chain else self.root
        path = Path(os.path.realpath(base / given))
        if not path.is_relative_to(self.root):
            raise FileError(f"{given} is outside the workflow's folder")
        if path in self.chain:
            names = [each.name for each in (*self.chain[self.chain.index(path) :], path)]
            raise FileError(f"a subgraph cannot run itself: {' → '.join(names)}")
        return Source(self.root, (*self.chain, path))

    def read(self) -> str:
        """Return the file's text. Raises FileError."""
        path = self.chain[-1]
        try:
            return path.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise FileError(f"{path} cannot be read: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise FileError(f"{path} is not UTF-8: byte {error.start} does not fit") from error


def source(file: str) -> Source:
    """Return the source of a workflow's own file; - is standard input."""
    if file == "-":
        return Source(Path(os.path.realpath(".")), ())
    path = Path(os.path.realpath(file))
    return Source(path.parent, (path,))
