"""A row is all that a new architecture needs: the Dockerfiles take riscv64, and none names it.

Nothing is compiled: compilers and libraries are found, and installed.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tasks import catalog, images
from tasks.base.paths import ROOT
from tasks.engine import buildx
from tasks.engine.engine import BuildOptions, Engine

pytestmark = pytest.mark.integration

SUPPORT = ROOT / "tests/support"
RISCV64 = catalog.targets(SUPPORT / "riscv64.toml")["riscv64"]
DOCKERFILES = sorted(ROOT.glob("docker/*/Dockerfile"))
LAST = {"diffoscope": "diffoscope", "lint": "lint"}  # stages that become images
FOLDERS = ("appdir", "debs", "llama")  # the named contexts of some
HELP = subprocess.run(
    ["docker", "buildx", "build", "--help"], capture_output=True, text=True, check=False
).stdout
# Since buildx 0.15; before, what comes nearest.
RESOLVE = ["--check"] if "--check" in HELP else ["--print", "outline"]


@pytest.fixture(scope="module")
def base(engine: Engine) -> str:
    """The image that builds run in."""
    image = catalog.images()["build"]
    tag = "tea-test/main-archive"
    engine.build(
        SUPPORT / "main_archive.Dockerfile",
        context=SUPPORT,
        stage="base",
        target=engine.target,
        args={"BASE": images.ensure(image, engine.target, engine).reference},
        tag=tag,
    )
    return tag


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: str(path.parent.name))
def test_dockerfile_resolves_for(dockerfile: Path, base: str, tmp_path: Path) -> None:
    words = buildx.command(
        dockerfile,
        context=ROOT,
        stage=LAST.get(dockerfile.parent.name, "export"),
        target=RISCV64,
        args={"BASE": base},
        contexts=dict.fromkeys(FOLDERS, tmp_path),
        options=BuildOptions(),
        environ={},
        output=None,
        tag=None,
    )
    environ = {**os.environ, "BUILDX_EXPERIMENTAL": "1"}
    done = subprocess.run(
        [*words[:3], *RESOLVE, *words[3:]],
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("job", ["llama", "runtime"])
def test_compilers_and_libraries_are_found_for(job: str, engine: Engine, base: str) -> None:
    engine.build(
        ROOT / "docker" / job / "Dockerfile",
        context=ROOT,
        stage="toolchain",
        target=RISCV64,
        args={"BASE": base},
    )
