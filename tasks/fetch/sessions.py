"""The sessions about models: the table, a fetch, a local file, and the pins."""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tasks import catalog
from tasks.base import arguments, console, files
from tasks.base.arguments import Parser
from tasks.base.errors import FetchError, GgufError, NotLocked, UsageError
from tasks.base.files import BLOCK
from tasks.catalog import HubSource, Model
from tasks.fetch import ensure, gguf, hub, lock
from tasks.fetch.ensure import FetchOptions
from tasks.fetch.lock import Locked
from tasks.fetch.model_store import Store, StoredModel

LARGEST_DEFAULT_CONTEXT = 8192  # tokens; what a model was trained for may need more memory than is
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")


def show(options: FetchOptions | None = None) -> None:
    """Print the model table, with what is in the store."""
    options = options or FetchOptions()
    rows: list[tuple[str, ...]] = []
    for model in catalog.models().values():
        stored = ensure.stored(model, options)
        size = stored.size if stored else model.about
        exact = stored is not None or model.size is not None
        rows.append(
            (
                model.id,
                model.title,
                f"{model.context:,}",
                f"{'' if exact else 'about '}{size / 1e6:,.0f} MB",
                model.license,
                where_digest_is(model, options),
                str(stored.path) if stored else "not in the store",
            )
        )
    columns = ("model", "title", "context", "size", "licence", "digest", "file")
    console.table(f"Models (store: {options.root})", columns, rows)


def where_digest_is(model: Model, options: FetchOptions) -> str:
    """Where the digest of the model's first source is written down."""
    source = model.sources[0]
    if source.sha256 is not None:
        return "in the table"
    assert isinstance(source, HubSource)  # every other kind carries its digest
    locked = any(lock.find(lock.read(path), model.id, source) for path in options.locks_read)
    return "locked" if locked else "not locked"


def get(name: str, options: FetchOptions | None = None) -> StoredModel:
    """Fetch the model called ``name`` and check that it is what its row says.

    Raises:
        UnknownName: no such row.
        FetchError, DiskFull, NotWritable: as ``fetch.ensure``.
        GgufError: the file is not what the row says.
    """
    model = catalog.model(name)
    stored = ensure.ensure(model, options)
    facts = gguf.check(stored.path, model)
    console.note(
        f"{stored.path}: {facts.name}, {facts.architecture}, {facts.parameters / 1e6:,.0f} million "
        f"weights, {stored.size:,} bytes, sha256 {stored.sha256}, from {stored.source}"
    )
    return stored


def from_file(
    path: Path, name: str, options: FetchOptions | None = None
) -> tuple[Model, StoredModel]:
    """A model of the user's own, described by its metadata, linked or copied into the store.

    Raises:
        UsageError: ``name`` is not fit for a file name, or is a row's.
        GgufError: ``path`` is not a whole GGUF file that can chat.
        DiskFull, NotWritable: the store cannot take it.
    """
    options = options or FetchOptions()
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"model name {name!r}: lower-case letters, digits, dots and hyphens only",
            hint="it becomes part of the bundle's file name",
        )
    if name in catalog.models() or name == catalog.THIN:
        raise UsageError(f"model name {name!r}: there is one of that name", hint="take another")
    facts = gguf.inspect(path)
    stored = _take_in(path, f"{name}.gguf", options)
    model = Model(
        id=name,
        title=facts.name,
        architecture=facts.architecture,
        quantization=facts.quantization or "unknown",
        context=min(facts.context or LARGEST_DEFAULT_CONTEXT, LARGEST_DEFAULT_CONTEXT),
        license=facts.license or "unknown",
        license_url="",
        license_files=(),
        file=stored.path.name,
        size=stored.size,
        about=stored.size,
        sha256=stored.sha256,
        sources=(),
        chat_template=None,
    )
    gguf.check(stored.path, model)
    return model, stored


def _take_in(path: Path, file: str, options: FetchOptions) -> StoredModel:
    """The stored twin of ``path``: the same inode where the file systems allow it."""
    store = Store(options.root)
    try:
        sha256 = files.sha256_of(path)
    except OSError as error:
        raise GgufError(f"{path}: cannot be read: {error.strerror or error}") from error
    with store.fetching(sha256, file):
        found = store.find(sha256)
        if found:
            return found
        part = store.part(sha256)
        with files.disk_errors(part.parent, path.stat().st_size):
            part.unlink(missing_ok=True)
            try:
                os.link(path.resolve(), part)
            except OSError:  # another file system, or one without hard links
                store.require_space(sha256, path.stat().st_size)
                if _copy(path, part) != sha256:
                    part.unlink()
                    raise FetchError(f"{path}: changed while it was copied") from None
            return store.adopt(
                part, sha256=sha256, file=file, source=f"file {path.name}", revision=None
            )


