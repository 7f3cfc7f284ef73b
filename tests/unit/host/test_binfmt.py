"""What is read from binfmt_misc, what is written to it, and what is said when it cannot be."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tasks import catalog
from tasks.base import console, process
from tasks.base.errors import (
    CatalogError,
    CommandFailed,
    HostError,
    NoEmulation,
    QemuTooOld,
    UnknownName,
)
from tasks.base.paths import ROOT
from tasks.catalog import Target
from tasks.host import binfmt, binfmt_install, install
from tasks.host.binfmt import APPIMAGE
from tasks.host.binfmt_install import BinfmtPlan
from tasks.smoke import cpus

X86_64, AARCH64 = catalog.target("x86_64"), catalog.target("aarch64")
STOCK = "ffffffffffffff00fffffffffffffffffeffffff"
# As a Debian 12 machine has them with every emulator registered, shortened.
AARCH64_MAGIC = "7f454c460201010000000000000000000200b700"
BIG_ENDIAN_MAGIC = "7f454c46020201000000000000000000000200b7"


@pytest.fixture(autouse=True)
def on_x86_64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine is, it is an x86_64 one here."""
    for module in (binfmt, binfmt_install):
        monkeypatch.setattr(module, "native_target", lambda: X86_64)


def entry(
    folder: Path,
    name: str = "qemu-aarch64",
    *,
    state: str = "enabled",
    flags: str = "PF",
    magic: str = AARCH64_MAGIC,
    mask: str = STOCK,
    interpreter: object = "/usr/bin/qemu-aarch64-static",
) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(
        f"{state}\ninterpreter {interpreter}\nflags: {flags}\noffset 0\n"
        f"magic {magic}\nmask {mask}\n"
    )


# -- what is looked at


def test_heads_of_programs_are_those_of_the_usual_entries() -> None:
    assert binfmt.elf_head(AARCH64).hex() == AARCH64_MAGIC
    assert binfmt.elf_head(X86_64).hex() == "7f454c4602010100000000000000000002003e00"
    assert binfmt.elf_head(AARCH64, APPIMAGE)[8:11] == b"AI\x02"


def test_entry_of_another_byte_order_is_not_taken_for_ours(tmp_path: Path) -> None:
    entry(tmp_path, "qemu-aarch64_be", magic=BIG_ENDIAN_MAGIC)
    assert not binfmt.runs(AARCH64, tmp_path)


def test_entry_counts_by_what_it_takes_and_not_by_its_name(tmp_path: Path) -> None:
    entry(tmp_path, "rosetta")
    assert binfmt.runs(AARCH64, tmp_path)
    assert not binfmt.runs_appimages(AARCH64, tmp_path)


def test_position_independent_programs_are_taken_too(tmp_path: Path) -> None:
    entry(tmp_path)
    (found,) = binfmt.entries(tmp_path)
    head = bytearray(binfmt.elf_head(AARCH64))
    assert head[16] == 2
    head[16] = 3
    assert found.takes(bytes(head))
    head[16] = 1  # an object file
    assert not found.takes(bytes(head))
    assert not found.takes(bytes(head[:10]))


@pytest.mark.parametrize(
    "content", ["", "enabled\n", "enabled\ninterpreter /usr/bin/mono\nflags: \nextension .exe\n"]
)
def test_entries_of_other_kinds_are_passed_over(tmp_path: Path, content: str) -> None:
    (tmp_path / "status").write_text(content)
    (tmp_path / "register").mkdir()  # cannot be read
    assert list(binfmt.entries(tmp_path)) == []


def test_own_architecture_needs_no_entry(tmp_path: Path) -> None:
    binfmt.require(X86_64, appimages=True, binfmt=tmp_path / "none")


def test_machine_without_an_entry_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(NoEmulation, match="cannot run aarch64 programs") as caught:
        binfmt.require(AARCH64, binfmt=tmp_path / "none")
    assert "nox -s host -- --install" in caught.value.hint


def test_machine_with_the_usual_entry_refuses_appimages(
    tmp_path: Path,
) -> None:
    entry(tmp_path)
    binfmt.require(AARCH64, binfmt=tmp_path)
    with pytest.raises(NoEmulation, match="cannot run aarch64 AppImages"):
        binfmt.require(AARCH64, appimages=True, binfmt=tmp_path)


