"""Makes a machine ready: installs the distribution's own engine and buildx, and starts the engine.

Only what is missing, only on the systems in ``SYSTEMS``, and never a change to an engine that
is there.
"""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tasks.base import console, process
from tasks.base.errors import (
    CommandFailed,
    EngineDenied,
    EngineError,
    HostError,
    NoBuildx,
    NoEngine,
)
from tasks.engine import connect
from tasks.host import apt

SYSTEMS = "Debian 12, Debian 13, Ubuntu 22.04 and Ubuntu 24.04"
START_LIMIT = 60.0  # seconds until the engine must answer
POLL = 0.5  # seconds between two questions to it
LOG = Path("/var/log/tea-bundles-dockerd.log")
SYSTEMD = Path("/run/systemd/system")  # is there when systemd runs, as sd_booted(3) defines it
NEXT = "trixie"
NEXT_SOURCE = Path("/etc/apt/sources.list.d/tea-bundles-docker.sources")
NEXT_PINS = Path("/etc/apt/preferences.d/tea-bundles-docker")
PINNED = "docker.io docker-cli docker-buildx containerd"

_ENGINES = {
    ("debian", "12"): tuple(PINNED.split()),
    ("debian", "13"): ("docker.io", "docker-cli", "docker-buildx"),
    ("ubuntu", "22.04"): ("docker.io", "docker-buildx"),
    ("ubuntu", "24.04"): ("docker.io", "docker-buildx"),
}
# Debian suites on Ubuntu need Debian's keys.
_MMDEBSTRAP = {"debian": ("mmdebstrap",), "ubuntu": ("mmdebstrap", "debian-archive-keyring")}


@dataclass(frozen=True, slots=True)
class InstallPlan:
    """What is about to change: files to write, packages to install, an engine to start."""

    files: Mapping[Path, str] = field(default_factory=dict)
    packages: tuple[str, ...] = ()
    start: bool = False
    member: str = ""  # who joins the group docker

    def lines(self) -> list[str]:
        """The plan for a reader."""
        said = [f"write {path}" for path in self.files]
        if self.packages:
            said.append(f"install the packages {' '.join(self.packages)}")
        if self.start:
            said.append("start the Docker engine")
        if self.member:
            said.append(f"let {self.member} use it (group docker: as good as root)")
        return said


def mend(install: bool, environ: Mapping[str, str] = os.environ) -> None:
    """See to it that an engine with buildx answers; install and start it when ``install`` is true.

    Says what it is about to change first, and asks on a terminal.

    Raises:
        EngineError: there is no engine to use and ``install`` is false, or one is there that
            this may not touch (too old, no permission, named by DOCKER_HOST).
        HostError: not a system that this can install on, no root, refused at the question,
            or the engine did not start.
        CommandFailed: apt said no.
    """
    engine, buildx = engine_trouble(environ), buildx_trouble(environ)
    trouble = engine or buildx
    if trouble is None:
        console.note("the Docker engine answers and has buildx: left as it is")
    elif not install or not _may_mend(trouble, environ):
        raise trouble
    lacks_mmdebstrap = install and shutil.which("mmdebstrap") is None
    if trouble is None and not (lacks_mmdebstrap and _system() in _ENGINES):
        return
    plan = make_plan(
        _system(),
        lacks_engine=engine is not None,
        lacks_buildx=buildx is not None,
        lacks_mmdebstrap=lacks_mmdebstrap,
        which=shutil.which,
    )
    _carry_out(plan)
    left = engine_trouble(environ) or buildx_trouble(environ)
    if plan.member and isinstance(left, EngineDenied):
        raise EngineDenied(
            f"the Docker engine runs, but this login of {plan.member} is older than the "
            "membership in the group docker",
            hint="log in again, or run: newgrp docker; then run this again",
        )
    if left is not None:
        raise left


def engine_trouble(environ: Mapping[str, str]) -> EngineError | None:
    """Why no engine can be used, or None."""
    try:
        client = connect.open_client(environ)
    except EngineError as error:
        return error
    try:
        connect.check_version(client)
    except EngineError as error:
        return error
    finally:
        client.close()
    return None


