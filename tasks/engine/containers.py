"""One container: what it is made with, what runs in it, and that it is gone at the end."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypedDict

import docker.types
from docker.api import APIClient

from tasks.base.errors import ContainerTimeout, EngineError
from tasks.catalog import Target
from tasks.engine.connect import SDK_ERRORS, reason

LABEL = "org.tea-bundles"  # on everything that is started, so that leftovers can be told
GRACE = 60  # seconds that the engine may take to notice that a program has ended
_STDOUT, _HEADER = 1, 8  # a frame of the attach protocol: stream, 3 zeros, length in 4 bytes


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

    def __init__(self, api: APIClient, identity: str, image: str) -> None:
        self._api = api
        self.id = identity
        self.image = image

    def start(self) -> None:
        """Start its main program."""
        with self._explained("could not be started"):
            self._api.start(self.id)

    def run_main(self, *, stdin: bytes | None, timeout: float) -> Output:
        """Start its main program, and wait for the end of it. ``timeout`` in seconds."""
        with self._explained("could not be started"):
            names = {"stdin": int(stdin is not None), "stdout": 1, "stderr": 1, "stream": 1}
            line = self._api.attach_socket(self.id, params=names)
        start = time.monotonic()
        with closing(_Line(line)) as attached:
            self.start()
            with self._limited(timeout, "its program"), self._explained("lost"):
                stdout, stderr = attached.exchange(stdin)
                # A program may close its output and go on; the limit above ends that too.
                code = int(self._api.wait(self.id, timeout=int(timeout) + GRACE)["StatusCode"])
        return Output(code, stdout, stderr, time.monotonic() - start)

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
        with self._explained(f"could not run {argv[0]}"):
            made = self._api.exec_create(
                self.id,
                list(argv),
                stdin=stdin is not None,
                environment=dict(env or {}),
                user=user or "",
                workdir=workdir,
            )
            start = time.monotonic()
            line = self._api.exec_start(made["Id"], socket=True)
        with closing(_Line(line)) as attached, self._limited(timeout, argv[0]):
            stdout, stderr = attached.exchange(stdin)
        with self._explained(f"lost while running {argv[0]}"):
            code = self._api.exec_inspect(made["Id"])["ExitCode"]
        if code is None:
            raise EngineError(f"{self.image}: {argv[0]} closed its output and went on running")
        return Output(int(code), stdout, stderr, time.monotonic() - start)

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

    @contextmanager
    def _limited(self, seconds: float, program: str) -> Iterator[None]:
        """Kill the container when the block is not done in time, which ends the block."""
        late = threading.Event()

        def end() -> None:
            late.set()
            self.kill()

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
        if late.is_set():
            with self._explained("not ended"):
                self._api.wait(self.id, timeout=GRACE)
            raise ContainerTimeout(
                f"{self.image}: {program} did not end in {seconds:g} s and was killed"
            )

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except SDK_ERRORS as error:
            raise EngineError(f"{self.image}: {what}: {reason(error)}") from error


class _Line:
    """The connection to a program's standard streams.

    The SDK's own reader takes from the bare socket and so would lose what arrived together with
    the answer's header; this one reads through the buffer that the header was read from.
    """

    def __init__(self, line: Any) -> None:
        self._line = line
        self._socket: socket.socket = getattr(line, "_sock", line)
        self._socket.settimeout(None)  # a program may be silent for long; a timer ends it
        self._reader: IO[bytes] = line._response.raw._fp.fp

    def exchange(self, stdin: bytes | None) -> tuple[bytes, bytes]:
        """Send ``stdin``, and read stdout and stderr to their end."""
        if stdin is None:
            return self._read()
        # On a thread: the program may fill its output before it has read its input.
        sender = threading.Thread(target=self._send, args=(stdin,), daemon=True)
        sender.start()
        output = self._read()
        # The program has ended, perhaps with input unread; without this the sender would wait
        # until the engine gives up on it, which takes up to a minute.
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        sender.join()
        return output

    def _send(self, stdin: bytes) -> None:
        with suppress(OSError):  # the program may end without having read all of it
            self._socket.sendall(stdin)
            self._socket.shutdown(socket.SHUT_WR)

    def _read(self) -> tuple[bytes, bytes]:
        streams: tuple[list[bytes], list[bytes]] = ([], [])
        while len(header := self._reader.read(_HEADER)) == _HEADER:
            size = int.from_bytes(header[4:], "big")
            streams[0 if header[0] == _STDOUT else 1].append(self._reader.read(size))
        return b"".join(streams[0]), b"".join(streams[1])

    def close(self) -> None:
        """Close the connection."""
        self._line._response.close()
        self._line.close()
