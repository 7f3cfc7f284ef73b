"""Room is made on machines that are thrown away, and on no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.base.errors import DiskFull, HostError
from tasks.host import ci_disk, install

HOSTED = {"RUNNER_ENVIRONMENT": "github-hosted"}


@pytest.fixture
def toolchains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setattr(install, "root_prefix", list)
    folders = [tmp_path / name for name in ("android", "julia1.10", "julia1.11", "kept")]
    for folder in folders:
        folder.mkdir()
        (folder / "file").write_text("large")
    return [tmp_path / "android", tmp_path / "nothing", tmp_path / "julia*", tmp_path / "kept"]


def left(toolchains: list[Path]) -> set[str]:
    return {path.name for path in toolchains[0].parent.iterdir()}


def free(toolchains: list[Path]) -> int:
    """As if each folder took 10 bytes of 50."""
    return 50 - 10 * len(left(toolchains))


def test_as_many_toolchains_go_as_are_needed(toolchains: list[Path]) -> None:
    ci_disk.make_room(40, HOSTED, toolchains, lambda place: free(toolchains))
    assert left(toolchains) == {"kept"}


def test_enough_room_deletes_nothing(toolchains: list[Path]) -> None:
    ci_disk.make_room(10, HOSTED, toolchains, lambda place: free(toolchains))
    assert len(left(toolchains)) == 4


def test_too_little_although_all_are_gone_is_said(toolchains: list[Path]) -> None:
    with pytest.raises(DiskFull):
        ci_disk.make_room(60, HOSTED, toolchains, lambda place: free(toolchains))
    assert left(toolchains) == set()


@pytest.mark.parametrize("environ", [{}, {"CI": "true"}, {"RUNNER_ENVIRONMENT": "self-hosted"}])
def test_machine_of_somebody_loses_nothing(environ: dict[str, str], toolchains: list[Path]) -> None:
    with pytest.raises(HostError, match="are free"):
        ci_disk.make_room(40, environ, toolchains, lambda place: free(toolchains))
    assert len(left(toolchains)) == 4
