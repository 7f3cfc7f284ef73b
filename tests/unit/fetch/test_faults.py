"""What networks and servers do to a download. Each fault is data; the judge is one test."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from tasks.base import errors
from tasks.fetch import ensure
from tests.support import fetching
from tests.support.fetching import CONTENT, NOW, SIZE, Waits
from tests.support.loopback import LoopbackHub

PIECE = 20_000  # bytes
FOR_EVER = 1000


@dataclass(frozen=True)
class Fault:
    """``budget`` in files: how much the server may send at most. ``waits`` in seconds."""

    name: str
    faults: tuple[dict[str, Any], ...]
    error: type[errors.TaskError] | None = None
    budget: float = 1.0
    waits: tuple[float, ...] | None = None
    read_timeout: float = 5.0


def cdn(kind: str, **more: Any) -> dict[str, Any]:
    return {"on": "cdn", "kind": kind, **more}


def status(on: str, status: int, times: int = 1, **headers: str) -> dict[str, Any]:
    return {"on": on, "kind": "status", "status": status, "times": times, "headers": headers}


def page(on: str, kind: str = "text/html; charset=utf-8") -> dict[str, Any]:
    return {"on": on, "kind": "page", "headers": {"Content-Type": kind}}


def busy(after: str, times: int = 1) -> dict[str, Any]:
    return status("resolve", 429, times, **{"Retry-After": after})


FAULTS = [
    Fault("no fault", (), waits=()),
    Fault("503 from the Hub twice", (status("resolve", 503, 2),), waits=(1, 2)),
    Fault("503 from the CDN four times", (status("cdn", 503, 4),), waits=(1, 2, 4, 8)),
    Fault("503 for ever", (status("cdn", 503, FOR_EVER),), errors.Unreachable, 0, (1, 2, 4, 8)),
    Fault("408", (status("cdn", 408),), waits=(1,)),
    Fault("429 with seconds", (busy("7"),), waits=(7,)),
    Fault("429 with a date", (busy(formatdate(NOW + 42, usegmt=True)),), waits=(42,)),
    Fault("429 with a date gone by", (busy(formatdate(NOW - 42, usegmt=True)),), waits=(1,)),
    Fault("429 with an absurd wait", (busy("99999999999"),), waits=(300,)),
    Fault("429 with nonsense", (busy("soon"),), waits=(1,)),
    Fault("reset in the Hub's headers", ({"on": "resolve", "kind": "reset"},), waits=(1,)),
    Fault("reset in the CDN's headers", (cdn("reset"),), waits=(1,)),
    Fault("reset in mid-body ten times", (cdn("reset", after=PIECE, times=10),), waits=(1,) * 10),
    Fault("reset before any byte, for ever", (cdn("reset", times=FOR_EVER),), errors.Unreachable),
    Fault("cut body with the right status", (cdn("cut", after=PIECE, times=3),), waits=(1,) * 3),
    Fault("shorter Content-Length than the file", (cdn("short", after=PIECE),), waits=(1,)),
    Fault("stall in mid-body", (cdn("stall", after=PIECE),), waits=(1,), read_timeout=0.2),
    Fault("stall before the headers", (cdn("stall"),), waits=(1,), read_timeout=0.2),
    Fault(
        "another range than asked for, once",
        (cdn("reset", after=PIECE), cdn("wrong-range", by=5)),
        budget=2,
        waits=(1, 2),
    ),
    Fault(
        "another range than asked for, always",
        (cdn("reset", after=PIECE), cdn("wrong-range", by=5, times=FOR_EVER)),
        errors.Unreachable,
        budget=6,
    ),
    Fault(
        "200 to a range request",
        (cdn("reset", after=PIECE), cdn("no-range")),
        budget=1 + PIECE / SIZE,
    ),
    Fault("wrong bytes of the right length, once", (cdn("wrong-bytes"),), budget=2, waits=()),
    Fault(
        "wrong bytes of the right length, always",
        (cdn("wrong-bytes", times=FOR_EVER),),
        errors.DigestMismatch,
        budget=2,
        waits=(),
    ),
    Fault("longer than promised, once", (cdn("longer", by=10),), budget=2.1),
    Fault(
        "longer than promised",
        (cdn("longer", by=10, times=FOR_EVER),),
        errors.SizeMismatch,
        budget=2.1,
    ),
    Fault(
        "longer than promised, and not announced",
        (cdn("longer", by=10, unannounced=True, times=FOR_EVER),),
        errors.SizeMismatch,
        budget=2.1,
    ),
    Fault(
        "signed address expires in mid-file", (cdn("expire", after=PIECE, times=3),), waits=(1,) * 3
    ),
    Fault("signed address refused once", (status("cdn", 403),), waits=(1,)),
    Fault("signed address always refused", (status("cdn", 403, 9),), errors.AccessDenied, 0, (1,)),
    Fault(
        "Hub up but CDN down",
        ({"on": "resolve", "kind": "redirect", "to": "http://127.0.0.1:9/x", "times": FOR_EVER},),
        errors.Unreachable,
        budget=0,
        waits=(1, 2, 4, 8),
    ),
    Fault(
        "redirects in a circle",
        ({"on": "resolve", "kind": "loop", "times": FOR_EVER},),
        errors.FetchError,
        budget=0,
        waits=(),
    ),
    Fault("a login page of the network", (page("resolve"),), errors.FetchError, 0, ()),
    Fault(
        "a login page that is not said to be one",
        (page("cdn", "application/octet-stream"),),
        errors.FetchError,
        budget=0,
        waits=(),
    ),
    Fault("a permanent error of the server", (status("resolve", 501),), errors.FetchError, 0, ()),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fetch_ends_with_the_right_bytes_or_none(
    fault: Fault, hub: LoopbackHub, store: Path, waits: Waits
) -> None:
    hub.plan(faults=list(fault.faults))
    chosen = fetching.options(hub, store, waits, fault.read_timeout)
    if fault.error is None:
        stored = ensure.ensure(fetching.model(), chosen)
        assert stored.path.read_bytes() == CONTENT
        assert (stored.size, stored.sha256) == (SIZE, fetching.SHA256)
    else:
        with pytest.raises(fault.error) as caught:
            ensure.ensure(fetching.model(), chosen)
        assert type(caught.value) is fault.error
        assert caught.value.hint or type(caught.value) is errors.FetchError
    assert fetching.final_bytes(store) in ((CONTENT,) if fault.error is None else (None,))
    assert hub.bytes_sent <= fault.budget * SIZE
    if fault.waits is not None:
        assert tuple(waits.asked) == fault.waits


def test_wrong_bytes_leave_nothing_to_go_on_with(
    hub: LoopbackHub, store: Path, waits: Waits
) -> None:
    hub.plan(faults=[cdn("wrong-bytes", times=2)])
    with pytest.raises(errors.DigestMismatch):
        ensure.ensure(fetching.model(), fetching.options(hub, store, waits))
    assert not list(store.glob("*/part"))
    assert ensure.ensure(fetching.model(), fetching.options(hub, store, waits)).size == SIZE


def test_a_server_that_starts_again_each_time_is_given_up(
    hub: LoopbackHub, store: Path, waits: Waits
) -> None:
    """Bytes that had come before are no progress, or this would never end."""
    hub.plan(faults=[cdn("reset", after=PIECE, ranges=False, times=FOR_EVER)])
    with pytest.raises(errors.Unreachable):
        ensure.ensure(fetching.model(), fetching.options(hub, store, waits))
    assert hub.bytes_sent <= 6 * PIECE


def test_an_exhausted_source_gives_way_to_the_next(
    hub: LoopbackHub, store: Path, waits: Waits
) -> None:
    """The CDN fails the first source and serves the second."""
    hub.plan(faults=[status("cdn", 503, 5)])
    both = fetching.model(fetching.source(), fetching.source(fetching.MIRROR))
    stored = ensure.ensure(both, fetching.options(hub, store, waits))
    assert fetching.MIRROR in stored.source
    assert stored.path.read_bytes() == CONTENT


def test_the_next_source_goes_on_where_the_first_one_stopped(
    hub: LoopbackHub, store: Path, waits: Waits
) -> None:
    hub.plan(faults=[cdn("reset", after=PIECE), status("cdn", 503, 5)])
    both = fetching.model(fetching.source(), fetching.source(fetching.MIRROR))
    ensure.ensure(both, fetching.options(hub, store, waits))
    assert hub.log[-1]["range"] == f"bytes={PIECE}-"
    assert hub.bytes_sent == SIZE


def test_wrong_bytes_are_no_reason_to_take_another_source(
    hub: LoopbackHub, store: Path, waits: Waits
) -> None:
    hub.plan(faults=[cdn("wrong-bytes", times=2)])
    both = fetching.model(fetching.source(), fetching.source(fetching.MIRROR))
    with pytest.raises(errors.DigestMismatch):
        ensure.ensure(both, fetching.options(hub, store, waits))


def test_when_all_sources_fail_the_error_names_each(
    hub: LoopbackHub, store: Path, waits: Waits
) -> None:
    both = fetching.model(fetching.source("owner/gone"), fetching.source("owner/lost"))
    with pytest.raises(errors.NotPublished, match=r"owner/gone.*owner/lost"):
        ensure.ensure(both, fetching.options(hub, store, waits))
    assert waits.asked == []


@pytest.mark.parametrize("damage", ["flipped", "longer", "shorter"])
def test_a_damaged_part_costs_a_second_download_and_no_more(
    damage: str, hub: LoopbackHub, store: Path, waits: Waits
) -> None:
    hub.plan(faults=[cdn("reset", after=PIECE), status("cdn", 503, 5)])
    with pytest.raises(errors.Unreachable):
        ensure.ensure(fetching.model(), fetching.options(hub, store, waits))
    part = store / fetching.SHA256 / "part"
    half = bytearray(part.read_bytes())
    assert bytes(half) == CONTENT[:PIECE]
    half[100] ^= 1
    damaged = {"flipped": half, "longer": half + bytes(SIZE), "shorter": half[: PIECE // 2]}
    part.write_bytes(damaged[damage])
    hub.plan()
    stored = ensure.ensure(fetching.model(), fetching.options(hub, store, waits))
    assert stored.path.read_bytes() == CONTENT
    assert hub.bytes_sent <= 2 * SIZE