def qemu(path: Path, version: str) -> Path:
    """A program that says its version as QEMU does."""
    path.write_text(
        f"#!/bin/sh\necho 'qemu-aarch64 version {version} (Debian 1:{version}+dfsg-1)'\n"
    )
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("version", ["5.2.0", "2.12.1"])
def test_qemu_too_old_is_refused_with_both_versions(tmp_path: Path, version: str) -> None:
    program = qemu(tmp_path / "qemu-aarch64-static", version)
    entry(tmp_path / "binfmt", interpreter=program)
    with pytest.raises(QemuTooOld) as caught:
        binfmt.require(AARCH64, binfmt=tmp_path / "binfmt")
    short = ".".join(version.split(".")[:2])
    assert f"is version {short}, to run aarch64 programs it must be 6.0" in caught.value.message


@pytest.mark.parametrize("version", ["6.0.0", "7.2.22", "10.0.13"])
def test_qemu_new_enough_is_taken(tmp_path: Path, version: str) -> None:
    entry(tmp_path / "binfmt", interpreter=qemu(tmp_path / "qemu", version))
    binfmt.require(AARCH64, binfmt=tmp_path / "binfmt")


def test_interpreter_of_a_container_is_taken_unasked(
    tmp_path: Path,
) -> None:
    entry(tmp_path, interpreter="/usr/bin/no-such-qemu")
    binfmt.require(AARCH64, binfmt=tmp_path)


# -- what is changed


def kernel_view(line: str) -> tuple[bytes, bytes, str, str]:
    """Magic, mask, interpreter and flags, as the kernel takes a line apart."""
    delimiter, name, kind, offset, magic, mask, interpreter, flags = (
        line[0],
        *line[1:].split(line[0]),
    )
    assert (delimiter, kind, offset) == (":", "M", "")
    assert re.fullmatch(r"[\w-]+", name)
    assert len(line) < 2048  # the kernel's limit
    unescaped = [bytes.fromhex(text.replace("\\x", "")) for text in (magic, mask)]
    return unescaped[0], unescaped[1], interpreter, flags


@pytest.mark.parametrize(("target", "other"), [(AARCH64, X86_64), (X86_64, AARCH64)])
def test_entries_take_programs_of_their_architecture_alone(target: Target, other: Target) -> None:
    for marks in (False, True):
        text = binfmt_install.line("n", target, Path("/usr/bin/q"), marks=marks)
        magic, mask, interpreter, flags = kernel_view(text)
        assert (interpreter, flags) == ("/usr/bin/q", "PF")
        made = binfmt.Entry("n", Path(interpreter), flags, 0, magic, mask)
        assert made.takes(binfmt.elf_head(target))
        assert made.takes(binfmt.elf_head(target, APPIMAGE)) is marks
        assert not made.takes(binfmt.elf_head(other))
        assert not made.takes(binfmt.elf_head(other, APPIMAGE))


def test_plain_entry_is_the_one_that_everybody_registers() -> None:
    text = binfmt_install.line("qemu-aarch64", AARCH64, Path("/q"), marks=False)
    magic, mask, _, _ = kernel_view(text)
    assert (magic.hex(), mask.hex()) == (AARCH64_MAGIC, STOCK)


def test_document_registers_what_the_session_registers() -> None:
    text = (ROOT / "docs/aarch64.md").read_text()
    program = Path("/usr/bin/qemu-aarch64-static")
    for name in ("qemu-aarch64", "tea-appimage-aarch64"):
        marks = name == binfmt_install.marked_name(AARCH64)
        assert binfmt_install.line(name, AARCH64, program, marks=marks) in text