def buildx_trouble(environ: Mapping[str, str]) -> NoBuildx | None:
    """Why buildx cannot be used, or None."""
    try:
        connect.check_buildx(environ)
    except NoBuildx as error:
        return error
    return None


def _may_mend(trouble: EngineError, environ: Mapping[str, str]) -> bool:
    """Whether installing can help without touching what the user has set up."""
    chosen = environ.get("DOCKER_HOST") or environ.get("DOCKER_CONTEXT")
    return isinstance(trouble, NoBuildx) or (isinstance(trouble, NoEngine) and not chosen)


def _system() -> tuple[str, str]:
    release = apt.os_release()
    return release.get("ID", "?"), release.get("VERSION_ID", "?")


def make_plan(
    system: tuple[str, str],
    *,
    lacks_engine: bool,
    lacks_buildx: bool,
    lacks_mmdebstrap: bool,
    which: Callable[[str], str | None],
    entries: Callable[[], Sequence[apt.Entry]] = apt.entries,
) -> InstallPlan:
    """What has to change on ``system`` (ID and VERSION_ID of os-release).

    An engine that is installed and only does not run is started and not replaced.

    Raises:
        HostError: not one of ``SYSTEMS``, or apt has no archive of Debian's.
    """
    if system not in _ENGINES:
        raise HostError(
            f"{' '.join(system)}: an engine can be installed for you on {SYSTEMS} only",
            hint="install Docker Engine 23.0 or newer with its buildx plugin, and start it; "
            "then run this again",
        )
    packages: list[str] = []
    if lacks_engine and which("dockerd") is None:
        packages += _ENGINES[system]
    elif lacks_buildx:
        # The plugin needs the command that it is plugged into.
        client = "docker-cli" if "docker-cli" in _ENGINES[system] else "docker.io"
        packages += ["docker-buildx"] if which("docker") else [client, "docker-buildx"]
    files = {}
    if packages and system == ("debian", "12"):
        files = _next_release(entries())
    if lacks_mmdebstrap:
        packages += _MMDEBSTRAP[system[0]]
        if os.geteuid() != 0:
            packages.append("uidmap")  # mmdebstrap without root needs a range of user ids
    member = ""
    if lacks_engine and os.geteuid() != 0:
        member = pwd.getpwuid(os.geteuid()).pw_name
    return InstallPlan(files, tuple(packages), lacks_engine, member)


def _next_release(entries: Sequence[apt.Entry]) -> dict[Path, str]:
    """Files that let Debian 12 take four packages, and no other, from Debian 13."""
    archives = apt.debian_archives(entries, "bookworm")
    if archives is None:
        raise HostError(
            "apt's sources name no archive of Debian 12's own packages",
            hint="add one to /etc/apt/sources.list.d, then run this again",
        )
    only_these = f"Package: {PINNED}\nPin: release n={NEXT}\nPin-Priority: 990\n"
    if any(entry.suite == NEXT and entry.component == "main" for entry in entries):
        # Somebody set Debian 13 up already, at a priority of their choice.
        return {NEXT_PINS: only_these}
    signed = f"Signed-By: {apt.KEYRING}\n" if apt.KEYRING.exists() else ""
    source = f"Types: deb\nURIs: {archives.main}\nSuites: {NEXT}\nComponents: main\n{signed}"
    nothing_else = f"Package: *\nPin: release n={NEXT}\nPin-Priority: 100\n"
    return {NEXT_SOURCE: source, NEXT_PINS: f"{nothing_else}\n{only_these}"}


def confirm(changes: Sequence[str]) -> None:
    """Say what is about to change and, on a terminal, ask; ``HostError`` when the answer is no."""
    console.heading("This machine needs some changes")
    for line in changes:
        console.note(line)
    if not console.confirmed("Go ahead?"):
        raise HostError("nothing was changed, as you said", hint=f"later: {connect.INSTALL}")


