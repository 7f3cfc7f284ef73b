"""Bundles under QEMU: which CPUs they are tried on, what they must do there, what is not a pass."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tasks import catalog, images
from tasks.base.errors import ContainerTimeout, SmokeFailed, SmokeNotRun
from tasks.build.pack import MAGIC
from tasks.engine.engine import Engine, Output
from tasks.host import binfmt
from tasks.host.binfmt import Entry
from tasks.images import Base
from tasks.smoke import checks, cpus
from tasks.smoke import run as smoke
from tests.support.elf import AARCH64, X86_64, Elf

SQUASHFS = b"hsqs" + bytes(36) + (96).to_bytes(8, "little") + bytes(48)
ALL = tuple(cpus.cpus().values())
ARM = cpus.of(catalog.target("aarch64"))


def said(text: str = "", *, code: int = 0, error: str = "") -> Output:
    return Output(code, text.encode(), error.encode(), 0.01)


@dataclass
class BundleRunner:
    """A container with one bundle; ``cpu`` of a command is where the program would run."""

    backends: dict[str, str] = field(default_factory=lambda: {cpu.qemu: cpu.backend for cpu in ALL})
    answer: Callable[[str], Output] = lambda cpu: said('{"answer": "It is Paris."}')
    unpack: Output = field(default_factory=said)
    commands: list[tuple[str, Sequence[str], dict[str, Any]]] = field(default_factory=list)

    def exec(self, argv: Sequence[str], **options: Any) -> Output:
        """What the engine's container does with a command."""
        cpu = options.get("env", {}).get("QEMU_CPU", "")
        folder = argv[0].partition("/squashfs-root/")[0].rpartition("/")[2]
        if folder in cpus.cpus():
            cpu = cpus.cpus()[folder].qemu
        self.commands.append((cpu, argv, options))
        if argv[0].endswith((".AppImage", "/AppRun")):
            return self._tea(cpu, argv[1:], options["stdin"])
        listing = "/home/user/.cache/x/usr/lib/libc.so.6 1 2 3\n"
        return {"sh": self.unpack, "find": said(listing)}.get(argv[0], said())

    def _tea(self, cpu: str, words: Sequence[str], stdin: bytes | None) -> Output:
        if words == ["--version", "-v"]:
            return said(f"tea 1.2.3\nCPU backend: {self.backends[cpu]}\nlibraries: /l\n")
        if stdin == checks.BROKEN:
            return said(code=2, error="no action 'llm.cal', is it 'llm.call'?")
        if words[0] == "run":
            return self.answer(cpu)
        return {"--version": said("tea 1.2.3\n"), "--impl": said("python\n")}.get(words[0], said())


@dataclass
class Machine:
    """An x86_64 machine with one container, and with what it can emulate."""

    runner: BundleRunner
    folder: Path
    arch: str = "x86_64"
    options: dict[str, Any] = field(default_factory=dict)
    version: str = "7.2"

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    @contextmanager
    def volume(self) -> Iterator[str]:
        yield "home-volume"

    @contextmanager
    def container(self, image: str, **options: Any) -> Iterator[BundleRunner]:
        self.options = options
        yield self.runner

    @property
    def qemu(self) -> Path:
        path = self.folder / "qemu"
        path.write_text(f"#!/bin/sh\necho qemu version {self.version}.0\n")
        path.chmod(0o755)
        return path


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    made = Machine(BundleRunner(), tmp_path)
    monkeypatch.setattr(Engine, "connect", lambda *words: made)
    monkeypatch.setattr(images, "ensure", lambda *words: Base("clean:1", "standin", "sha256:0"))
    monkeypatch.setattr(binfmt, "native_target", lambda: catalog.target("x86_64"))
    monkeypatch.setattr(
        binfmt, "entry_for", lambda *words: Entry("e", made.qemu, "PF", 0, b"", b"")
    )
    monkeypatch.setattr(binfmt, "program", lambda target: made.qemu)
    return made


def write(folder: Path, name: str = "a", elf: int = AARCH64, size: int = 0) -> Path:
    path = folder / f"{name}.AppImage"
    path.write_bytes(bytes(Elf(machine=elf, mark=MAGIC)) + SQUASHFS)
    if size:
        with path.open("r+b") as file:
            file.truncate(size)  # the rest is a hole
    record = {"implementation": "python", "version": "1.2.3", "model": {"id": "smollm2-135m"}}
    path.with_suffix(".json").write_text(json.dumps(record))
    return path


def report(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.with_name(f"{path.stem}.smoke.json").read_text())
    return found


