"""Bundles of Gemma 3 1B's shape: a short stand-in always, the whole 1.07 GB with --large."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tasks import catalog
from tasks.base.errors import SmokeFailed
from tasks.build import sessions as builds
from tasks.build.bundle import build
from tasks.smoke import run as smoke
from tests.support import standin
from tests.support.loopback import running

pytestmark = pytest.mark.integration
ARCH = catalog.native_target().arch


def report_of(bundle: Path) -> dict[str, bool]:
    """Each check of the smoke report, and whether it passed."""
    report = json.loads(bundle.with_name(f"{bundle.stem}.smoke.json").read_text(encoding="utf-8"))
    return {check["name"]: check["passed"] for check in report["checks"]}


def test_a_file_of_ones_own_becomes_a_bundle_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gguf = tmp_path / "my.gguf"
    standin.write(gguf, depth=2)
    monkeypatch.setenv("TEA_BUNDLES_CACHE", str(tmp_path / "cache"))
    words = ["--model-file", str(gguf), "--name", "my-gemma", "--dist", str(tmp_path / "dist")]
    made = builds.build(builds.request("build", words))
    assert len(made) == len(catalog.IMPLEMENTATIONS)
    # Two blocks of random weights may well say nothing but white space, which smoke calls empty.
    with suppress(SmokeFailed):
        smoke.run(made)
    for bundle in made:
        wrong = {name for name, passed in report_of(bundle).items() if not passed}
        assert wrong <= {"the model answers"}
        record = json.loads(bundle.with_suffix(".json").read_text(encoding="utf-8"))
        assert record["model"]["id"] == "my-gemma"
        assert record["model"]["size"] == gguf.stat().st_size


@contextmanager
def peak_of(*folders: Path) -> Iterator[list[int]]:
    """The most bytes that ``folders`` hold together while the block runs."""
    peak, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            peak[0] = max(peak[0], _used(folders))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def _used(folders: Iterable[Path]) -> int:
    """Bytes on the disk; a file with several names has them once."""
    files = {}
    for path in (path for folder in folders for path in folder.rglob("*")):
        try:
            stat = path.lstat()
        except FileNotFoundError:  # renamed or removed meanwhile
            continue
        files[stat.st_dev, stat.st_ino] = stat.st_blocks * 512
    return sum(files.values())


@pytest.mark.large
def test_gemma_from_the_hub_becomes_a_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = catalog.model("gemma3-1b")
    source = model.sources[0]
    assert isinstance(source, catalog.HubSource)
    file = tmp_path / "hub" / source.repo / source.file
    file.parent.mkdir(parents=True)
    standin.write(file)
    cache, dist = tmp_path / "cache", tmp_path / "dist"
    monkeypatch.setenv("TEA_BUNDLES_CACHE", str(cache))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with running(tmp_path / "hub") as hub, peak_of(cache, dist) as peak:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        words = ["--no-locked", "--impl", "python", "--dist", str(dist)]
        chosen = builds.request(f"build-gemma3-1b-{ARCH}", words).options
        (bundle,) = build(model, ARCH, chosen)
    assert peak[0] <= 2.2 * file.stat().st_size
    with pytest.raises(SmokeFailed):
        smoke.run([bundle])
    wrong = [name for name, passed in report_of(bundle).items() if not passed]
    assert wrong == ["the model answers", "the model answers its own example"]
