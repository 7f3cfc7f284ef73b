"""Stands where the Docker engine is, for tests of what is asked of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks import catalog, images
from tasks.base.errors import CommandFailed
from tasks.catalog import Target
from tests.support.elf import AARCH64, X86_64, Elf

MACHINES = {"x86_64": X86_64, "aarch64": AARCH64}
# What the Dockerfiles of a bundle's parts leave, as far as it is looked at.
LEFT = {
    "pack": {"program.squashfs": b"hsqs"},
    "mksquashfs": {"ld-linux-test.so.1": b"\x7fELF"},
    "runtime": {"runtime": b"\x7fELF", "notices/LICENSE": b""},
}


@dataclass
class FakeEngine:
    """Notes what it is asked for and leaves the least that passes for it.

    ``local``: its images, each with its architecture and labels. ``on_pull``: what a pull does.
    ``failures``: by the Dockerfile's folder. ``machine``: of the program, where it is not the
    target's. ``inside``: what a container of it is.
    """

    arch: str = "x86_64"
    local: dict[str, tuple[str, Mapping[str, str]]] = field(default_factory=dict)
    on_pull: Callable[[FakeEngine], None] = lambda engine: None
    failures: dict[str, CommandFailed] = field(default_factory=dict)
    machine: int | None = None
    inside: Any = None
    pulls: int = 0
    built: list[tuple[str, Target]] = field(default_factory=list)
    tagged: list[str] = field(default_factory=list)
    asked: dict[str, dict[str, Any]] = field(default_factory=dict)
    containers: list[dict[str, Any]] = field(default_factory=list)

    def __enter__(self) -> FakeEngine:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    @property
    def target(self) -> Target:
        """The one that it runs without emulation."""
        return catalog.target(self.arch)

    def pull(self, reference: str, target: Target) -> None:
        self.pulls += 1
        self.on_pull(self)

    def image_id(self, reference: str) -> str | None:
        return f"id of {reference}" if reference in self.local else None

    def image_arch(self, reference: str) -> str | None:
        return self.local[reference][0] if reference in self.local else None

    def image_labels(self, reference: str) -> Mapping[str, str]:
        return self.local[reference][1] if reference in self.local else {}

    def build(
        self,
        dockerfile: Path,
        *,
        target: Target,
        args: Mapping[str, str],
        stage: str = "",
        tag: str = "",
        output: Path | None = None,
        **options: Any,
    ) -> None:
        """Note the build, and leave its image or its output."""
        name = "mksquashfs" if stage == "mksquashfs" else dockerfile.parent.name
        self.built.append((name, target))
        self.asked[name] = {"target": target, **options}
        if name in self.failures:
            raise self.failures[name]
        if tag:
            self.tagged.append(tag)
            labels = {}
            if "RECIPE" in args:
                assert (dockerfile.parent / "rootfs.tar").read_text() == "root file system"
                labels = {images.RECIPE: args["RECIPE"]}
            self.local[tag] = (target.arch, labels)
        if output is not None:
            shutil.rmtree(output, ignore_errors=True)
            for file, content in self._left(name, target).items():
                (output / file).parent.mkdir(parents=True, exist_ok=True)
                (output / file).write_bytes(content)

    def _left(self, name: str, target: Target) -> Mapping[str, bytes]:
        if name == "python":
            machine = self.machine or MACHINES[target.arch]
            return {"usr/bin/python3": bytes(Elf(machine=machine))}
        return LEFT.get(name, {f"usr/{name}": b""})

    def since(self) -> list[str]:
        """What was built since the last question."""
        built = [name for name, _ in self.built]
        self.built.clear()
        return built

    @contextmanager
    def volume(self) -> Iterator[str]:
        yield "home-volume"

    @contextmanager
    def container(self, image: str, **options: Any) -> Iterator[Any]:
        self.containers.append(options)
        yield self.inside
