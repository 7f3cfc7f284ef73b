"""What is looked at, what would be changed, and what is left alone; nothing is installed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tasks import catalog
from tasks.base import console, files, process
from tasks.base.errors import (
    DiskFull,
    EngineDenied,
    EngineTooOld,
    HostError,
    NoBuildx,
    NoEngine,
    TaskError,
    UsageError,
)
from tasks.base.files import GB
from tasks.engine import connect
from tasks.host import apt, binfmt, install, report
from tasks.host.apt import Entry
from tasks.host.report import HostCheck, Space

FOREIGN = next(row for row in catalog.targets().values() if row != catalog.native_target())
MIRROR = "http://mirror.example/debian/"
BOOKWORM = [Entry(MIRROR, "bookworm", "main"), Entry(MIRROR, "bookworm-updates", "main")]
TRIXIE = [*BOOKWORM, Entry("http://other.example/debian/", "trixie", "main")]

# --- what is looked at


@pytest.mark.parametrize(
    ("version", "state"), [((3, 10, 12), "missing"), ((3, 11, 0), "ok"), ((3, 13, 5), "ok")]
)
def test_python_is_missing_before_3_11(version: tuple[int, ...], state: str) -> None:
    assert report.python_check(version).state == state


@pytest.mark.parametrize(
    ("free", "state"),
    [(9 * GB, "ok"), (5 * GB, "ok"), (5 * GB - 1, "warning"), (GB, "warning"), (GB - 1, "missing")],
)
def test_space_is_missing_below_what_a_build_needs(free: int, state: str) -> None:
    check = report.space_check(Space("disk", Path("/d"), GB, 5 * GB), lambda place: free)
    assert check.state == state
    assert bool(check.remedy) == (state != "ok")


def test_a_place_that_cannot_be_looked_at_is_a_warning() -> None:
    def refuse(place: Path) -> int:
        raise PermissionError(13, "Permission denied")

    check = report.space_check(Space("disk", Path("/d"), 1, 2), refuse)
    assert (check.state, check.detail) == ("warning", "/d: cannot be read (Permission denied)")


@pytest.mark.parametrize(("kilobytes", "state"), [(8_000_000, "ok"), (500_000, "warning")])
def test_memory_is_what_programs_can_still_get(tmp_path: Path, kilobytes: int, state: str) -> None:
    info = tmp_path / "meminfo"
    info.write_text(f"MemTotal: 99 kB\nMemFree: 1 kB\nMemAvailable:  {kilobytes} kB\n")
    assert report.memory_check(info).state == state


def test_cgroup_version_2_is_the_one_with_the_unified_hierarchy(tmp_path: Path) -> None:
    assert report.cgroup_version(tmp_path) == 1
    (tmp_path / "cgroup.controllers").touch()
    assert report.cgroup_version(tmp_path) == 2


def test_a_machine_without_fuse_is_only_warned_about(tmp_path: Path) -> None:
    assert report.fuse_check(tmp_path / "fuse").state == "warning"
    (tmp_path / "fuse").touch()
    assert report.fuse_check(tmp_path / "fuse").state == "ok"


STOCK = "ffffffffffffff00fffffffffffffffffeffffff"
MARKED = "ffffffffffffff00000000fffffffffffeffffff"


@pytest.mark.parametrize(
    ("entries", "states"),
    [
        ({}, ("warning", "warning")),
        ({"qemu-{}": ("enabled", "PF", STOCK)}, ("ok", "warning")),
        (
            {"qemu-{}": ("enabled", "PF", STOCK), "{}-appimage": ("enabled", "F", MARKED)},
            ("ok", "ok"),
        ),
        ({"qemu-{}": ("enabled", "F", MARKED)}, ("ok", "ok")),
        ({"qemu-{}": ("disabled", "PF", STOCK)}, ("warning", "warning")),
        # Without F the emulator is looked for inside the container, where it is not.
        ({"qemu-{}": ("enabled", "P", MARKED)}, ("warning", "warning")),
    ],
    ids=["none", "stock", "both", "one for both", "disabled", "without F"],
)
def test_emulation_is_told_apart_for_programs_and_appimages(
    tmp_path: Path, entries: dict[str, tuple[str, str, str]], states: tuple[str, str]
) -> None:
    for name, (state, flags, mask) in entries.items():
        text = (
            f"{state}\ninterpreter /usr/bin/qemu\nflags: {flags}\noffset 0\n"
            f"magic {binfmt.elf_head(FOREIGN).hex()}\nmask {mask}\n"
        )
        (tmp_path / name.format(FOREIGN.arch)).write_text(text)
    checks = report.emulation_checks(FOREIGN, tmp_path)
    assert tuple(check.state for check in checks) == states


def test_the_machines_own_architecture_needs_no_emulation(tmp_path: Path) -> None:
    assert binfmt.runs(catalog.native_target(), tmp_path)
    assert binfmt.runs_appimages(catalog.native_target(), tmp_path)


def test_without_an_engine_the_report_still_has_every_line(tmp_path: Path) -> None:
    checks = report.report({"DOCKER_HOST": f"unix://{tmp_path}/none", "PATH": str(tmp_path)})
    states = {check.name: check.state for check in checks}
    assert states["engine"] == "missing"
    assert states["buildx"] == "missing"
    assert {"Python", "mmdebstrap", "memory", "disk, engine", "disk, dist"} <= set(states)
    assert all(check.remedy for check in checks if check.state == "missing")


def test_the_table_ends_with_an_error_for_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = [HostCheck("a", "ok", "fine"), HostCheck("b", "warning", "hm", "do that")]
    monkeypatch.setattr(report, "report", lambda environ: checks)
    report.show()
    checks.append(HostCheck("c", "missing", "none", "get it"))
    with pytest.raises(HostError, match=r"^missing: c$") as caught:
        report.show()
    assert caught.value.hint == "get it"
    assert "do that" in capsys.readouterr().out


# --- what would be changed


def plan(
    system: tuple[str, str],
    *,
    engine: bool = True,
    buildx: bool = True,
    mmdebstrap: bool = True,
    programs: Sequence[str] = (),
    entries: Sequence[Entry] = BOOKWORM,
) -> install.InstallPlan:
    """The plan for a machine that lacks what is named false."""
    return install.make_plan(
        system,
        lacks_engine=not engine,
        lacks_buildx=not buildx,
        lacks_mmdebstrap=not mmdebstrap,
        which=lambda name: name if name in programs else None,
        entries=lambda: entries,
    )


@pytest.mark.parametrize(
    ("system", "packages"),
    [
        (("debian", "12"), "docker.io docker-cli docker-buildx containerd mmdebstrap"),
        (("debian", "13"), "docker.io docker-cli docker-buildx mmdebstrap"),
        (("ubuntu", "22.04"), "docker.io docker-buildx mmdebstrap debian-archive-keyring"),
        (("ubuntu", "24.04"), "docker.io docker-buildx mmdebstrap debian-archive-keyring"),
    ],
)
def test_a_bare_machine_gets_its_distributions_packages(
    system: tuple[str, str], packages: str
) -> None:
    made = plan(system, engine=False, buildx=False, mmdebstrap=False)
    assert " ".join(made.packages) == packages
    assert made.start
    assert bool(made.files) == (system == ("debian", "12"))


def test_debian_12_takes_four_packages_of_its_successor() -> None:
    files = plan(("debian", "12"), engine=False, buildx=False).files
    source, pins = files[install.NEXT_SOURCE], files[install.NEXT_PINS]
    assert f"URIs: {MIRROR}\nSuites: trixie\n" in source
    everything, four = pins.split("\n\n")
    assert everything.splitlines()[0] == "Package: *"
    assert "Pin-Priority: 100" in everything
    assert four.splitlines()[0] == "Package: docker.io docker-cli docker-buildx containerd"
    assert "Pin-Priority: 990" in four


def test_a_source_of_the_successor_is_not_named_twice() -> None:
    files = plan(("debian", "12"), engine=False, buildx=False, entries=TRIXIE).files
    assert set(files) == {install.NEXT_PINS}
    assert "Package: *" not in files[install.NEXT_PINS]


def test_debian_12_without_an_archive_of_its_own_is_refused() -> None:
    with pytest.raises(HostError, match="no archive of Debian 12"):
        plan(("debian", "12"), engine=False, buildx=False, entries=[])


def test_an_installed_engine_is_started_not_replaced() -> None:
    made = plan(("debian", "13"), engine=False, programs=["dockerd", "docker"])
    assert (made.packages, made.start) == ((), True)


def test_an_engine_that_runs_only_gets_the_plugin_it_lacks() -> None:
    made = plan(("ubuntu", "24.04"), buildx=False, programs=["docker"])
    assert (made.packages, made.start) == (("docker-buildx",), False)


def test_a_command_alone_is_not_taken_for_an_engine() -> None:
    made = plan(("debian", "13"), engine=False, buildx=False, programs=["docker"])
    assert "docker.io" in made.packages


def test_mmdebstrap_alone_needs_no_packages_of_the_successor() -> None:
    made = plan(("debian", "12"), mmdebstrap=False)
    assert (made.packages, dict(made.files), made.start) == (("mmdebstrap",), {}, False)


@pytest.mark.parametrize("system", [("fedora", "42"), ("debian", "11"), ("ubuntu", "20.04")])
def test_other_systems_get_instructions(system: tuple[str, str]) -> None:
    with pytest.raises(HostError, match=" ".join(system)) as caught:
        plan(system, engine=False, buildx=False)
    assert "Docker Engine 23.0" in caught.value.hint


# --- what is left alone


class Machine:
    """A machine whose troubles are given; records the commands that would change it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.engine: TaskError | None = None
        self.buildx: NoBuildx | None = None
        self.commands: list[list[str]] = []
        self.answer = True
        monkeypatch.setattr(install, "engine_trouble", lambda environ: self.engine)
        monkeypatch.setattr(install, "buildx_trouble", lambda environ: self.buildx)
        monkeypatch.setattr(console, "confirmed", lambda question: self.answer)
        monkeypatch.setattr(process, "run", self._run)
        monkeypatch.setattr(install, "start", lambda root: self._run(["start"]))
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.setattr(shutil, "which", self._which)
        monkeypatch.setattr(apt, "os_release", lambda: {"ID": "debian", "VERSION_ID": "13"})
        self.programs = ["mmdebstrap"]

    def _which(self, name: str) -> str | None:
        return name if name in self.programs else None

    def _run(self, argv: Sequence[str | Path], **options: Any) -> None:
        self.commands.append([str(word) for word in argv])
        if self.commands[-1] == ["start"]:
            self.engine = self.buildx = None


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_an_engine_that_answers_is_left_as_it_is(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    install.mend(True, {})
    assert machine.commands == []
    assert "left as it is" in capsys.readouterr().err


def test_a_bare_machine_is_installed_after_saying_so(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.engine, machine.buildx = NoEngine("none"), NoBuildx("none")
    install.mend(True, {})
    assert [words[0] for words in machine.commands] == ["apt-get", "apt-get", "start"]
    text = capsys.readouterr().err
    assert text.index("install the packages docker.io") < text.index("==> Install")


def test_nothing_is_changed_without_leave(machine: Machine) -> None:
    machine.engine = NoEngine("none", hint="install it")
    with pytest.raises(NoEngine):
        install.mend(False, {})
    assert machine.commands == []


def test_nothing_is_changed_when_the_user_says_no(machine: Machine) -> None:
    machine.engine, machine.answer = NoEngine("none"), False
    with pytest.raises(HostError, match="nothing was changed") as caught:
        install.mend(True, {})
    assert connect.INSTALL in caught.value.hint
    assert machine.commands == []


@pytest.mark.parametrize(
    ("trouble", "environ"),
    [
        (EngineTooOld("20.10"), {}),
        (EngineDenied("no"), {}),
        (NoEngine("nothing there"), {"DOCKER_HOST": "tcp://far"}),
        (NoEngine("nothing there"), {"DOCKER_CONTEXT": "far"}),
    ],
    ids=["too old", "no permission", "DOCKER_HOST", "context"],
)
def test_an_engine_that_is_the_users_own_affair_is_not_touched(
    machine: Machine, trouble: TaskError, environ: dict[str, str]
) -> None:
    machine.engine = trouble
    with pytest.raises(type(trouble)):
        install.mend(True, environ)
    assert machine.commands == []


def test_trouble_that_is_left_after_installing_is_reported(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.engine = NoEngine("none")

    def start(root: Sequence[str]) -> None:
        machine.engine = EngineDenied("not yours yet")

    monkeypatch.setattr(install, "start", start)
    with pytest.raises(EngineDenied):
        install.mend(True, {})


def test_a_user_without_root_and_sudo_is_told(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.engine = NoEngine("none")
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    with pytest.raises(HostError, match="needs root"):
        install.mend(True, {})
    assert machine.commands == []


def test_a_user_with_sudo_joins_the_group(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.engine = NoEngine("none")
    machine.programs = ["sudo"]
    monkeypatch.setattr(os, "geteuid", lambda: 65534)

    def start(root: Sequence[str]) -> None:
        machine.engine = EngineDenied("no permission")

    monkeypatch.setattr(install, "start", start)
    with pytest.raises(EngineDenied, match="this login of nobody is older") as caught:
        install.mend(True, {})
    assert "newgrp docker" in caught.value.hint
    assert "uidmap" in machine.commands[1]
    group = next(words for words in machine.commands if "usermod" in words)
    assert group[0] == "sudo"
    assert group[-2:] == ["docker", "nobody"]


def test_too_little_space_is_found_before_the_work(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Client:
        def info(self) -> dict[str, str]:
            return {"DockerRootDir": "/engine"}

        def close(self) -> None:
            pass

    monkeypatch.setattr(connect, "open_client", lambda environ: Client())
    monkeypatch.setattr(report.space_check, "__defaults__", (lambda place: 3 * GB,))
    monkeypatch.setattr(files, "free_bytes", lambda place: 3 * GB)
    with pytest.raises(DiskFull, match="/engine: 4,000 MB needed, 3,000 MB free"):
        report.prepare(True, {})


# --- waiting for the engine


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def wait(clock: Clock, ready_at: float, ends_at: float = 1e9, log: str = "") -> None:
    install.await_engine(
        lambda: clock.now < ends_at,
        lambda: log,
        answers=lambda: clock.now >= ready_at,
        clock=clock,
        sleep=clock.sleep,
    )


def test_the_engine_may_take_a_minute_to_answer() -> None:
    clock = Clock()
    wait(clock, ready_at=59)
    assert 59 <= clock.now < 60


def test_an_engine_that_never_answers_ends_with_its_last_words() -> None:
    clock = Clock()
    with pytest.raises(HostError, match="did not answer within 60 s: fatal: no disk") as caught:
        wait(clock, ready_at=1e9, log="starting\nfatal: no disk\n (exit status 4)\n\n")
    assert clock.now == 60
    assert "--privileged" in caught.value.hint


def test_an_engine_that_ended_is_not_waited_for() -> None:
    clock = Clock()
    with pytest.raises(HostError, match="ended: it wrote nothing"):
        wait(clock, ready_at=1e9, ends_at=2)
    assert clock.now == 2


def test_a_process_that_is_gone_or_a_zombie_is_not_alive(tmp_path: Path) -> None:
    assert not install._alive(tmp_path / "gone")
    (tmp_path / "stat").write_text("7 (dockerd (x)) Z 1 7 7 0")
    assert not install._alive(tmp_path)
    (tmp_path / "stat").write_text("7 (dockerd (x)) S 1 7 7 0")
    assert install._alive(tmp_path)


def test_request_takes_leave_to_install_and_room() -> None:
    assert report.request(["--install"]) == report.Request(install=True)
    assert report.request(["--room", "20"]) == report.Request(room=20_000_000_000)
    assert report.request([]) == report.Request()
    with pytest.raises(UsageError, match="0 or more"):
        report.request(["--room", "-1"])
