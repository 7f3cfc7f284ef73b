"""Publishing with GitHub's own `gh`, to a GitHub on the loopback."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks import catalog, images
from tasks.base.errors import CommandFailed, PublishFailed
from tasks.base.paths import ROOT
from tasks.engine.engine import Engine
from tasks.release import publish
from tasks.release.artefacts import SUMS
from tasks.release.notes import NAME as NOTES
from tests.support import github
from tests.support.github import GitHub

pytestmark = pytest.mark.integration
TARGET = catalog.native_target()
TAG = f"v{catalog.version()}"
FILES = {"tea-a.AppImage": os.urandom(3_000_000), "tea-b.cdx.json": b"{}"}


@pytest.fixture(scope="module")
def gh(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the program, from Debian's package of it."""
    folder = tmp_path_factory.mktemp("gh")
    base = images.ensure(catalog.images()["build"], TARGET, engine)
    engine.build(
        ROOT / "tests/support/gh.Dockerfile",
        context=folder,
        stage="export",
        target=TARGET,
        args={"BASE": base.reference},
        output=folder / "bin",
    )
    return folder / "bin"


@pytest.fixture
def hub(gh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    with github.running(TAG) as found:
        settings = {"GH_CONFIG_DIR": str(tmp_path / "config"), "GH_NO_UPDATE_NOTIFIER": "1"}
        for name, value in {**found.environ, **settings}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PATH", f"{gh}{os.pathsep}{os.environ['PATH']}")
        yield found


@pytest.fixture
def request_(tmp_path: Path) -> publish.Request:
    dist = tmp_path / "dist"
    dist.mkdir()
    lines = ""
    for name, data in FILES.items():
        (dist / name).write_bytes(data)
        lines += f"{hashlib.sha256(data).hexdigest()}  {name}\n"
    (dist / SUMS).write_text(lines)
    (dist / NOTES).write_text("What is new")
    return publish.Request(TAG, dist)


def test_release_is_made_whole_and_then_visible(hub: GitHub, request_: publish.Request) -> None:
    publish.run(request_)
    assert hub.release is not None
    assert (hub.release["draft"], hub.release["body"]) == (False, "What is new")
    assert hub.release["tag_name"] == TAG
    assert sorted(hub.uploads) == sorted([*FILES, SUMS])
    for name, data in FILES.items():
        assert hub.asset(name) == data
    with pytest.raises(PublishFailed, match="published already"):
        publish.run(request_)


def test_file_that_lost_a_byte_is_sent_again_alone(hub: GitHub, request_: publish.Request) -> None:
    hub.cut.add("tea-a.AppImage")
    with pytest.raises(PublishFailed, match=r"other bytes than were sent: tea-a\.AppImage"):
        publish.run(request_)
    assert hub.release is not None and hub.release["draft"]
    publish.run(request_)
    assert hub.uploads[len(FILES) + 1 :] == ["tea-a.AppImage"]
    assert hub.asset("tea-a.AppImage") == FILES["tea-a.AppImage"]
    assert not hub.release["draft"]


def test_refused_file_leaves_a_draft_with_the_others(
    hub: GitHub, request_: publish.Request
) -> None:
    hub.refused.add("tea-a.AppImage")
    with pytest.raises(PublishFailed, match=r"not uploaded: tea-a\.AppImage"):
        publish.run(request_)
    assert hub.release is not None and hub.release["draft"]
    assert hub.asset("tea-b.cdx.json") == b"{}"


def test_tag_that_github_does_not_have_makes_no_release(
    hub: GitHub, request_: publish.Request
) -> None:
    hub.tag = "v9"
    with pytest.raises(CommandFailed, match="tag"):
        publish.run(request_)
    assert hub.release is None