def _carry_out(plan: InstallPlan) -> None:
    confirm(plan.lines())
    root = root_prefix()
    for path, text in plan.files.items():
        _write(path, text, root)
    if plan.packages:
        install(plan.packages, root)
    if plan.member:
        process.run([*root, "usermod", "--append", "--groups", "docker", plan.member])
    if plan.start:
        start(root)


def root_prefix() -> list[str]:
    """What to put before a command that needs root; ``HostError`` where nothing helps."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") is None:
        raise HostError("installing needs root, and there is no sudo", hint="run this as root")
    kept = "DEBIAN_FRONTEND,http_proxy,https_proxy,no_proxy"
    return ["sudo", f"--preserve-env={kept}"]


def _write(path: Path, text: str, root: Sequence[str]) -> None:
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        console.note(f"{path}: already as it should be")
        return
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as draft:
        draft.write(text)
        draft.flush()
        process.run([*root, "install", "-m", "644", draft.name, path])


def install(packages: Sequence[str], root: Sequence[str]) -> None:
    """Install the distribution's ``packages``; ``CommandFailed`` when apt says no."""
    words = [*root, "apt-get", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"]
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    with console.stage(f"Install {' '.join(packages)}"):
        try:
            process.run([*words, "-q", "update"], env=quiet, quiet=True)
            process.run(
                [*words, "-q", "install", "-y", "--no-install-recommends", *packages],
                env=quiet,
                quiet=True,
            )
        except CommandFailed as error:
            raise CommandFailed(
                error.message,
                returncode=error.returncode,
                output=error.output,
                hint="apt must work first: try sudo apt-get update; on Ubuntu the component "
                "universe must be on",
            ) from error


def start(root: Sequence[str], *, systemd: Path = SYSTEMD, log: Path = LOG) -> None:
    """Start the engine, through systemd where it runs, and wait until it answers.

    Raises:
        HostError: it ended, or does not answer in time; shows the end of its log.
    """
    with console.stage("Start the Docker engine"):
        if systemd.is_dir():
            process.run([*root, "systemctl", "start", "docker"])
            await_engine(lambda: True, _journal)
            return
        # A session of its own, so that it outlives this program and its terminal.
        script = 'setsid dockerd >"$0" 2>&1 </dev/null & echo $!'
        pid = process.capture([*root, "sh", "-c", script, log]).stdout.strip()
        console.note(f"dockerd runs as process {pid} and writes to {log}")
        await_engine(lambda: _alive(Path("/proc", pid)), lambda: log.read_text(errors="replace"))


def await_engine(
    alive: Callable[[], bool],
    said: Callable[[], str],
    *,
    answers: Callable[[], bool] | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until the engine ``answers``; ``said`` gives its log for the error.

    Raises:
        HostError: it is no longer ``alive``, or ``START_LIMIT`` seconds have passed.
    """
    ready = answers or _answers
    end = clock() + START_LIMIT
    while not ready():
        if not alive():
            raise _not_started("ended", said())
        if clock() >= end:
            raise _not_started(f"did not answer within {START_LIMIT:.0f} s", said())
        sleep(POLL)


def _answers() -> bool:
    """Whether the engine answers, to this user or at least to root."""
    try:
        connect.open_client({}).close()
    except NoEngine:
        return False
    except EngineError:
        return True
    return True


def _alive(process: Path) -> bool:
    """Whether a folder of /proc is a running process, and no zombie.

    By its state: the command line is empty for a moment while a process becomes another program.
    """
    try:
        stat = (process / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def _journal() -> str:
    words = ["journalctl", "--unit=docker", "--lines=20", "--no-pager", "--output=cat"]
    return process.capture(words, check=False).stdout


def _not_started(what: str, log: str) -> HostError:
    lines = [line for line in log.splitlines() if line.strip()][-10:]
    for line in lines:
        console.note(line)
    # A message of several lines goes on indented.
    heads = [line for line in lines if not line.startswith(" ")]
    last = heads[-1] if heads else "it wrote nothing"
    return HostError(
        f"the Docker engine {what}: {last}",
        hint="its own words are above; inside a container it needs --privileged",
    )