@dataclass
class Kernel:
    """A machine whose commands act on a folder instead of the kernel."""

    binfmt: Path
    folder: Path
    version: str = "7.2.22"
    refuses: str = ""  # a program that fails
    installed: set[str] = field(default_factory=set)
    said: list[str] = field(default_factory=list)
    run: list[list[str]] = field(default_factory=list)
    package_registers: bool = False

    def which(self, name: str) -> str | None:
        found = self.folder / name
        package = "qemu-user-static" if name.startswith("qemu-") else name
        if package not in self.installed:
            return None
        return str(found if found.exists() else qemu(found, self.version))

    def install(self, packages: Sequence[str], root: Sequence[str]) -> None:
        self.installed |= set(packages)
        if self.package_registers:
            self.mount()
            entry(self.binfmt, interpreter=self.which("qemu-aarch64-static"))

    def mount(self) -> None:
        self.binfmt.mkdir(exist_ok=True)
        (self.binfmt / "register").touch()

    def command(self, argv: Sequence[str | Path], **options: object) -> None:
        words = [str(word) for word in argv]
        self.run.append(words)
        if words[0] == self.refuses:
            raise CommandFailed(f"{words[0]} stopped: Operation not permitted", returncode=1)
        if words[0] == "mount":
            self.mount()
        elif words[0] == "sh":
            assert words[-1] == str(self.binfmt / "register")
            text = words[-2]
            magic, mask, interpreter, flags = kernel_view(text)
            name = text.split(":")[1]
            assert not (self.binfmt / name).exists()
            entry(
                self.binfmt,
                name,
                flags=flags,
                magic=magic.hex(),
                mask=mask.hex(),
                interpreter=interpreter,
            )


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel(tmp_path / "binfmt", tmp_path)
    monkeypatch.setattr(shutil, "which", kernel.which)
    monkeypatch.setattr(process, "run", kernel.command)
    monkeypatch.setattr(install, "install", kernel.install)
    monkeypatch.setattr(install, "root_prefix", lambda: [])
    monkeypatch.setattr(install, "confirm", kernel.said.extend)
    monkeypatch.setattr(install, "SYSTEMD", tmp_path / "no-systemd")
    monkeypatch.setattr(console, "note", kernel.said.append)
    monkeypatch.setattr(console, "warn", kernel.said.append)
    return kernel


def registered(kernel: Kernel) -> set[str]:
    return {entry.name for entry in binfmt.entries(kernel.binfmt)}


def test_bare_machine_gets_qemu_mount_and_both_entries(kernel: Kernel) -> None:
    binfmt_install.prepare(AARCH64, kernel.binfmt)
    assert registered(kernel) == {"qemu-aarch64", "tea-appimage-aarch64"}
    assert kernel.installed == {"qemu-user-static", "arch-test"}
    assert binfmt.runs_appimages(AARCH64, kernel.binfmt)
    assert [line.split()[0] for line in kernel.said[:4]] == ["install", "mount", *["register"] * 2]


def test_second_time_changes_nothing_and_asks_nothing(kernel: Kernel) -> None:
    binfmt_install.prepare(AARCH64, kernel.binfmt)
    kernel.run.clear()
    kernel.said.clear()
    binfmt_install.prepare(AARCH64, kernel.binfmt)
    assert (kernel.run, kernel.said) == ([], [])


def test_own_architecture_is_never_given_to_an_emulator(kernel: Kernel) -> None:
    binfmt_install.prepare_all([X86_64])
    assert kernel.run == []
    assert not kernel.binfmt.exists()


OTHERS: dict[str, dict[str, str]] = {
    "one of the same name without F": {"flags": "P"},
    "one of the same name that is disabled": {"state": "disabled"},
    "one of the same name that works": {},
}


@pytest.mark.parametrize("name", OTHERS)
def test_entry_of_somebody_else_stays_as_it_is(name: str, kernel: Kernel) -> None:
    kernel.mount()
    entry(kernel.binfmt, **OTHERS[name])
    before = (kernel.binfmt / "qemu-aarch64").read_text()
    binfmt_install.prepare(AARCH64, kernel.binfmt)
    assert (kernel.binfmt / "qemu-aarch64").read_text() == before
    binfmt.require(AARCH64, binfmt=kernel.binfmt)
    binfmt.require(AARCH64, appimages=True, binfmt=kernel.binfmt)


def test_entry_that_the_package_brings_is_not_registered_twice(kernel: Kernel) -> None:
    kernel.package_registers = True
    binfmt_install.prepare(AARCH64, kernel.binfmt)
    written = [words[-2].split(":")[1] for words in kernel.run if words[0] == "sh"]
    assert written == ["tea-appimage-aarch64"]
    assert registered(kernel) == {"qemu-aarch64", "tea-appimage-aarch64"}


