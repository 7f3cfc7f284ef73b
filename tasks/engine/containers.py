"""One container: what it is made with, what runs in it, and that it is gone at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

import docker.types
from docker.api import APIClient

from tasks.base import process
from tasks.base.errors import CommandFailed, ContainerTimeout, EngineError
from tasks.catalog import Target
from tasks.engine.connect import SDK_ERRORS, reason

LABEL = "org.tea-bundles"  # on everything that is started, so that leftovers can be told
GRACE = 60  # seconds that the engine may take to notice that a program has ended
NEVER = "0001-"  # how the engine's time begins where there is none
REFUSED = b"Error response from daemon:"


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder or file of the host (a path), or a volume (its name), at ``target`` inside."""

    source: Path | str
    target: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Output:
    """What a program in a container did."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    seconds: float


class ContainerOptions(TypedDict, total=False):
    """How a container is set up. Nothing named, nothing given: no network, no mounts, no limits."""

    target: Target | None
    env: Mapping[str, str]
    mounts: Sequence[Mount]
    network: str  # "none", "host", "bridge" or a network's name
    user: str | None  # "UID:GID" or a name
    read_only: bool  # the root file system
    tmpfs: Mapping[str, str]  # place -> options, such as "size=64m,exec"
    devices: Sequence[str]  # such as "/dev/fuse"
    cap_add: Sequence[str]
    security_opt: Sequence[str]
    cpus: float | None  # quota, in processors
    cpuset: str | None  # such as "0" or "0-1"
    memory: int | None  # bytes, swap included
    workdir: str | None
    entrypoint: Sequence[str] | None


def settings(
    api: APIClient,
    image: str,
    argv: Sequence[str],
    options: ContainerOptions,
    *,
    with_stdin: bool,
    init: bool,
) -> dict[str, Any]:
    """The body of the engine's "create container".

    ``init`` puts a process before the program that reaps orphans, for containers that last.
    """
    memory = options.get("memory")
    cpus = options.get("cpus")
    host = api.create_host_config(
        network_mode=options.get("network", "none"),
        mounts=[_mount(mount) for mount in options.get("mounts", ())],
        read_only=options.get("read_only", False),
        tmpfs=dict(options.get("tmpfs", {})) or None,
        devices=[f"{device}:{device}:rwm" for device in options.get("devices", ())],
        cap_add=list(options.get("cap_add", ())),
        security_opt=list(options.get("security_opt", ())),
        nano_cpus=None if cpus is None else round(cpus * 1e9),
        cpuset_cpus=options.get("cpuset"),
        mem_limit=memory,
        memswap_limit=memory,
        init=init,
        # Output is read as it comes; a copy on the engine's disk would serve nobody.
        log_config=docker.types.LogConfig(type="none"),
    )
    config: dict[str, Any] = api.create_container_config(
        image=image,
        command=list(argv),
        user=options.get("user"),
        environment=dict(options.get("env", {})),
        working_dir=options.get("workdir"),
        labels={LABEL: "1"},
        host_config=host,
        stdin_open=with_stdin,
    )
    entrypoint = options.get("entrypoint")
    config["Entrypoint"] = None if entrypoint is None else list(entrypoint)
    config["StdinOnce"] = with_stdin
    return config


def _mount(mount: Mount) -> docker.types.Mount:
    if isinstance(mount.source, Path):
        source = str(mount.source.resolve())
        return docker.types.Mount(mount.target, source, type="bind", read_only=mount.read_only)
    return docker.types.Mount(mount.target, mount.source, type="volume", read_only=mount.read_only)


class Container:
    """A container that was created. ``Engine`` makes it and removes it."""

    def __init__(
        self, api: APIClient, identity: str, image: str, environ: Mapping[str, str]
    ) -> None:
        self._api = api
        self._environ = environ  # which says where the engine is
        self.id = identity
        self.image = image

    def start(self) -> None:
        """Start its main program."""
        with self._explained("could not be started"):
            self._api.start(self.id)

    def run_main(self, *, stdin: bytes | None, timeout: float) -> Output:
        """Start its main program, and wait for the end of it. ``timeout`` in seconds."""
        interactive = [] if stdin is None else ["--interactive"]
        words = ["start", "--attach", *interactive, self.id]
        done = self._docker(words, stdin, timeout, "its program")
        with self._explained("lost"):
            state = self._api.inspect_container(self.id)["State"]
        if state["StartedAt"].startswith(NEVER):
            raise EngineError(f"{self.image}: could not be started: {done.stderr.decode().strip()}")
        return replace(done, exit_code=int(state["ExitCode"]))

    def exec(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        workdir: str | None = None,
        stdin: bytes | None = None,
        timeout: float,
    ) -> Output:
        """Run ``argv`` inside. ``timeout`` in seconds.

        Raises:
            ContainerTimeout: it did not end in time. The engine cannot end one program alone, so
                the container is killed with it.
        """
        words = ["exec"] if stdin is None else ["exec", "--interactive"]
        for name, value in (env or {}).items():
            words += ["--env", f"{name}={value}"]
        words += [] if user is None else ["--user", user]
        words += [] if workdir is None else ["--workdir", workdir]
        done = self._docker([*words, self.id, *argv], stdin, timeout, argv[0])
        if done.exit_code and done.stderr.startswith(REFUSED):
            said = done.stderr.decode().strip()
            raise EngineError(f"{self.image}: could not run {argv[0]}: {said}")
        return done

    def kill(self) -> None:
        """End everything in it at once; no error where it has ended already."""
        try:
            self._api.kill(self.id)
        except SDK_ERRORS as error:
            if getattr(error, "status_code", None) not in (404, 409):  # gone; not running
                raise EngineError(f"container {self.id[:12]}: not killed: {error}") from error

    def remove(self) -> None:
        """Remove it with what is in it; no error where it is gone already."""
        try:
            self._api.remove_container(self.id, force=True, v=True)
        except SDK_ERRORS as error:
            if getattr(error, "status_code", None) not in (404, 409):  # gone; being removed
                raise EngineError(f"container {self.id[:12]}: not removed: {error}") from error

    def _docker(
        self, words: Sequence[str], stdin: bytes | None, timeout: float, program: str
    ) -> Output:
        """Run docker's command line, which speaks to the program; kill the container if late."""
        start = time.monotonic()
        try:
            done = process.exchange(
                ["docker", *words], env=self._environ, stdin=stdin, timeout=timeout
            )
        except CommandFailed as error:
            self.kill()
            with self._explained("not ended"):
                self._api.wait(self.id, timeout=GRACE)
            raise ContainerTimeout(
                f"{self.image}: {program} did not end in {timeout:g} s and was killed"
            ) from error
        return Output(done.returncode, done.stdout, done.stderr, time.monotonic() - start)

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except SDK_ERRORS as error:
            raise EngineError(f"{self.image}: {what}: {reason(error)}") from error
