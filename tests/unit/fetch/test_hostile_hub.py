"""A Hub that answers nonsense: the fetch ends with an error of ours, or with the right bytes.

Nothing is ever written outside the store, and what is written down there is of the right form.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tasks.base import forms
from tasks.base.errors import TaskError
from tasks.fetch import ensure, lock
from tests.support import fetching
from tests.support.fetching import CONTENT, SHA256, SIZE, Waits
from tests.support.loopback import LoopbackHub

OUTSIDE = "%OUTSIDE%"  # stands for a folder beside the store
BODIES = [
    "", " ", "null", "true", "1", '"text"', "[]", "[{}]", "{}", "{", '{"sha": }', "\udcff\udcfe",
    "<html><title>Log in</title></html>", "version https://git-lfs.github.com/spec/v1\n",
    "[" * 100_000, '{"siblings": ' * 2000, '{"sha": NaN, "siblings": Infinity}',
    '{"sha": "\\ud800", "siblings": []}', '{"siblings": [{"rfilename": 1}]}',
]  # fmt: skip
FIELDS = ["id", "sha", "siblings", "rfilename", "size", "lfs", "sha256", "lfs size"]
VALUES: list[Any] = [
    None, True, -1, 0, 1.5, 10**30, "", "-rf", "..", "../../../cron.d", f"{OUTSIDE}/cron.d",
    "A" * 64, "g" * 64, SHA256 + "\n", SHA256[:-1], f"{SHA256}/../{SHA256}", "\u0661" * 64,
    [], {}, [None], ["x"], {"sha256": f"{OUTSIDE}/cron.d"},
]  # fmt: skip
PLACES = [
    "", "/", "//", "?", "file:///etc/passwd", f"file://{OUTSIDE}/x", "ftp://127.0.0.1/x", "http://",
    "http:///x", "http://[::1", "http://127.0.0.1:99999/x", "javascript:0", "\u00ff\u00fe", "../..",
]  # fmt: skip


@dataclass(frozen=True)
class Nonsense:
    name: str
    fault: dict[str, Any]


def facts(field: str, value: Any) -> str:
    """A Hub's facts of the small model, one of them replaced."""
    lfs = {"size": SIZE, "sha256": SHA256, "pointerSize": 134}
    file = {"rfilename": fetching.FILE, "size": SIZE, "lfs": lfs}
    told = {"id": fetching.REPO, "sha": "c" * 40, "siblings": [file]}
    key = "size" if field == "lfs size" else field
    inner = lfs if field in ("sha256", "lfs size") else file
    (told if field in told else inner)[key] = value
    return json.dumps(told)


def all_nonsense() -> Iterator[Nonsense]:
    for number, body in enumerate(BODIES):
        yield Nonsense(f"body {number}", {"on": "api", "kind": "answer", "body": body})
    for field in FIELDS:
        for number, value in enumerate(VALUES):
            told = {"on": "api", "kind": "answer", "body": facts(field, value)}
            yield Nonsense(f"{field} {number}", told)
    for number, place in enumerate(PLACES):
        moved = {"on": "resolve", "kind": "redirect", "to": place, "times": 9}
        yield Nonsense(f"redirect {number}", moved)


NONSENSE = list(all_nonsense())


@pytest.mark.parametrize("nonsense", NONSENSE, ids=lambda nonsense: nonsense.name)
def test_nonsense_leaves_nothing_outside_the_store(
    nonsense: Nonsense, hub: LoopbackHub, tmp_path: Path, waits: Waits
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    store = tmp_path / "store"
    fault = json.loads(json.dumps(nonsense.fault).replace(OUTSIDE, str(outside)))
    hub.plan(faults=[fault])
    options = fetching.options(hub, store, waits)
    try:
        ensure.ensure(fetching.model(fetching.source(size=None, sha256=None)), options)
    except TaskError as error:
        assert error.message
        assert fetching.final_bytes(store) is None
    else:
        assert fetching.final_bytes(store) == CONTENT
    assert not any(outside.iterdir())
    known = {"store", "outside", "hf"}
    assert {path.name for path in tmp_path.iterdir()} <= known
    folders = [path.name for path in store.iterdir()] if store.exists() else []
    assert all(name == "lock.toml" or forms.SHA256.fullmatch(name) for name in folders)
    lock.read(options.lock_written)  # refuses what is of the wrong form


def test_there_are_a_hundred_kinds_of_nonsense() -> None:
    assert len(NONSENSE) >= 100


@pytest.mark.parametrize("name", ["../../outside.gguf", OUTSIDE, "..", "-x.gguf", "", 7, None])
def test_record_that_names_a_file_elsewhere_is_not_followed(
    name: Any, hub: LoopbackHub, tmp_path: Path, waits: Waits
) -> None:
    elsewhere = tmp_path / "outside.gguf"
    elsewhere.write_bytes(b"of somebody else")
    options = fetching.options(hub, tmp_path / "store", waits)
    stored = ensure.ensure(fetching.model(), options)
    record = stored.path.parent / "record.json"
    said = {**json.loads(record.read_text()), "file": str(elsewhere) if name == OUTSIDE else name}
    record.write_text(json.dumps(said))
    assert ensure.ensure(fetching.model(), options).path.read_bytes() == CONTENT
    assert elsewhere.read_bytes() == b"of somebody else"