def test_own_broken_entry_is_named_with_its_removal(kernel: Kernel) -> None:
    kernel.mount()
    entry(kernel.binfmt, "tea-appimage-aarch64", state="disabled")
    with pytest.raises(NoEmulation, match="tea-appimage-aarch64 of binfmt_misc is there") as caught:
        binfmt_install.prepare(AARCH64, kernel.binfmt)
    assert "echo -1" in caught.value.hint


@pytest.mark.parametrize("program", ["mount", "sh"])
def test_kernel_that_refuses_is_reported_with_the_way_out(program: str, kernel: Kernel) -> None:
    kernel.refuses = program
    with pytest.raises(NoEmulation, match="Operation not permitted") as caught:
        binfmt_install.prepare(AARCH64, kernel.binfmt)
    assert "--privileged" in caught.value.hint
    assert caught.value.exit_code == 50


def test_what_could_not_be_set_up_is_said_and_is_no_error(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(target: Target) -> None:
        raise HostError("installing needs root, and there is no sudo", hint="run this as root")

    monkeypatch.setattr(binfmt_install, "prepare", refuse)
    binfmt_install.prepare_all([X86_64, AARCH64])
    assert kernel.said == [
        "installing needs root, and there is no sudo: aarch64 bundles can be built and not tried "
        "here",
        "run this as root",
    ]


def test_distributions_qemu_that_is_too_old_is_not_registered(kernel: Kernel) -> None:
    kernel.version = "5.2.0"
    with pytest.raises(QemuTooOld, match=r"version 5\.2"):
        binfmt_install.prepare(AARCH64, kernel.binfmt)
    assert registered(kernel) == set()


def test_with_systemd_the_entry_outlives_a_restart(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(install, "SYSTEMD", tmp_path)
    binfmt_install.prepare(AARCH64, kernel.binfmt)
    kept = [words for words in kernel.run if words[0] == "install"]
    assert [words[-1] for words in kept] == ["/etc/binfmt.d/tea-appimage-aarch64.conf"]


def test_only_qemu_is_missing_from_a_machine_that_has_the_rest(kernel: Kernel) -> None:
    kernel.installed.add("arch-test")
    kernel.mount()
    names = ("qemu-aarch64", "tea-appimage-aarch64")
    expected = BinfmtPlan(("qemu-user-static",), mount=False, entries=names)
    assert binfmt_install.make_plan(AARCH64, kernel.binfmt) == expected


# -- the CPUs


def test_every_cpu_is_of_its_architecture_and_has_a_backend() -> None:
    table = cpus.cpus()
    assert {cpu.target for cpu in table.values()} == set(catalog.targets().values())
    assert cpus.of(AARCH64)[0].name == "cortex-a53"
    assert table["cortex-a53"].backend == table["cortex-a72"].backend
    assert table["cortex-a76"].backend != table["cortex-a53"].backend


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('arch = "mips"\nqemu = "24Kc"\nbackend = "libggml-cpu-x.so"', "x.arch: expected one of"),
        ('arch = "x86_64"\nqemu = "a b"\nbackend = "libggml-cpu-x.so"', "x.qemu: expected a CPU"),
        ('arch = "x86_64"\nqemu = "a"\nbackend = "sse42"', "x.backend: expected libggml-cpu"),
        ('arch = "x86_64"\nqemu = "a"\nsince = "seven"\nbackend = ""', "x.since: expected a vers"),
        ('arch = "x86_64"\nqemu = "a"\nbackend = "libggml-cpu-a.so"\nold = 1', "x.old: no such"),
    ],
)
def test_row_of_a_cpu_is_refused_for(row: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "cpus.toml"
    path.write_text(f"[x]\n{row}\n")
    with pytest.raises(CatalogError) as caught:
        cpus.cpus(path)
    assert message in caught.value.message


def test_cpu_that_the_qemu_does_not_know_yet_is_refused_by_name(tmp_path: Path) -> None:
    old = qemu(tmp_path / "qemu-aarch64-static", "6.2.0")
    cpus.cpus()["cortex-a53"].require(old)
    with pytest.raises(QemuTooOld, match=r"6\.2, for the CPU cortex-a76 it must be 7\.0"):
        cpus.cpus()["cortex-a76"].require(old)


def test_unknown_cpu_comes_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="unknown CPU 'cortex-a35'"):
        cpus.named(["cortex-a35"])
