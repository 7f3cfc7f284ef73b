"""Runs that die, meet each other, or find a disk that does not take the file."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.base import errors, files
from tasks.fetch import ensure
from tests.support import fetching
from tests.support.fetching import CONTENT, SHA256, SIZE, Waits
from tests.support.loopback import ROOT, LoopbackHub

DEADLINE = 60.0  # seconds; far beyond what any of these needs


def until(happened: Callable[[], bool]) -> None:
    """Look often; a thing that does not happen is an error, not a wait."""
    end = time.monotonic() + DEADLINE
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.01)


def part_has(store: Path, size: int) -> Callable[[], bool]:
    part = store / SHA256 / "part"
    return lambda: part.exists() and part.stat().st_size == size


@pytest.mark.parametrize("at", [1, 65_537, SIZE - 1])
def test_killed_at_any_byte_it_goes_on_from_there(
    at: int, hub: LoopbackHub, store: Path, waits: Waits
) -> None:
    hub.plan(faults=[{"on": "cdn", "kind": "stall", "after": at}])
    with fetching.start(hub, store) as process:
        until(part_has(store, at))
        process.kill()
    hub.release()
    assert fetching.final_bytes(store) is None
    stored = ensure.ensure(fetching.model(), fetching.options(hub, store, waits))
    assert stored.path.read_bytes() == CONTENT
    assert hub.log[-1]["range"] == f"bytes={at}-"
    assert hub.bytes_sent == SIZE


def test_killed_after_the_last_byte_it_fetches_nothing_again(
    hub: LoopbackHub, store: Path, waits: Waits
) -> None:
    part = store / SHA256 / "part"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT)
    assert ensure.ensure(fetching.model(), fetching.options(hub, store, waits)).size == SIZE
    assert hub.log == []


def test_interrupted_it_exits_with_130_and_keeps_the_part(hub: LoopbackHub, store: Path) -> None:
    hub.plan(faults=[{"on": "cdn", "kind": "stall", "after": 5000}])
    with fetching.start(hub, store) as process:
        until(part_has(store, 5000))
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=DEADLINE)
    hub.release()
    assert process.returncode == 130
    assert "Traceback" not in said
    assert (store / SHA256 / "part").read_bytes() == CONTENT[:5000]


def test_two_at_once_share_one_download(hub: LoopbackHub, store: Path) -> None:
    hub.plan(faults=[{"on": "cdn", "kind": "stall", "after": 5000}])
    with fetching.start(hub, store) as first:
        until(part_has(store, 5000))
        with fetching.start(hub, store) as second:
            assert second.stderr is not None
            assert "waiting" in second.stderr.readline()
            hub.release()
            outs = [process.communicate(timeout=DEADLINE) for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], outs
    assert outs[0][0] == outs[1][0]
    assert fetching.final_bytes(store) == CONTENT
    assert hub.bytes_sent == SIZE


def test_a_killed_run_leaves_no_lock_behind(hub: LoopbackHub, store: Path) -> None:
    hub.plan(faults=[{"on": "cdn", "kind": "stall", "after": 5000}])
    with fetching.start(hub, store) as first:
        until(part_has(store, 5000))
        with fetching.start(hub, store) as second:
            assert second.stderr is not None
            assert "waiting" in second.stderr.readline()
            first.kill()
            second.communicate(timeout=DEADLINE)
    hub.release()
    assert second.returncode == 0
    assert hub.bytes_sent == SIZE


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_disk_full_in_mid_body_keeps_the_part_and_says_so(
    code: int, hub: LoopbackHub, store: Path, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.fetch import download

    write = download._Body._write

    def full(self: Any, block: bytes) -> None:
        if self._file.tell() + len(block) > 100_000:
            raise OSError(code, os.strerror(code))
        write(self, block)

    monkeypatch.setattr(download._Body, "_write", full)
    hub.plan(faults=[{"on": "cdn", "kind": "reset", "after": 50_000}])
    with pytest.raises(errors.DiskFull):
        ensure.ensure(fetching.model(), fetching.options(hub, store, waits))
    assert fetching.final_bytes(store) is None
    kept = (store / SHA256 / "part").stat().st_size
    assert kept >= 50_000
    monkeypatch.undo()
    ensure.ensure(fetching.model(), fetching.options(hub, store, waits))
    assert hub.log[-1]["range"] == f"bytes={kept}-"


def test_a_real_full_disk_is_refused_and_leaves_nothing_wrong(
    hub: LoopbackHub, tmp_path: Path
) -> None:
    """A tmpfs of 128 kB in a mount namespace of its own; the free-space check is made to lie."""
    code = (
        "from tasks.base import files; files.free_bytes = lambda where: 10**12\n"
        "from tests.support import fetching; fetching.main()"
    )
    script = (
        'mount -t tmpfs -o size=128k none "$1" && "$2" -c "$3" "$4" "$1/store"; code=$?; '
        'ls "$1/store"/*; exit $code'
    )
    place = tmp_path / "small"
    place.mkdir()
    own = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*own, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system allows no mount namespace")
    done = subprocess.run(
        [*own, "sh", "-c", script, "sh", place, sys.executable, code, hub.endpoint],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == errors.DiskFull.exit_code, done.stderr
    assert "Traceback" not in done.stderr
    assert "part" in done.stdout and ".gguf" not in done.stdout


def test_too_little_space_is_said_before_a_byte_is_fetched(
    hub: LoopbackHub, store: Path, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "free_bytes", lambda where: SIZE - 1)
    with pytest.raises(errors.DiskFull):
        ensure.ensure(fetching.model(), fetching.options(hub, store, waits))
    assert hub.bytes_sent == 0


def test_space_is_asked_for_what_is_missing_only(
    hub: LoopbackHub, store: Path, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = store / SHA256 / "part"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[: SIZE - 10])
    monkeypatch.setattr(files, "free_bytes", lambda where: 10)
    assert ensure.ensure(fetching.model(), fetching.options(hub, store, waits)).size == SIZE
    assert hub.bytes_sent == 10


def test_store_that_cannot_be_written_to_is_said_so(
    hub: LoopbackHub, tmp_path: Path, waits: Waits
) -> None:
    """/sys takes no folder from anyone, root or not."""
    with pytest.raises(errors.NotWritable) as caught:
        ensure.ensure(fetching.model(), fetching.options(hub, Path("/sys/tea-bundles"), waits))
    assert "TEA_BUNDLES_CACHE" in caught.value.hint
    assert hub.bytes_sent == 0


def test_store_below_a_file_is_said_so(hub: LoopbackHub, tmp_path: Path, waits: Waits) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.NotWritable):
        ensure.ensure(fetching.model(), fetching.options(hub, tmp_path / "file" / "x", waits))
