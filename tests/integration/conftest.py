"""What the tests of bundles share: an engine, and the smallest bundle, built as a user would.

It is built into the project's own dist/ by the stages' own rules, so that a second run of the
tests builds nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks import catalog, images
from tasks.build import pack
from tasks.build.bundle import Options, build
from tasks.build.pack import Layer
from tasks.build.parts import Builder, Program
from tasks.engine.containers import Container
from tasks.engine.engine import BuildOptions, Engine, Mount, Output
from tasks.fetch import ensure
from tasks.fetch.ensure import StoredModel
from tasks.smoke import run as smoke

IMPL = "python"
MODEL = catalog.model(catalog.QUICKSTART)
TARGET = catalog.native_target()


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with Engine.connect() as engine:
        yield engine


@pytest.fixture(scope="session")
def bundle() -> Path:
    """The AppImage of the smallest model for this machine."""
    (path,) = build(MODEL, TARGET.arch, Options(impls=(IMPL,)))
    return path


@pytest.fixture(scope="session")
def model() -> StoredModel:
    """The smallest model, in the store."""
    return ensure.ensure(MODEL)


@dataclass(frozen=True)
class Parts:
    """What a bundle is packed from."""

    engine: Engine
    program: Program
    runtime: Path
    mksquashfs: tuple[str, ...]

    def pack(
        self, layer: Layer, out: Path, program: Program | None = None, update: str = ""
    ) -> None:
        program = program or self.program
        pack.pack(program, layer, self.runtime, out, mksquashfs=self.mksquashfs, update=update)


@pytest.fixture(scope="session")
def parts(engine: Engine, bundle: Path) -> Parts:
    """The parts of ``bundle``."""
    builder = Builder.on(engine, TARGET, BuildOptions())
    return Parts(engine, builder.program(IMPL), builder.runtime(), builder.mksquashfs())


@dataclass(frozen=True)
class Stranger:
    """A machine that knows nothing of the project, with one AppImage on it."""

    box: Container
    file: str

    def tea(
        self,
        *words: str,
        env: dict[str, str] | None = None,
        stdin: bytes | None = None,
        file: str | None = None,
    ) -> Output:
        """Run the AppImage, or another ``file``, as its user would."""
        return self.box.exec(
            [file or self.file, *words],
            env={"HOME": smoke.HOME, "PATH": "/usr/bin:/bin", **(env or {})},
            user=smoke.USER,
            workdir=smoke.HOME,
            stdin=stdin,
            timeout=smoke.START_TIMEOUT,
        )

    def sh(self, script: str, user: str = smoke.USER) -> Output:
        """Run a shell script."""
        return self.box.exec(["sh", "-ec", script], user=user, workdir=smoke.HOME, timeout=60)


@contextmanager
def stranger(
    engine: Engine,
    home: str,
    bundle: Path,
    *,
    at: str = "",
    cpus: float | None = None,
    cpuset: str | None = None,
) -> Iterator[Stranger]:
    """A clean container with ``bundle`` at ``at``, or below /bundle, and the volume ``home``."""
    base = images.ensure(catalog.images()["smoke"], TARGET, engine)
    file = at or f"/bundle/{bundle.name}"
    mounts = [
        Mount(bundle, file, read_only=True),
        Mount(home, smoke.HOME),
    ]
    with engine.container(
        base.reference,
        target=TARGET,
        read_only=True,
        tmpfs={"/tmp": "size=64m"},
        mounts=mounts,
        cpus=cpus,
        cpuset=cpuset,
    ) as box:
        box.exec(["chown", smoke.USER, smoke.HOME], timeout=60)
        yield Stranger(box, file)


@pytest.fixture(scope="session")
def home(engine: Engine) -> Iterator[str]:
    """A home that keeps what the first start unpacks."""
    with engine.volume() as volume:
        yield volume


@pytest.fixture(scope="session")
def clean(engine: Engine, bundle: Path, home: str) -> Iterator[Stranger]:
    """A clean container with the bundle, for tests that leave nothing in it."""
    with stranger(engine, home, bundle) as found:
        yield found
