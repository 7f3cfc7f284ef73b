from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from tasks import catalog
from tasks.base.errors import BuildError, CommandFailed
from tasks.base.paths import ROOT
from tasks.build import appdir, parts
from tasks.build.parts import Builder, Program
from tasks.catalog import Target
from tasks.engine.engine import BuildOptions, Engine
from tasks.images import Base
from tests.support.elf import AARCH64
from tests.support.fake_engine import FakeEngine


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the sources of all parts, with a build/ of its own."""
    for folder in ("docker", "appdir", "python/src"):
        ignored = shutil.ignore_patterns("target", "__pycache__")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    for name in parts.CHECKS:
        copy = tmp_path / f"tasks/{name}.py"
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / f"tasks/{name}.py", copy)
    monkeypatch.setattr(parts, "ROOT", tmp_path)
    monkeypatch.setattr(parts, "DOCKER", tmp_path / "docker")
    monkeypatch.setattr(parts, "BUILD", tmp_path / "build")
    monkeypatch.setattr(appdir, "SOURCE", tmp_path / "appdir")
    return tmp_path


def builder(engine: FakeEngine, target: Target | None = None, base: str = "sha256:1") -> Builder:
    return Builder(
        cast(Engine, engine),
        target or engine.target,
        Base("debian@sha256:0", "registry", base),
        BuildOptions(),
    )


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


def test_program_is_built_finished_checked_and_packed(engine: FakeEngine, root: Path) -> None:
    made = builder(engine).program("python")
    assert engine.since() == ["llama", "debs", "python", "pack"]
    assert made.appdir == root / "build/python-appdir-x86_64"
    assert (made.appdir / "AppRun").is_file()
    assert made.squashfs == root / "build/python-squashfs-x86_64/program.squashfs"
    assert made.squashfs.is_file()
    files = [path for path in made.appdir.rglob("*") if path.is_file() and not path.is_symlink()]
    content = sum(path.stat().st_size for path in files)
    assert content + 4096 * len(files) < made.unpacked_size < content + 3 * 4096 * 40
    assert engine.asked["python"]["contexts"] == {
        "llama": root / "build/llama-x86_64",
        "debs": root / "build/python-debs-x86_64",
    }
    assert engine.asked["pack"]["contexts"] == {"appdir": made.appdir}


def test_nothing_is_built_twice(engine: FakeEngine, root: Path) -> None:
    first = builder(engine).program("python")
    builder(engine).runtime()
    engine.since()
    assert builder(engine).program("python") == first
    builder(engine).runtime()
    assert engine.since() == []


def test_each_part_has_a_cache_of_its_own(engine: FakeEngine, root: Path) -> None:
    options = BuildOptions("far", ("type=registry,ref=r:{part}",), ("type=local,dest=/c/{part}",))
    replace(builder(engine), options=options).program("python")
    for dockerfile, part in (("llama", "llama"), ("python", "python"), ("pack", "python-squashfs")):
        given = engine.asked[dockerfile]["options"]
        assert given.builder == "far"
        assert given.cache_from == (f"type=registry,ref=r:{part}-x86_64",)
        assert given.cache_to == (f"type=local,dest=/c/{part}-x86_64",)


def append(name: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        with (root / name).open("a") as file:
            file.write("\n# changed\n")

    return change


CHANGES: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "the program": (append("python/src/the_edge_agent/__init__.py"), ["python", "pack"]),
    "what assembles it": (append("docker/python/assemble.py"), ["python", "pack"]),
    "the start script": (append("appdir/AppRun"), ["pack"]),
    "the metadata": (append(f"appdir/{appdir.APP_ID}.metainfo.xml"), ["pack"]),
    "the way of packing": (append("docker/pack/Dockerfile"), ["pack"]),
    "the libraries it brings": (append("docker/python/debs.txt"), ["debs", "python", "pack"]),
    "the other program's": (append("docker/rust/debs.txt"), []),
    "the way of installing": (
        append("docker/apt/install"),
        ["llama", "debs", "python", "pack", "runtime"],
    ),
    "the runtime": (append("appdir/runtime/main.c"), ["runtime"]),
    "llama.cpp's build": (append("docker/llama/Dockerfile"), ["llama", "python", "pack"]),
    "nothing that is built": (append("appdir/tea.desktop.orig"), []),
}


@pytest.mark.parametrize("change", CHANGES)
def test_only_what_follows_is_built_again_after_a_change_of(
    change: str, engine: FakeEngine, root: Path
) -> None:
    def build() -> Program:
        builder(engine).runtime()
        return builder(engine).program("python")

    before = build()
    engine.since()
    spoil, expected = CHANGES[change]
    spoil(root)
    after = build()
    assert sorted(engine.since()) == sorted(expected)
    assert (after.digest != before.digest) == ("pack" in expected)


def test_another_base_image_builds_all_again(engine: FakeEngine, root: Path) -> None:
    builder(engine).program("python")
    engine.since()
    builder(engine, base="sha256:2").program("python")
    assert engine.since() == ["llama", "debs", "python", "pack"]


def test_a_target_s_new_name_builds_again_what_is_told_it(engine: FakeEngine, root: Path) -> None:
    builder(engine).program("python")
    engine.since()
    moved = replace(engine.target, runner="another machine")
    builder(engine, moved).program("python")
    assert engine.since() == []
    hardened = replace(engine.target, branch_protection="-fcf-protection=branch")
    builder(engine, hardened).runtime()
    assert engine.since() == ["runtime"]


def test_architectures_have_parts_of_their_own(engine: FakeEngine, root: Path) -> None:
    builder(engine).program("python")
    made = builder(engine, catalog.target("aarch64")).program("python")
    assert made.appdir.name == "python-appdir-aarch64"
    assert engine.asked["python"]["target"].arch == "aarch64"
    # Packing runs no code of the target, so it runs where the engine is at home.
    assert engine.asked["pack"]["target"].arch == "x86_64"
    engine.since()
    builder(engine).program("python")
    assert engine.since() == []


def test_program_of_another_architecture_is_never_packed(root: Path) -> None:
    engine = FakeEngine(machine=AARCH64)
    with pytest.raises(BuildError, match="is for EM_AARCH64"):
        builder(engine).program("python")
    assert "pack" not in engine.since()
    engine.machine = None
    shutil.rmtree(root / "build/python-x86_64")
    builder(engine).program("python")
    assert engine.since() == ["python", "pack"]


@pytest.mark.parametrize("part", ["llama", "debs", "python", "pack"])
def test_part_that_failed_is_tried_again_and_none_that_did_not(
    part: str, engine: FakeEngine, root: Path
) -> None:
    order = ["llama", "debs", "python", "pack"]
    engine.failures[part] = CommandFailed("a step failed", returncode=1)
    with pytest.raises(CommandFailed):
        builder(engine).program("python")
    assert engine.since() == order[: order.index(part) + 1]
    engine.failures.clear()
    builder(engine).program("python")
    assert engine.since() == order[order.index(part) :]


def test_mksquashfs_is_taken_out_of_its_image_once(engine: FakeEngine, root: Path) -> None:
    first, second = (builder(engine).mksquashfs() for _ in range(2))
    assert first == second
    assert first[0].endswith("ld-linux-test.so.1") and first[-1].endswith("/mksquashfs")
    assert engine.since() == ["mksquashfs"]
    builder(engine, base="sha256:2").mksquashfs()
    append("docker/pack/Dockerfile")(root)
    builder(engine).mksquashfs()
    assert engine.since() == ["mksquashfs", "mksquashfs"]
