"""Parts of a bundle from a builder that is not the engine's own, with caches in a registry.

The builder and the registry are made from source, which takes some minutes; so `--scale` asks for
it: `nox -s integration -- --scale`.
"""

from __future__ import annotations

import json
import shutil
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks import catalog, images
from tasks.base import files, process
from tasks.base.paths import ROOT
from tasks.build import parts
from tasks.build.parts import Builder
from tasks.engine.engine import BuildOptions, Engine
from tasks.images import Base

pytestmark = [pytest.mark.integration, pytest.mark.scale]
TARGET = catalog.native_target()
BUILDKIT = "v0.16.0"
NAME = "tea-test-scale"
HOST = "network.host"
DOCKERFILE = ROOT / "tests/support/builder.Dockerfile"


@dataclass(frozen=True)
class Site:
    """Another builder, and a registry that it takes Docker Hub's images and caches from."""

    builder: str
    registry: str

    def options(self, *, write: bool) -> BuildOptions:
        """Build there, and write the cache or read it."""
        cache = f"type=registry,ref={self.registry}/cache:{{part}}"
        if write:
            return BuildOptions(self.builder, cache_to=(f"{cache},mode=max",))
        return BuildOptions(self.builder, cache_from=(cache,))

    def tags(self) -> list[str]:
        """The caches that the registry holds."""
        with urllib.request.urlopen(f"http://{self.registry}/v2/cache/tags/list") as answer:
            return sorted(json.load(answer)["tags"])


@pytest.fixture(scope="module")
def base(engine: Engine) -> Base:
    return images.ensure(catalog.images()["build"], TARGET, engine)


@pytest.fixture(scope="module", params=["docker-container", "remote"])
def site(
    request: pytest.FixtureRequest,
    engine: Engine,
    base: Base,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    for stage in ("builder", "registry"):
        engine.build(
            DOCKERFILE,
            context=folder,
            stage=stage,
            target=TARGET,
            args={"BASE": base.reference, "BUILDKIT": BUILDKIT},
            tag=f"tea-test/{stage}:{TARGET.debian}",
        )
    with registry(engine) as address:
        # As on Docker Hub, the base image is at the name that the builds ask for.
        there = f"{address}/{base.reference}"
        process.run(["docker", "tag", base.reference, there], quiet=True)
        process.run(["docker", "push", there], quiet=True)
        config = folder / "buildkitd.toml"
        hub = f'[registry."docker.io"]\nmirrors = ["{address}"]\n'
        config.write_text(f'{hub}[registry."{address}"]\nhttp = true\n')
        make = {"docker-container": in_container, "remote": remote}[request.param]
        with make(config):
            yield Site(NAME, address)
        process.run(["docker", "image", "rm", there], quiet=True)


@contextmanager
def registry(engine: Engine) -> Iterator[str]:
    """A registry on a free port of the loopback interface, empty, and gone afterwards."""
    address = free_address()
    with engine.container(
        f"tea-test/registry:{TARGET.debian}", target=TARGET, network="host"
    ) as box:
        serve = "docker-registry serve /etc/registry.yml >/dev/null 2>&1 &"
        box.exec(["sh", "-c", f"REGISTRY_HTTP_ADDR={address} {serve}"], timeout=30)
        for _ in range(100):
            try:
                urllib.request.urlopen(f"http://{address}/v2/").close()
                break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        yield address


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@contextmanager
def created(*words: str) -> Iterator[None]:
    """A builder that buildx knows by ``NAME``, until the block ends."""
    process.capture(["docker", "buildx", "rm", "--force", NAME], check=False)
    process.run(["docker", "buildx", "create", "--name", NAME, *words], quiet=True)
    try:
        yield
    finally:
        process.run(["docker", "buildx", "rm", "--force", NAME], quiet=True)


@contextmanager
def in_container(config: Path) -> Iterator[None]:
    """A builder that buildx itself starts in a container."""
    image = f"image=tea-test/builder:{TARGET.debian}"
    words = ["--driver", "docker-container", "--driver-opt", image, "--driver-opt", "network=host"]
    words += ["--config", str(config), "--bootstrap"]
    with created(*words, "--buildkitd-flags", f"--allow-insecure-entitlement {HOST}"):
        yield


@contextmanager
def remote(config: Path) -> Iterator[None]:
    """A builder that somebody else started, known by its address alone."""
    address = f"tcp://{free_address()}"
    box = f"{NAME}-remote"
    words = ["docker", "run", "--detach", "--rm", "--privileged", "--network", "host"]
    words += ["--name", box, "--volume", f"{config}:/etc/buildkit/buildkitd.toml:ro"]
    words += [f"tea-test/builder:{TARGET.debian}", "--addr", address]
    process.run([*words, "--allow-insecure-entitlement", HOST], quiet=True)
    try:
        with created("--driver", "remote", address):
            yield
    finally:
        process.run(["docker", "rm", "--force", "--volumes", box], quiet=True)


def test_parts_of_another_builder_are_the_same_to_the_byte(
    engine: Engine,
    site: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    here = Builder.on(engine, TARGET, BuildOptions())
    expected = files.sha256_of(here.runtime())
    monkeypatch.setattr(parts, "BUILD", tmp_path / "build")

    there = Builder.on(engine, TARGET, site.options(write=True))
    assert files.sha256_of(there.runtime()) == expected
    there.mksquashfs()
    names = [f"mksquashfs-{TARGET.arch}", f"runtime-{TARGET.arch}"]
    assert site.tags() == names

    # Another machine: neither the parts nor the builder's own cache are there, only the registry.
    shutil.rmtree(tmp_path / "build")
    process.run(
        ["docker", "buildx", "prune", "--builder", site.builder, "--all", "--force"], quiet=True
    )
    capsys.readouterr()
    again = Builder.on(engine, TARGET, site.options(write=False))
    assert files.sha256_of(again.runtime()) == expected
    assert capsys.readouterr().err.count("taken from the build cache") >= 3