def failed(path: Path) -> dict[str, str]:
    return {
        check["name"]: check["detail"] for check in report(path)["checks"] if not check["passed"]
    }


def test_foreign_bundle_answers_on_each_cpu(machine: Machine, tmp_path: Path) -> None:
    path = write(tmp_path)
    smoke.run([path])
    names = [check["name"] for check in report(path)["checks"]]
    first = [name.removeprefix("cortex-a53: ") for name in names if "cortex-a53" in name]
    assert first == [
        "--version",
        "--impl",
        "second start unpacks nothing",
        "validate",
        "a broken workflow is refused",
        f"chooses {ARM[0].backend}",
        "the model answers",
    ]
    for cpu in ARM[1:]:
        assert f"{cpu.name}: chooses {cpu.backend}" in names
        assert f"{cpu.name}: the model answers" in names
    assert len(names) == 7 + 2 * (len(ARM) - 1)
    assert report(path)["passed"] is True


def test_every_program_of_a_foreign_bundle_is_told_its_cpu(
    machine: Machine, tmp_path: Path
) -> None:
    smoke.run([write(tmp_path)])
    told = {cpu for cpu, argv, _ in machine.runner.commands if argv[0] != "chown"}
    assert told == {cpu.qemu for cpu in ARM}
    assert machine.options["target"] == catalog.target("aarch64")
    assert all(mount.target != checks.QEMU for mount in machine.options["mounts"])


def test_one_cpu_is_enough_when_it_is_asked_for(machine: Machine, tmp_path: Path) -> None:
    path = write(tmp_path)
    smoke.run([path], chosen=cpus.named(["cortex-a76"]))
    assert {check["name"].split(":")[0] for check in report(path)["checks"]} == {"cortex-a76"}
    assert report(path)["passed"] is True


def test_native_bundle_is_tried_on_old_cpus_only_when_asked(
    machine: Machine, tmp_path: Path
) -> None:
    path = write(tmp_path, elf=X86_64)
    smoke.run([path])
    assert not [check for check in report(path)["checks"] if ":" in check["name"]]
    smoke.run([path], chosen=ALL)
    names = [check["name"] for check in report(path)["checks"] if ":" in check["name"]]
    assert names == [
        "nehalem: unpacked for QEMU",
        "nehalem: chooses libggml-cpu-sse42.so",
        "nehalem: the model answers",
    ]
    (mount,) = [mount for mount in machine.options["mounts"] if mount.target == checks.QEMU]
    assert mount.read_only


def test_bundle_that_cannot_be_unpacked_is_not_asked_more(machine: Machine, tmp_path: Path) -> None:
    machine.runner.unpack = said(code=1, error="no space")
    path = write(tmp_path, elf=X86_64)
    with pytest.raises(SmokeFailed):
        smoke.run([path], chosen=ALL)
    assert failed(path) == {"nehalem: unpacked for QEMU": "exit code 1, expected 0: no space"}


def test_time_under_qemu_is_longer_and_the_question_short(machine: Machine, tmp_path: Path) -> None:
    smoke.run([write(tmp_path)])
    asked = [options for _, argv, options in machine.runner.commands if argv[1:] == ["run", "-"]]
    answers = [options for options in asked if options["stdin"] != checks.BROKEN]
    assert len(answers) == len(ARM)
    for options in answers:
        assert options["timeout"] == checks.ANSWER_TIMEOUT * checks.SLOWER
        assert b"n_ctx: 512, max_tokens: 16}" in options["stdin"]


def test_large_model_need_only_say_four_tokens(machine: Machine, tmp_path: Path) -> None:
    machine.runner.answer = lambda cpu: said('{"answer": "The capital"}')
    path = write(tmp_path, size=checks.LARGE)
    smoke.run([path])
    (question, *_) = [
        options["stdin"]
        for _, argv, options in machine.runner.commands
        if argv[1:] == ["run", "-"] and options["stdin"] != checks.BROKEN
    ]
    assert b"max_tokens: 4}" in question
    assert report(path)["passed"] is True


def change_backend(cpu: str, backend: str) -> Callable[[BundleRunner], None]:
    return lambda runner: runner.backends.update({cpu: backend})


def answer(cpu: str, output: Output) -> Callable[[BundleRunner], None]:
    def change(runner: BundleRunner) -> None:
        usual = runner.answer
        runner.answer = lambda name: output if name == cpu else usual(name)

    return change


