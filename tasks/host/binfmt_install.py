"""Sets up what ``binfmt`` looks for: QEMU, the kernel's mount, and two entries of binfmt_misc.

Entries that are there are never changed: where one is not enough, another one is added, and the
kernel asks the newest first.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.base import console, process
from tasks.base.errors import CommandFailed, HostError, NoEmulation
from tasks.catalog import Target, native_target
from tasks.host import binfmt, install
from tasks.host.binfmt import BINFMT

QEMU, ARCH_TEST = "qemu-user-static", "arch-test"  # packages; mmdebstrap asks for the second
BOOT = Path("/etc/binfmt.d")  # systemd registers what is here at every start
FLAGS = "PF"  # the program keeps its own name; QEMU is opened now, not looked for in a container
CONTAINER = "inside a container binfmt_misc needs --privileged; docs/aarch64.md says how"


@dataclass(frozen=True, slots=True)
class BinfmtPlan:
    """What is about to change."""

    packages: tuple[str, ...] = ()
    mount: bool = False
    entries: tuple[str, ...] = ()  # their names

    def lines(self) -> list[str]:
        """The plan for a reader."""
        said = [f"install the packages {' '.join(self.packages)}"] if self.packages else []
        if self.mount:
            said.append(f"mount binfmt_misc at {BINFMT}")
        said += [f"register {name} with the kernel" for name in self.entries]
        return said


def plain_name(target: Target) -> str:
    """The entry of ``target``'s programs, named as everybody names it."""
    return f"qemu-{target.arch}"


def marked_name(target: Target) -> str:
    """Our own entry, of AppImages."""
    return f"tea-appimage-{target.arch}"


def line(name: str, target: Target, interpreter: Path, *, marks: bool) -> str:
    """What is written to binfmt_misc's `register`; with ``marks`` it takes AppImages too.

    Bytes that may differ: 7 (the ABI, which some linkers set), with ``marks`` 8 to 10, and the
    lowest bit of byte 16, which tells an executable from a position-independent one.

    Source: the kernel's Documentation/admin-guide/binfmt-misc.rst.
    """
    head = binfmt.elf_head(target)
    mask = bytearray(b"\xff" * len(head))
    mask[7] = 0
    mask[16] = 0xFE
    if marks:
        mask[8:11] = bytes(3)
    return f":{name}:M::{_escaped(head)}:{_escaped(mask)}:{interpreter}:{FLAGS}"


def _escaped(text: bytes | bytearray) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text)


def make_plan(target: Target, entries: Path = BINFMT) -> BinfmtPlan:
    """What is missing to run ``target``'s programs and AppImages; empty where nothing is."""
    arch_test = () if shutil.which("arch-test") else (ARCH_TEST,)
    if binfmt.runs(target, entries) and binfmt.runs_appimages(target, entries):
        return BinfmtPlan(arch_test)
    # Another entry of the same name is someone else's; ours takes plain programs as well.
    has_plain = binfmt.runs(target, entries) or (entries / plain_name(target)).exists()
    names = () if has_plain else (plain_name(target),)
    qemu = () if binfmt.program(target) else (QEMU,)
    return BinfmtPlan(
        packages=(*qemu, *arch_test),
        mount=not (entries / "register").exists(),
        entries=(*names, marked_name(target)),
    )


def prepare(target: Target, entries: Path = BINFMT) -> None:
    """See to it that ``target``'s programs and AppImages run here, after saying what will change.

    Raises:
        NoEmulation: the kernel or this user's rights do not let it; says what does.
        QemuTooOld: the distribution's QEMU is.
        HostError: not a system that this can install on, no root, or refused at the question.
        CommandFailed: apt said no.
    """
    plan = make_plan(target, entries)
    if plan != BinfmtPlan():
        install.confirm(plan.lines())
        _carry_out(plan, target, entries, install.root_prefix())
    binfmt.require(target, appimages=True, binfmt=entries)


def _carry_out(plan: BinfmtPlan, target: Target, entries: Path, root: Sequence[str]) -> None:
    if plan.packages:
        install.install(plan.packages, root)
    if not plan.entries:
        return
    qemu = binfmt.program(target)
    if qemu is None:
        raise NoEmulation(
            f"the package {QEMU} has no qemu-{target.arch}-static", hint=binfmt.REMEDY
        )
    binfmt.require_version(qemu, binfmt.OLDEST_QEMU, f"to run {target.arch} programs")
    if plan.mount and not (entries / "register").exists():
        _change([*root, "mount", "-t", "binfmt_misc", "binfmt_misc", entries])
    # Installing the package, or mounting, may have brought an entry already.
    for name in make_plan(target, entries).entries:
        _register(name, target, qemu, entries, root)


def _register(name: str, target: Target, qemu: Path, entries: Path, root: Sequence[str]) -> None:
    marks = name == marked_name(target)
    text = line(name, target, qemu, marks=marks)
    if (entries / name).exists():  # ours, of an earlier QEMU, or disabled
        raise NoEmulation(
            f"the entry {name} of binfmt_misc is there and does not take {target.arch} programs",
            hint=f"as root: echo -1 > {entries / name}; then run this again",
        )
    _change([*root, "sh", "-c", 'printf %s "$1" >"$2"', "sh", text, entries / "register"])
    if marks and install.SYSTEMD.is_dir():
        _keep(name, text, root)


def _keep(name: str, text: str, root: Sequence[str]) -> None:
    """Let systemd register the entry at every start of the machine."""
    with tempfile.NamedTemporaryFile("w", encoding="ascii") as draft:
        draft.write(f"{text}\n")
        draft.flush()
        process.run([*root, "install", "-D", "-m", "644", draft.name, BOOT / f"{name}.conf"])


def _change(words: Sequence[str | Path]) -> None:
    """Run what the kernel may refuse."""
    try:
        process.run(words, quiet=True)
    except CommandFailed as error:
        raise NoEmulation(f"binfmt_misc: {error.message}", hint=CONTAINER) from error


def prepare_all(targets: Sequence[Target]) -> None:
    """``prepare`` for every one; what could not be done is said, and builds go on without it."""
    for target in targets:
        if target == native_target():
            continue
        try:
            prepare(target)
        except (HostError, CommandFailed) as error:
            console.warn(f"{error.message}: {target.arch} bundles can be built and not tried here")
            if error.hint:
                console.note(error.hint)
