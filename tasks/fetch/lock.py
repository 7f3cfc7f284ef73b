"""models.lock.toml: what the Hub said a file is, at the first use, and what it must be since.

One entry a source, because two repositories may hold different files under one name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import tomli_w

from tasks.base import files, forms
from tasks.base.toml_table import TomlRow, read_tables
from tasks.catalog import DATA, HubSource

REPOSITORY_LOCK = DATA / "models.lock.toml"
_HEAD = """\
# What the Hub said each file is when it was first used, enforced ever after.
# Written by `nox -s fetch-MODEL` and `nox -s pins`; sizes in bytes.
"""


@dataclass(frozen=True, slots=True)
class Locked:
    """A file of a Hub repository at a commit."""

    hub: str
    file: str
    revision: str
    commit: str
    size: int
    sha256: str

    def is_for(self, source: HubSource) -> bool:
        """Whether this is what ``source`` was locked to."""
        return (self.hub, self.file, self.revision) == (source.repo, source.file, source.revision)


Entries = Mapping[str, tuple[Locked, ...]]


def read(path: Path) -> Entries:
    """The entries by model id; none when the file is not there.

    Raises:
        CatalogError: the file is not a lock file.
    """
    if not path.exists():
        return {}
    return {name: _entries(row) for name, row in read_tables(path).items()}


def _entries(table: TomlRow) -> tuple[Locked, ...]:
    entries = []
    for row in table.rows("files"):
        entries.append(
            Locked(
                hub=row.text("hub", forms.REPOSITORY, "owner/name"),
                file=row.text("file", forms.FILE_PATH, "a path in the repository"),
                revision=row.text("revision", forms.REVISION, "a branch, tag or commit"),
                commit=row.text("commit", forms.COMMIT, "a commit of 40 hexadecimal digits"),
                size=row.integer("size", "bytes"),
                sha256=row.sha256(),
            )
        )
        row.end()
    table.end()
    return tuple(entries)


def find(entries: Entries, model: str, source: HubSource) -> Locked | None:
    """The entry of one source of one model, or None."""
    return next((entry for entry in entries.get(model, ()) if entry.is_for(source)), None)


def put(path: Path, model: str, entry: Locked) -> None:
    """Add ``entry``, or put it in the place of the one for the same source.

    Raises:
        NotWritable: the lock file's folder is not writable; nothing is changed.
    """
    with files.disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    waiting = f"{path.name}: another run is writing it; waiting"
    with files.disk_errors(path), files.locked(path.parent, waiting):
        entries = dict(read(path))
        others = tuple(
            old
            for old in entries.get(model, ())
            if (old.hub, old.file, old.revision) != (entry.hub, entry.file, entry.revision)
        )
        entries[model] = (*others, entry)
        files.write_text(path, render(entries))


def render(entries: Entries) -> str:
    """The text of a lock file, in the same order for the same entries."""
    tables = {
        model: {
            "files": [
                asdict(entry)
                for entry in sorted(entries[model], key=lambda entry: (entry.hub, entry.file))
            ]
        }
        for model in sorted(entries)
    }
    return _HEAD + "\n" * bool(tables) + tomli_w.dumps(tables)
