"""Bundles of both architectures: what they share, what is native, which faults have a name."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from tasks import catalog, images
from tasks.base.errors import BuildError, CommandFailed, NoWheel
from tasks.build import bundle, pack, parts
from tasks.build import sessions as builds
from tasks.build.bundle import Options
from tasks.build.pack import AppImage
from tasks.build.sessions import Request
from tasks.catalog import Model
from tasks.engine.engine import Engine
from tasks.fetch import ensure, gguf
from tasks.fetch.ensure import StoredModel
from tasks.images import Base
from tests.support.fake_engine import FakeEngine
from tests.unit.build.test_bundle import FACTS


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    made = FakeEngine()
    monkeypatch.setattr(parts, "BUILD", tmp_path / "build")
    monkeypatch.setattr(Engine, "connect", lambda *words: made)
    monkeypatch.setattr(images, "ensure", lambda *words: Base("base:1", "standin", "sha256:0"))
    monkeypatch.setattr(gguf, "check", lambda *words: FACTS)

    def store(model: Model, options: object) -> StoredModel:
        path = tmp_path / model.file
        path.write_bytes(b"GGUF")
        return StoredModel(path, model.id.rjust(64, "0"), 4, "here", None)

    def write(
        program: object, layer: object, runtime: object, out: Path, **options: object
    ) -> None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(b"an AppImage")

    monkeypatch.setattr(ensure, "ensure", store)
    monkeypatch.setattr(pack, "pack", write)
    monkeypatch.setattr(pack, "read", lambda path: AppImage(path, "EM_X86_64", 1, 1, "d", None, ""))
    return made


def request(tmp_path: Path, *models: str) -> Request:
    options = Options(impls=("python",), dist=tmp_path / "dist")
    return Request(models, tuple(catalog.targets()), None, None, options)


def test_bundles_of_an_architecture_share_all_but_the_model(
    engine: FakeEngine, tmp_path: Path
) -> None:
    made = builds.build(request(tmp_path, "smollm2-135m", "gemma3-270m", "gemma3-1b"))
    assert len(made) == len(set(made)) == 6
    assert sorted((name, target.debian) for name, target in engine.built) == [
        # llama.cpp, the program and the runtime once for each architecture; packing is done on
        # the machine's own, once for each program.
        ("debs", "amd64"),
        ("debs", "arm64"),
        ("llama", "amd64"),
        ("llama", "arm64"),
        ("mksquashfs", "amd64"),
        ("pack", "amd64"),
        ("pack", "amd64"),
        ("python", "amd64"),
        ("python", "arm64"),
        ("runtime", "amd64"),
        ("runtime", "arm64"),
    ]


def test_second_run_makes_nothing(engine: FakeEngine, tmp_path: Path) -> None:
    asked = request(tmp_path, "smollm2-135m")
    builds.build(asked)
    engine.built.clear()
    builds.build(asked)
    assert engine.built == []


@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
def test_machine_builds_for_its_own_architecture(
    arch: str, engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.arch = arch
    monkeypatch.setattr(platform, "machine", lambda: arch)
    (made,) = bundle.build(
        catalog.model("smollm2-135m"),
        catalog.native_target().arch,
        Options(impls=("python",), dist=tmp_path / "dist"),
    )
    assert made.name.endswith(f"-{arch}.AppImage")
    assert {target.arch for _, target in engine.built} == {arch}  # nothing is a cross build


PIP = """\
ERROR: Could not find a version that satisfies the requirement markupsafe==3.0.4
ERROR: No matching distribution found for markupsafe==3.0.4"""


def test_package_without_a_wheel_for_the_target_is_named(
    engine: FakeEngine, tmp_path: Path
) -> None:
    engine.failures["python"] = CommandFailed("step failed", returncode=1, output=PIP)
    with pytest.raises(NoWheel, match=r"^markupsafe==3\.0\.4: no wheel for aarch64") as caught:
        bundle.build(
            catalog.model("smollm2-135m"),
            "aarch64",
            Options(impls=("python",), dist=tmp_path / "dist"),
        )
    assert isinstance(caught.value, BuildError)
    assert caught.value.exit_code == 22
    assert not list((tmp_path / "dist").glob("*.AppImage"))


def test_step_that_fails_for_another_reason_keeps_its_own_words(
    engine: FakeEngine, tmp_path: Path
) -> None:
    full = CommandFailed("step failed", returncode=1, output="No space left on device")
    engine.failures["python"] = full
    with pytest.raises(CommandFailed, match="step failed") as caught:
        bundle.build(
            catalog.model("smollm2-135m"),
            "aarch64",
            Options(impls=("python",), dist=tmp_path / "dist"),
        )
    assert caught.value is full
