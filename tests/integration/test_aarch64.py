"""The smallest bundle for the other architecture: built here, run under QEMU on its oldest CPU.

The other one is aarch64 on an x86_64 machine, and the reverse.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from tasks import catalog
from tasks.base.errors import BuilderPlatform, CommandFailed
from tasks.base.paths import ROOT
from tasks.build import appdir, pack
from tasks.build import sessions as builds
from tasks.build.bundle import Options, build
from tasks.build.parts import Builder, Program, no_wheel
from tasks.engine.engine import BuildOptions, Engine
from tasks.host import binfmt, binfmt_install
from tasks.host import report as host
from tasks.smoke import cpus
from tasks.smoke import run as smoke
from tests.integration.conftest import IMPL, MODEL, TARGET
from tests.support import standin

pytestmark = pytest.mark.integration

FOREIGN = next(row for row in catalog.targets().values() if row != TARGET)
ARCHIVE = "usr/lib/python313.zip"
NO_MACHINE = 0x7FFF


def foreign_bundle(impl: str) -> Path:
    """The AppImage of the smallest model for the other architecture, built if need be."""
    (path,) = build(MODEL, FOREIGN.arch, Options(impls=(impl,)))
    return path


@pytest.fixture(scope="session")
def foreign() -> Path:
    """The Python program's."""
    return foreign_bundle(IMPL)


@pytest.fixture(scope="session")
def programs(engine: Engine, bundle: Path, foreign: Path) -> tuple[Program, Program]:
    """The program for this machine's architecture, and for the other one."""
    options = BuildOptions()
    native, other = (Builder.on(engine, target, options) for target in (TARGET, FOREIGN))
    return native.program(IMPL), other.program(IMPL)


@pytest.fixture(scope="session")
def emulated() -> None:
    """The other architecture's programs and AppImages run here."""
    binfmt_install.prepare(FOREIGN)


def report_of(bundle: Path) -> dict[str, Any]:
    """What the smoke test wrote beside the bundle."""
    found: dict[str, Any] = json.loads(bundle.with_name(f"{bundle.stem}.smoke.json").read_text())
    return found


def test_bundle_is_the_other_architectures_to_the_last_elf_file(
    foreign: Path, programs: tuple[Program, Program]
) -> None:
    assert pack.read(foreign).arch == FOREIGN.elf
    native, other = programs
    assert appdir.check(other.appdir, FOREIGN) > 40
    names = [
        {str(path.relative_to(tree)) for path in tree.rglob("*.pyc")}
        for tree in (native.appdir, other.appdir)
    ]
    assert names[0] == names[1]


def test_byte_code_is_the_same_whatever_it_is_built_for(programs: tuple[Program, Program]) -> None:
    native, other = programs
    assert (native.appdir / ARCHIVE).read_bytes() == (other.appdir / ARCHIVE).read_bytes()


def test_built_again_with_nothing_changed_nothing_is_made(foreign: Path) -> None:
    before = foreign.stat()
    build(MODEL, FOREIGN.arch, Options(impls=(IMPL,)))
    after = foreign.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_prepared_machine_runs_the_other_architecture(emulated: None) -> None:
    assert [check.state for check in host.emulation_checks(FOREIGN)] == ["ok", "ok"]
    before = list(binfmt.entries())
    binfmt_install.prepare(FOREIGN)
    assert list(binfmt.entries()) == before
    # Nothing that this machine runs itself may go to an emulator.
    assert binfmt.entry_for(TARGET) is None
    assert binfmt.entry_for(TARGET, binfmt.APPIMAGE) is None


@pytest.mark.parametrize("impl", catalog.IMPLEMENTATIONS)
def test_bundle_answers_on_the_oldest_cpu(impl: str, emulated: None) -> None:
    bundle = foreign_bundle(impl)
    (oldest, *_) = cpus.of(FOREIGN)
    smoke.run([bundle], chosen=[oldest])
    report = report_of(bundle)
    assert report["passed"] is True
    names = [check["name"] for check in report["checks"]]
    assert f"{oldest.name}: chooses {oldest.backend}" in names
    assert f"{oldest.name}: the model answers" in names


@pytest.mark.large
def test_large_model_speaks_on_the_other_architecture(
    emulated: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "gemma.gguf"
    standin.write(file)
    monkeypatch.setenv("TEA_BUNDLES_CACHE", str(tmp_path / "cache"))
    words = ["--model-file", str(file), "--name", "gemma3-1b-standin", "--arch", FOREIGN.arch]
    words += ["--dist", str(tmp_path / "dist")]
    (bundle,) = builds.build(builds.request("build", words))
    assert bundle.stat().st_size > 1_069_000_000
    smoke.run([bundle], chosen=cpus.of(FOREIGN)[:1])
    assert report_of(bundle)["passed"] is True


# -- what is told when it cannot be


def test_package_without_a_build_for_the_target_is_named(engine: Engine, tmp_path: Path) -> None:
    builder = Builder.on(engine, TARGET, BuildOptions())
    with pytest.raises(CommandFailed) as caught:
        engine.build(
            ROOT / "docker/python/Dockerfile",
            context=ROOT,
            stage="wheels",
            target=TARGET,
            args={"BASE": builder.base.reference, "TARGET_WHEEL": "loongarch64"},
            output=tmp_path / "out",
        )
    found = no_wheel(caught.value, TARGET)
    assert found is not None
    assert found.message.startswith("llguidance==")
    assert not (tmp_path / "out").exists()


def test_architecture_that_the_builder_lacks_is_its_own_error(
    engine: Engine, tmp_path: Path
) -> None:
    # The smallest program of an architecture that nothing emulates, for there is none.
    head = struct.pack("<HHIQQQIHHHHHH", 2, NO_MACHINE, 1, 0x400000, 64, 0, 0, 64, 56, 0, 0, 0, 0)
    program = tmp_path / "prog"
    program.write_bytes(b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + head)
    program.chmod(0o755)
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text('FROM scratch AS export\nCOPY prog /prog\nRUN ["/prog"]\n')
    with pytest.raises(BuilderPlatform, match="exec format error") as caught:
        engine.build(
            dockerfile,
            context=tmp_path,
            stage="export",
            target=FOREIGN,
            args={},
            output=tmp_path / "out",
        )
    assert caught.value.exit_code == 48
    assert "nox -s host" in caught.value.hint
