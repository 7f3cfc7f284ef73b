"""What makes a stage run again: its inputs' digests, written beside what it made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks.base import console, files
from tasks.base.errors import BuildError

_IGNORED = {"__pycache__", "node_modules", "target"}


def digest_of_files(paths: Iterable[Path], root: Path) -> str:
    """One sha256 over files and whole folders: names relative to ``root``, modes, contents.

    Raises:
        BuildError: one of ``paths`` is not there.
    """
    total = hashlib.sha256()
    for path in sorted(_files(paths)):
        mode = "x" if path.stat().st_mode & 0o100 else "-"
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(
            f"{path.relative_to(root)}\0{mode}\0{content}\n".encode(errors="surrogateescape")
        )
    return total.hexdigest()


def _files(paths: Iterable[Path]) -> Iterable[Path]:
    for path in paths:
        if not path.exists():
            # Taken as empty, it would make a stage look done that is not.
            raise BuildError(f"{path}: not there", hint="restore it: git status shows what is gone")
        if path.is_file():
            yield path
        for inner in path.rglob("*"):
            if inner.is_file() and not _IGNORED.intersection(inner.relative_to(path).parts):
                yield inner


@dataclass(frozen=True, slots=True)
class BuildStep:
    """One step of a build: ``output`` is made from ``inputs`` (texts, mostly digests)."""

    name: str
    output: Path
    inputs: Mapping[str, str]

    @property
    def digest(self) -> str:
        """The sha256 of all inputs."""
        return hashlib.sha256(json.dumps(dict(self.inputs), sort_keys=True).encode()).hexdigest()

    @property
    def stamp(self) -> Path:
        """The file that says what ``output`` was made from."""
        return self.output.with_name(f".{self.output.name}.stamp")

    def is_done(self) -> bool:
        """Whether ``output`` is there, as it was left, and made from these very inputs."""
        try:
            return self.stamp.read_bytes() == self._state().encode()
        except OSError:
            return False

    def run(self, make: Callable[[], None]) -> bool:
        """Call ``make`` unless the stage is done. Returns whether it ran.

        Raises:
            NotWritable: nothing can be written beside the output; and what ``make`` raises.
        """
        lock = self.output.with_name(f".{self.output.name}.lock")
        with files.locked(lock, f"{self.name}: another run is making it; waiting"):
            if self.is_done():
                console.skipped(self.name, "nothing that it is made from has changed")
                return False
            with files.disk_errors(self.stamp):
                self.stamp.unlink(missing_ok=True)
            with console.stage(self.name):
                make()
            with files.disk_errors(self.stamp):
                files.write_text(self.stamp, self._state())
            return True

    def _state(self) -> str:
        """The inputs, and what of the output shows that nobody has touched it."""
        seen = hashlib.sha256()
        for path in (self.output, *sorted(self.output.rglob("*"))):
            stat = path.lstat()
            # A folder's own size says nothing: it depends on the file system.
            size = 0 if path.is_dir() and not path.is_symlink() else stat.st_size
            line = f"{path.relative_to(self.output)}\0{size} {stat.st_mtime_ns}\n"
            seen.update(line.encode(errors="surrogateescape"))
        return f"{self.digest} {seen.hexdigest()}\n"
