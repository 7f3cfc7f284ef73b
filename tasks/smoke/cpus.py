"""The CPUs that bundles are tried on under QEMU: the rows of tasks/catalog/data/cpus.toml."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tasks.base.errors import UnknownName
from tasks.base.toml_table import read_tables
from tasks.catalog import DATA, Target, targets
from tasks.host import binfmt

_VERSION = re.compile(r"\d+\.\d+")
_BACKEND = re.compile(r"libggml-cpu-[\w.]+\.so")


@dataclass(frozen=True, slots=True)
class Cpu:
    """One row of cpus.toml."""

    name: str
    target: Target
    qemu: str  # QEMU's name of it
    backend: str  # file of llama.cpp's CPU backend that must be chosen on it
    oldest_qemu: tuple[int, int]

    def require(self, qemu: Path) -> None:
        """Raise ``QemuTooOld`` when ``qemu`` does not know the CPU."""
        binfmt.require_version(qemu, self.oldest_qemu, f"for the CPU {self.name}")


@cache
def cpus(path: Path = DATA / "cpus.toml") -> Mapping[str, Cpu]:
    """All CPUs by name, in the order of the file."""
    found = {}
    for name, row in read_tables(path).items():
        arch = row.text("arch", re.compile("|".join(targets())), f"one of {', '.join(targets())}")
        oldest = binfmt.OLDEST_QEMU
        if row.has("since"):
            major, minor = row.text("since", _VERSION, "a version such as 7.0").split(".")
            oldest = int(major), int(minor)
        qemu = row.text("qemu", re.compile(r"[\w.-]+"), "a CPU that qemu -cpu help lists")
        backend = row.text("backend", _BACKEND, "libggml-cpu-….so")
        found[name] = Cpu(name, targets()[arch], qemu, backend, oldest)
        row.end()
    return found


def of(target: Target) -> tuple[Cpu, ...]:
    """The CPUs of one architecture, the one that has least first."""
    return tuple(cpu for cpu in cpus().values() if cpu.target == target)


def named(names: Iterable[str]) -> tuple[Cpu, ...]:
    """The CPUs called ``names``, or ``UnknownName`` with the nearest; all for the name `all`."""
    chosen = list(names)
    if "all" in chosen:
        return tuple(cpus().values())
    for name in chosen:
        if name not in cpus():
            raise UnknownName("CPU", name, [*cpus(), "all"])
    return tuple(cpus()[name] for name in chosen)
