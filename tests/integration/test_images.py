"""Base images on a real engine. Stand-ins are made where the registry cannot be reached."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tasks import catalog, images
from tasks.catalog import Image
from tasks.engine.engine import Engine

pytestmark = pytest.mark.integration

TARGET = catalog.native_target()


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine.connect() as connected:
        yield connected


def silent(image: Image) -> Image:
    """The same row at a registry that refuses connections."""
    return Image(image.id, f"localhost:1/{image.id}", image.digest, image.fallback)


@pytest.mark.parametrize("name", ["build", "smoke"])
def test_every_base_image_is_had_and_of_the_right_architecture(engine: Engine, name: str) -> None:
    base = images.ensure(catalog.images()[name], TARGET, engine)
    assert engine.image_arch(base.reference) == TARGET.arch
    assert base.id == engine.image_id(base.reference)
    assert images.ensure(catalog.images()[name], TARGET, engine) == base


def test_the_smoke_stand_in_has_an_older_libc(
    engine: Engine,
) -> None:
    base = images.ensure(silent(catalog.images()["smoke"]), TARGET, engine)
    assert base.origin == "standin"
    said = engine.run(base.reference, ["ldd", "--version"], target=TARGET, timeout=60)
    version = said.stdout.decode().splitlines()[0].rsplit(" ", 1)[-1]
    assert tuple(map(int, version.split("."))) < (2, 35)


def test_a_stand_in_can_be_built_on(engine: Engine, tmp_path: Path) -> None:
    base = images.ensure(silent(catalog.images()["build"]), TARGET, engine)
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(
        "ARG BASE\nFROM --platform=$BUILDPLATFORM ${BASE} AS work\n"
        "FROM scratch AS export\nCOPY --from=work /etc/os-release /\n"
    )
    engine.build(
        dockerfile,
        context=tmp_path,
        stage="export",
        target=TARGET,
        args={"BASE": base.reference},
        output=tmp_path / "out",
    )
    suite = catalog.images()["build"].fallback.suite
    assert f"VERSION_CODENAME={suite}" in (tmp_path / "out" / "os-release").read_text()


def test_a_stand_in_made_again_has_the_same_id(engine: Engine) -> None:
    row = silent(catalog.images()["smoke"])
    first = images.ensure(row, TARGET, engine)
    recipe = engine.image_labels(first.reference)[images.RECIPE]
    again = "tea-base/test-again:latest"
    client = docker.from_env()
    try:
        images._make(row.fallback, recipe, again, TARGET, engine)
        assert engine.image_id(again) == first.id
    finally:
        client.images.remove(again, force=True)
        client.close()