def _copy(path: Path, to: Path) -> str:
    """Copy and return the sha256 of what was written."""
    digest = hashlib.sha256()
    with (
        path.open("rb") as source,
        to.open("wb") as target,
        console.transfer(path.name, path.stat().st_size) as advance,
    ):
        while block := source.read(BLOCK):
            digest.update(block)
            target.write(block)
            advance(len(block))
    return digest.hexdigest()


def pins(check: bool = False, options: FetchOptions | None = None) -> None:
    """Hold models.lock.toml against the Hub, show the differences, and write them down.

    ``check`` writes nothing and raises ``NotLocked`` when there is a difference.

    Raises:
        NotLocked: with ``check``, the lock file is not what the Hub says.
        FetchError: a file whose digest is in the table is gone or another; or no answer.
    """
    options = options or FetchOptions()
    with tempfile.TemporaryDirectory() as work:
        path = Path(work) / "models.lock.toml"
        changes, errors = _refresh(path, options)
        target = options.lock_written
        if changes:
            columns = ("model", "source", "locked", "the Hub says")
            console.table(f"Differences from {target.name}", columns, changes)
        if changes and check:
            raise NotLocked(
                f"{target.name}: {len(changes)} entries differ from what {options.shown} says",
                hint="look at the differences, then run: nox -s pins",
            )
        if changes:
            for name, entries in lock.read(path).items():
                for entry in entries:
                    lock.put(target, name, entry)
        elif not errors:
            console.note(f"{target.name}: as {options.shown} says")
    if errors:
        raise errors[0]


def _refresh(path: Path, options: FetchOptions) -> tuple[list[tuple[str, ...]], list[FetchError]]:
    """Write what the Hub says to the lock file ``path``; returns the differences and failures."""
    changes: list[tuple[str, ...]] = []
    errors: list[FetchError] = []
    known = lock.read(options.lock_written)
    for model in catalog.models().values():
        for source in model.sources:
            if not isinstance(source, HubSource):
                continue
            try:
                fact = hub.look_up(source, options.endpoint, options.policy)
                _agree_with_row(source, fact)
            except FetchError as error:
                console.warn(error.message)
                errors.append(error)
                continue
            if source.sha256 is not None:
                continue
            old = lock.find(known, model.id, source)
            entry = Locked(
                source.repo, source.file, source.revision, fact.commit, fact.size, fact.sha256
            )
            lock.put(path, model.id, entry)
            # A new commit with the same bytes is no difference: what is locked still holds.
            if old is None or replace(old, commit=entry.commit) != entry:
                changes.append((model.id, source.label, _short(old), _short(entry)))
    return changes, errors


def _agree_with_row(source: HubSource, fact: hub.HubFile) -> None:
    if source.size not in (None, fact.size) or source.sha256 not in (None, fact.sha256):
        promised = f"{source.size or 0:,} bytes, sha256 {(source.sha256 or 'any')[:12]}"
        raise FetchError(
            f"{source.label}: the Hub says {fact.size:,} bytes, sha256 {fact.sha256[:12]}; "
            f"the table {promised}",
            hint="find out why before you change the row",
        )


def _short(entry: Locked | None) -> str:
    return f"{entry.size:,} bytes, {entry.sha256[:12]}…" if entry else "nothing"


def options(parser: Parser) -> None:
    """Add what may be said about a fetch."""
    parser.add_argument(
        "--locked",
        action=argparse.BooleanOptionalAction,
        help="refuse a model whose digest is not written down (default in CI)",
    )
    parser.add_argument("--offline", action="store_true", help="take the store's file, or fail")
    parser.add_argument("--verify", action="store_true", help="hash a stored file again")


def parsed(given: argparse.Namespace) -> FetchOptions:
    """The answers to ``options``."""
    answers = FetchOptions(verify=given.verify)
    if given.offline:
        answers = replace(answers, offline=True)
    return answers if given.locked is None else replace(answers, locked=given.locked)


def request(session: str, words: Sequence[str]) -> FetchOptions:
    """The options of fetch sessions."""
    parser = arguments.parser(session)
    options(parser)
    return parsed(parser.read(words))
