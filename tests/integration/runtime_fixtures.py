"""What the runtime's tests share, made once: the runtime, the images, the machines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.runtime_support import (
    Bench,
    build_runtime,
    build_tools,
    docker,
    make_appdir,
    make_program,
    pack,
)


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_runtime(tmp_path_factory.mktemp("runtime"))


@pytest.fixture(scope="session")
def appdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_appdir(tmp_path_factory.mktemp("appdir"))


@pytest.fixture(scope="session")
def bench(runtime: Path, appdir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    build_tools()
    folder = tmp_path_factory.mktemp("bench")
    folder.chmod(0o755)
    (folder / "runtime").write_bytes(runtime.read_bytes())
    (folder / "runtime").chmod(0o755)
    machines: dict[str, str] = {}
    yield Bench(folder, pack(appdir, runtime, folder / "app.AppImage"), machines)
    if machines:
        docker("rm", "-f", *machines.values())


@pytest.fixture(scope="session")
def slow(bench: Bench, runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """An image that takes long enough to unpack that something can happen meanwhile."""
    appdir = make_appdir(tmp_path_factory.mktemp("slow"), large=300_000_000)
    image = pack(appdir, runtime, bench.folder / "slow.AppImage")
    return replace(bench, image=image)


@pytest.fixture(scope="session")
def program(bench: Bench, runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """An image with a loader of its own, as the bundles have."""
    appdir = make_program(tmp_path_factory.mktemp("program"))
    return replace(bench, image=pack(appdir, runtime, bench.folder / "program.AppImage"))
