"""The parts of a bundle that are built: llama.cpp, the program's AppDir, its squashfs, the runtime.

Each part is one stage of one docker/JOB/Dockerfile; one whose inputs have not changed is not run.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tasks import catalog, images
from tasks.base import build_step, console, files
from tasks.base.build_step import BuildStep
from tasks.base.errors import CommandFailed, NoWheel
from tasks.base.files import EPOCH
from tasks.base.paths import BUILD, DOCKER, ROOT
from tasks.build import appdir
from tasks.catalog import Target
from tasks.engine.engine import BuildOptions, Engine
from tasks.images import Base

CHECKS = ("base/elf", "build/appdir", "build/isa_check")  # modules that decide what a tree may be
SOURCES = {  # what the program of each implementation is made of, beside docker/IMPL
    "python": ["python/src"],
    "rust": [
        "rust/.cargo",
        "rust/Cargo.lock",
        "rust/Cargo.toml",
        "rust/engine-host/Cargo.toml",
        "rust/tea-cli",
        "rust/tea-core",
        "rust/tea-wasm/Cargo.toml",
    ],
}


@dataclass(frozen=True, slots=True)
class Program:
    """A program for one architecture, ready to be joined with a model."""

    impl: str
    target: Target
    appdir: Path  # the tree, for checks and measurements
    squashfs: Path  # the same tree, packed
    digest: str  # of everything that it was made from
    unpacked_size: int  # bytes that the tree takes on a disk


@dataclass(frozen=True, slots=True)
class Builder:
    """Builds parts for one target on one engine."""

    engine: Engine
    target: Target
    base: Base  # the image that the build steps run in, of the engine's own architecture
    options: BuildOptions

    @classmethod
    def on(cls, engine: Engine, target: Target, options: BuildOptions) -> Builder:
        """A builder on ``engine``, once its base image is there."""
        base = images.ensure(catalog.images()["build"], engine.target, engine)
        return cls(engine, target, base, options)

    def llama(self) -> Path:
        """llama.cpp's shared libraries, CPU backends and headers; returns their folder."""
        return self._build("llama.cpp", "llama", sources=[], args={})

    def runtime(self) -> Path:
        """The executable that every AppImage begins with; returns its file."""
        return self._build("runtime", "runtime", sources=["appdir/runtime"], args={}) / "runtime"

    def program(self, impl: str) -> Program:
        """The program's AppDir, checked, and its squashfs.

        Raises:
            BuildError: the tree would not run on the target.
            NoWheel: a Python package has no build for the target.
        """
        contexts = {"llama": self.llama(), "debs": self._debs(impl)}
        try:
            tree = self._build(
                f"{impl} program",
                impl,
                sources=SOURCES[impl],
                args={"SOURCE_DATE_EPOCH": str(EPOCH)},
                contexts=contexts,
            )
        except CommandFailed as error:
            if missing := no_wheel(error, self.target):
                raise missing from error
            raise
        return self._packed(impl, tree)

    def _debs(self, impl: str) -> Path:
        """The Debian packages that the program's AppDir is made of, unpacked."""
        names = f"docker/{impl}/debs.txt"
        return self._build(
            f"Debian packages of the {impl} program",
            "debs",
            name=f"{impl}-debs",
            sources=[names],
            args={"LIST": names},
        )

    def _packed(self, impl: str, tree: Path) -> Program:
        """Finish, check and pack ``tree``."""
        finished = BUILD / f"{impl}-appdir-{self.target.arch}"
        shell = [appdir.SOURCE / name for name in ("AppRun", "tea.desktop", "tea.svg")]
        shell.append(appdir.SOURCE / f"{appdir.APP_ID}.metainfo.xml")
        checks = [ROOT / "tasks" / f"{name}.py" for name in CHECKS]
        inputs = {
            "tree": self._stamp_of(tree),
            "shell": build_step.digest_of_files([*shell, *checks], ROOT),
        }
        name = f"AppDir of the {impl} program for {self.target.arch}"
        BuildStep(name, finished, inputs).run(lambda: self._finish(tree, finished))
        packed = self._build(
            f"{impl} squashfs",
            "pack",
            name=f"{impl}-squashfs",
            sources=[],
            args={"SOURCE_DATE_EPOCH": str(EPOCH)},
            contexts={"appdir": finished},
            inputs={"appdir": self._stamp_of(finished)},
            target=self.engine.target,
        )
        return Program(
            impl=impl,
            target=self.target,
            appdir=finished,
            squashfs=packed / "program.squashfs",
            digest=self._stamp_of(packed),
            unpacked_size=size_of(finished),
        )

    def _finish(self, tree: Path, finished: Path) -> None:
        with files.disk_errors(finished):
            if finished.exists():
                shutil.rmtree(finished)
            shutil.copytree(tree, finished, symlinks=True)
            appdir.finish(finished)
        count = appdir.check(finished, self.target)
        console.note(f"{count} ELF files checked")

    def _build(
        self,
        what: str,
        job: str,
        *,
        sources: list[str],
        args: Mapping[str, str],
        name: str = "",
        stage: str = "export",
        contexts: Mapping[str, Path] | None = None,
        inputs: Mapping[str, str] | None = None,
        target: Target | None = None,
    ) -> Path:
        """Run a ``stage`` of docker/JOB/Dockerfile into a folder of build/, unless it is done."""
        target = target or self.target
        output = BUILD / f"{name or job}-{self.target.arch}"
        paths = [DOCKER / job, DOCKER / "apt", *(ROOT / source for source in sources)]
        given = {
            "base": self.base.id,
            "target": self.target.arch,
            "sources": build_step.digest_of_files(paths, ROOT),
            **target.build_args,
            **args,
            **(inputs or {}),
            **{key: self._stamp_of(path) for key, path in (contexts or {}).items()},
        }
        BuildStep(f"{what} for {self.target.arch}", output, given).run(
            lambda: self.engine.build(
                DOCKER / job / "Dockerfile",
                context=ROOT,
                stage=stage,
                target=target,
                args={"BASE": self.base.reference, **args},
                output=output,
                contexts=contexts or {},
                options=self.options.for_part(output.name),
            )
        )
        return output

    def mksquashfs(self) -> tuple[str, ...]:
        """The command that runs the pinned mksquashfs."""
        return self.tool("mksquashfs", "pack", stage="mksquashfs")

    def tool(self, program: str, job: str, stage: str = "export") -> tuple[str, ...]:
        """The command that runs a pinned ``program`` on this machine, without a container."""
        name = job if stage == "export" else stage
        folder = replace(self, target=self.engine.target)._build(
            name, job, name=name, stage=stage, sources=[], args={}
        )
        loader = next(folder.glob("ld-linux-*"))
        return (str(loader), "--library-path", str(folder), str(folder / program))

    @staticmethod
    def _stamp_of(output: Path) -> str:
        """The digest of what ``output`` was made from."""
        stamp = output.with_name(f".{output.name}.stamp")
        return stamp.read_text(encoding="utf-8").split()[0] if stamp.exists() else str(output)


def no_wheel(error: CommandFailed, target: Target) -> NoWheel | None:
    """What pip's words mean when a package has no build for ``target``; None for other words."""
    found = re.search(r"No matching distribution found for (\S+)", error.output)
    if found is None:
        return None
    return NoWheel(
        f"{found[1]}: no wheel for {target.wheel} on Linux and the bundled Python",
        hint="choose a version that has one in docker/python/requirements.in, and lock it again",
    )


def size_of(tree: Path) -> int:
    """Bytes that ``tree`` takes on a disk with blocks of 4 KiB, an inode's with each entry."""
    sizes = (path.lstat().st_size for path in tree.rglob("*"))
    return sum(-(-size // 4096) * 4096 + 4096 for size in sizes)