FAULTS: dict[str, tuple[Callable[[BundleRunner], None], dict[str, str]]] = {
    "a backend that is too new for the CPU": (
        change_backend("cortex-a53", "libggml-cpu-armv8.2_2.so"),
        {"cortex-a53: chooses libggml-cpu-armv8.0_1.so": "says nothing of"},
    ),
    "the backend of all CPUs on a newer one": (
        change_backend("cortex-a76", "libggml-cpu-armv8.0_1.so"),
        {"cortex-a76: chooses libggml-cpu-armv8.2_2.so": "says nothing of"},
    ),
    "a backend whose name only begins like the right one": (
        change_backend("cortex-a72", "libggml-cpu-armv8.0_1.so.old"),
        {"cortex-a72: chooses libggml-cpu-armv8.0_1.so": "says nothing of"},
    ),
    "an illegal instruction": (
        answer("cortex-a53", said(code=132, error="qemu: uncaught target signal 4")),
        {"cortex-a53: the model answers": "exit code 132, expected 0: qemu: uncaught"},
    ),
    "noise on one CPU": (
        answer("cortex-a76", said('{"answer": "Lyon"}')),
        {"cortex-a76: the model answers": "'Lyon' does not contain 'Paris'"},
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_only_the_check_of_that_cpu_fails_for(fault: str, machine: Machine, tmp_path: Path) -> None:
    change, expected = FAULTS[fault]
    change(machine.runner)
    path = write(tmp_path)
    with pytest.raises(SmokeFailed):
        smoke.run([path])
    found = failed(path)
    assert found.keys() == expected.keys()
    for name, detail in expected.items():
        assert found[name].startswith(detail)


def test_hang_on_one_cpu_is_a_failure(machine: Machine, tmp_path: Path) -> None:
    def hang(cpu: str) -> Output:
        raise ContainerTimeout("clean:1: did not end in 3000 s and was killed")

    machine.runner.answer = hang
    path = write(tmp_path)
    with pytest.raises(SmokeFailed):
        smoke.run([path])
    assert set(failed(path)) == {f"{cpu.name}: the model answers" for cpu in ARM}


# -- what is not a pass


def test_bundle_that_cannot_run_here_is_no_pass(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path)
    smoke.run([path])
    assert report(path)["passed"] is True
    monkeypatch.setattr(binfmt, "entry_for", lambda *words: None)
    with pytest.raises(SmokeNotRun, match="cannot run aarch64 AppImages") as caught:
        smoke.run([path])
    assert caught.value.exit_code == 31
    assert "nox -s host -- --install" in caught.value.hint
    assert not path.with_name("a.smoke.json").exists()


def test_cpu_too_new_for_the_qemu_is_alone_not_run(
    machine: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.version = "6.2"
    path = write(tmp_path)
    with pytest.raises(SmokeNotRun, match=r"a\.AppImage on cortex-a76 .*6\.2") as caught:
        smoke.run([path])
    assert caught.value.exit_code == 31
    found = report(path)
    assert found["passed"] is False
    assert all(check["passed"] for check in found["checks"])
    assert [text.split()[0] for text in found["not_run"]] == ["cortex-a76"]
    names = {check["name"].split(":")[0] for check in found["checks"]}
    assert names == {"cortex-a53", "cortex-a72"}
    assert "not run" in capsys.readouterr().out


def test_qemu_too_old_for_all_leaves_the_bundle_untried(machine: Machine, tmp_path: Path) -> None:
    machine.version = "5.2"
    path = write(tmp_path)
    with pytest.raises(SmokeNotRun, match=r"5\.2"):
        smoke.run([path])
    assert machine.runner.commands == []


def test_native_bundle_without_qemu_passes_natively(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binfmt, "program", lambda target: None)
    path = write(tmp_path, elf=X86_64)
    with pytest.raises(SmokeNotRun, match=r"nehalem .*qemu-x86_64-static is not installed"):
        smoke.run([path], chosen=ALL)
    assert all(check["passed"] for check in report(path)["checks"])
    assert report(path)["passed"] is False


def test_on_an_aarch64_machine_x86_64_is_the_foreign_one(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.arch = "aarch64"
    monkeypatch.setattr(binfmt, "native_target", lambda: catalog.target("aarch64"))
    own, foreign = write(tmp_path, "own"), write(tmp_path, "foreign", X86_64)
    smoke.run([own, foreign])
    assert not [check for check in report(own)["checks"] if ":" in check["name"]]
    assert all(check["name"].startswith("nehalem: ") for check in report(foreign)["checks"])
    assert len(report(foreign)["checks"]) == 7
