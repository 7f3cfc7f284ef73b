"""Bundles without a model: they take the one beside them, and share it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks import catalog, images
from tasks.base.errors import SmokeFailed
from tasks.build import sessions as builds
from tasks.build.bundle import Options
from tasks.build.sessions import Request
from tasks.engine.engine import Container, Engine, Mount, Output
from tasks.fetch import ensure
from tasks.fetch.ensure import StoredModel
from tasks.smoke import run as smoke
from tests.integration.conftest import TARGET

pytestmark = pytest.mark.integration

PLACE = "/shared"


@pytest.fixture(scope="module")
def thin(bundle: Path) -> Sequence[Path]:
    """Both programs' AppImages without a model, for this machine."""
    assert bundle.exists()  # built before, so that nothing is left to build here but the packing
    return builds.build(Request((), (TARGET.arch,), None, None, Options(), thin=True))


@contextmanager
def folder(engine: Engine, home: str, files: dict[str, Path]) -> Iterator[Container]:
    """A clean container with ``files`` in one folder."""
    base = images.ensure(catalog.images()["smoke"], TARGET, engine)
    mounts = [Mount(path, f"{PLACE}/{name}", read_only=True) for name, path in files.items()]
    with engine.container(
        base.reference,
        target=TARGET,
        read_only=True,
        tmpfs={"/tmp": "size=64m"},
        mounts=[*mounts, Mount(home, smoke.HOME)],
    ) as box:
        box.exec(["chown", smoke.USER, smoke.HOME], timeout=60)
        yield box


def tea(box: Container, image: Path, *words: str) -> Output:
    return box.exec(
        [f"{PLACE}/{image.name}", *words],
        env={"HOME": smoke.HOME, "PATH": "/usr/bin:/bin"},
        user=smoke.USER,
        timeout=smoke.START_TIMEOUT,
    )


def test_thin_bundles_are_tens_of_megabytes(thin: Sequence[Path]) -> None:
    names = [path.name for path in thin]
    version = catalog.version()
    assert names == [
        f"tea-{impl}-llm-thin-{version}-{TARGET.arch}.AppImage" for impl in catalog.IMPLEMENTATIONS
    ]
    assert all(1e6 < path.stat().st_size < 30e6 for path in thin)


def test_thin_bundles_pass_with_a_model_beside_and_without(
    thin: Sequence[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    smoke.run(thin)
    for path in thin:
        report = json.loads(path.with_name(f"{path.stem}.smoke.json").read_text())
        assert report["passed"] is True
        names = [check["name"] for check in report["checks"]]
        assert names[-2:] == ["without a model it says what to do", "the model answers"]
    assert capsys.readouterr().err.count("Paris") == len(thin)


def test_several_bundles_share_one_model_in_their_folder(
    thin: Sequence[Path], model: StoredModel, engine: Engine, home: str
) -> None:
    files = {path.name: path for path in thin} | {"my.gguf": model.path}
    with folder(engine, home, files) as box:
        for path in thin:
            facts = json.loads(tea(box, path, "model", "--json").stdout)
            assert facts["path"] == f"{PLACE}/my.gguf"
            assert facts["found_by"] == "folder of the AppImage"


def test_two_models_in_the_folder_are_named_and_none_is_guessed(
    thin: Sequence[Path], model: StoredModel, engine: Engine, home: str
) -> None:
    files = {path.name: path for path in thin} | {"a.gguf": model.path, "b.gguf": model.path}
    with folder(engine, home, files) as box:
        for path in thin:
            done = tea(box, path, "chat", "Hello")
            assert done.exit_code == 3
            assert b"a.gguf, b.gguf" in done.stderr and done.stdout == b""
            named = ("chat", "--gguf", f"{PLACE}/b.gguf", "--max-tokens", "1", "Hello")
            assert tea(box, path, *named).exit_code == 0


def test_damaged_model_beside_a_bundle_is_refused(
    thin: Sequence[Path], model: StoredModel, engine: Engine, home: str, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.gguf"
    with model.path.open("rb") as whole:
        cut.write_bytes(whole.read(5_000_000))
    with folder(engine, home, {path.name: path for path in thin} | {"cut.gguf": cut}) as box:
        for path in thin:
            done = tea(box, path, "chat", "Hello")
            assert done.exit_code == 3
            assert b"cut.gguf" in done.stderr and done.stdout == b""


def test_thin_bundle_that_finds_no_model_fails(
    thin: Sequence[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = tmp_path / "no-model.txt"
    nothing.touch()
    stored = StoredModel(nothing, "", 0, "test", None)
    monkeypatch.setattr(ensure, "ensure", lambda model: stored)
    with pytest.raises(SmokeFailed):
        smoke.run(thin[:1])
    report = json.loads(thin[0].with_name(f"{thin[0].stem}.smoke.json").read_text())
    failed = [check["name"] for check in report["checks"] if not check["passed"]]
    assert failed == ["the model answers"]
