"""Digests that the table does not know: learned once, written down, enforced ever after."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tasks import catalog
from tasks.base import errors
from tasks.fetch import ensure, hub, lock, sessions
from tasks.fetch.lock import Locked
from tests.support import fetching
from tests.support.fetching import CONTENT, SHA256, SIZE, Waits
from tests.support.loopback import LoopbackHub

UNLOCKED = fetching.model(fetching.source(sha256=None))
OTHER = b"other bytes of the same length"[:30].ljust(SIZE, b".")


def entry(sha256: str = SHA256, size: int = SIZE) -> Locked:
    return Locked(fetching.REPO, fetching.FILE, "main", "c" * 40, size, sha256)


def test_first_fetch_writes_down_what_the_hub_says(
    hub: LoopbackHub, store: Path, waits: Waits, capfd: pytest.CaptureFixture[str]
) -> None:
    chosen = fetching.options(hub, store, waits)
    stored = ensure.ensure(UNLOCKED, chosen)
    assert stored.revision == "c" * 40
    assert lock.read(chosen.lock_written) == {"tiny": (entry(),)}
    assert SHA256 in capfd.readouterr().err
    assert hub.log[-2]["path"].startswith(f"/{fetching.REPO}/resolve/{'c' * 40}/")


def test_locked_digest_is_enforced_on_a_changed_file(
    hub: LoopbackHub, store: Path, waits: Waits, tmp_path: Path
) -> None:
    chosen = fetching.options(hub, store, waits)
    lock.put(chosen.lock_written, "tiny", entry())
    hub.serve(f"{fetching.REPO}/{fetching.FILE}", OTHER)
    with pytest.raises(errors.DigestMismatch):
        ensure.ensure(UNLOCKED, chosen)
    assert fetching.final_bytes(store) is None
    assert lock.read(chosen.lock_written) == {"tiny": (entry(),)}


def test_locked_model_in_the_store_needs_no_request(
    hub: LoopbackHub, store: Path, waits: Waits
) -> None:
    chosen = fetching.options(hub, store, waits)
    ensure.ensure(UNLOCKED, chosen)
    hub.plan()
    assert ensure.ensure(UNLOCKED, replace(chosen, locked=True, offline=True)).size == SIZE
    assert hub.log == []


def test_locked_run_refuses_a_digest_that_is_not_written_down(
    hub: LoopbackHub, store: Path, waits: Waits
) -> None:
    chosen = replace(fetching.options(hub, store, waits), locked=True)
    with pytest.raises(errors.NotLocked, match="--locked"):
        ensure.ensure(UNLOCKED, chosen)
    assert hub.log == []


def test_locked_run_takes_the_mirror_whose_digest_the_table_has(
    hub: LoopbackHub, store: Path, waits: Waits
) -> None:
    chosen = replace(fetching.options(hub, store, waits), locked=True)
    hub.serve(f"{fetching.MIRROR}/{fetching.FILE}", OTHER[:200_000])
    other = catalog.HubSource(
        fetching.MIRROR, fetching.FILE, "main", 200_000, _sha256(OTHER[:200_000])
    )
    stored = ensure.ensure(fetching.model(fetching.source(sha256=None), other), chosen)
    assert (stored.size, stored.source) == (200_000, other.label)
    assert stored.path.read_bytes() == OTHER[:200_000]


def test_wrong_size_is_refused_before_a_byte_is_fetched(
    hub: LoopbackHub, store: Path, waits: Waits
) -> None:
    chosen = fetching.options(hub, store, waits)
    with pytest.raises(errors.SizeMismatch):
        ensure.ensure(fetching.model(fetching.source(sha256=None, size=SIZE + 1)), chosen)
    assert hub.bytes_sent == 0
    assert not chosen.lock_written.exists()


def test_a_row_without_a_size_takes_the_hubs(hub: LoopbackHub, store: Path, waits: Waits) -> None:
    model = fetching.model(fetching.source(sha256=None, size=None))
    assert ensure.ensure(model, fetching.options(hub, store, waits)).size == SIZE


def test_another_endpoint_does_not_write_to_the_lock(tmp_path: Path) -> None:
    public = ensure.FetchOptions(root=tmp_path, endpoint=hub.DEFAULT_ENDPOINT)
    other = ensure.FetchOptions(root=tmp_path, endpoint="http://user:pw@127.0.0.1:8000")
    assert public.lock_written == lock.REPOSITORY_LOCK
    assert other.lock_written == tmp_path / "locks" / "127.0.0.1-8000.toml"
    assert other.locks_read == (lock.REPOSITORY_LOCK, other.lock_written)


def test_entries_written_at_once_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "lock.toml"
    threads = [
        threading.Thread(target=lock.put, args=(path, f"m{index}", entry())) for index in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(lock.read(path)) == [f"m{index}" for index in range(8)]


def test_lock_file_reads_back_in_any_order() -> None:
    one, two = entry(), replace(entry(), hub="a/b", sha256="0" * 64)
    text = lock.render({"b": (one, two), "a": (one,)})
    assert text == lock.render({"a": (one,), "b": (two, one)})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[m]\nfiles = 3", "m.files: expected a list of tables"),
        (
            '[[m.files]]\nhub = "a/b"',
            r"m.files\[0\].file: expected a path in the repository, it is missing",
        ),
        ("x = [", "lock.toml"),
    ],
)
def test_damaged_lock_file_is_refused_by_place(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "lock.toml"
    path.write_text(text)
    with pytest.raises(errors.CatalogError, match=said):
        lock.read(path)


@pytest.fixture
def one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "models", lambda: {"tiny": UNLOCKED})


@pytest.mark.usefixtures("one_row")
def test_pins_writes_what_changed_and_shows_it(
    hub: LoopbackHub, store: Path, waits: Waits, capfd: pytest.CaptureFixture[str]
) -> None:
    chosen = fetching.options(hub, store, waits)
    lock.put(chosen.lock_written, "tiny", entry(sha256="0" * 64))
    sessions.pins(options=chosen)
    assert lock.read(chosen.lock_written) == {"tiny": (entry(),)}
    assert "000000000000…" in capfd.readouterr().out


@pytest.mark.usefixtures("one_row")
def test_pins_check_writes_nothing_and_fails_on_a_difference(
    hub: LoopbackHub, store: Path, waits: Waits
) -> None:
    chosen = fetching.options(hub, store, waits)
    with pytest.raises(errors.NotLocked, match="1 entries differ"):
        sessions.pins(check=True, options=chosen)
    assert not chosen.lock_written.exists()
    sessions.pins(options=chosen)
    sessions.pins(check=True, options=chosen)


def test_pins_refuses_a_row_that_the_hub_contradicts(
    hub: LoopbackHub, store: Path, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = fetching.model(fetching.source(sha256="0" * 64))
    monkeypatch.setattr(catalog, "models", lambda: {"tiny": row})
    with pytest.raises(errors.FetchError, match="the table"):
        sessions.pins(options=fetching.options(hub, store, waits))


def _sha256(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()


assert len(CONTENT) == len(OTHER)
