"""The way to a Docker engine, and in plain words why it did not answer or said no."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import docker
import docker.errors
import requests
from docker.context import ContextAPI

from tasks.base import process
from tasks.base.errors import (
    DiskFull,
    EngineDenied,
    EngineError,
    EngineTooOld,
    MissingProgram,
    NoBuildx,
    NoEngine,
    NoSuchImage,
    RegistryUnreachable,
)
from tasks.engine import buildx

MIN_API = (1, 42)  # Docker 23.0: the first with named build contexts
MIN_VERSION = "23.0"
MIN_BUILDX = (0, 10)  # the first that knows --provenance
_BUILDX = re.compile(r"docker/buildx v?(\d+)\.(\d+)")
CONNECT_TIMEOUT = 10  # seconds
INSTALL = "nox -s host -- --install"
START_HINT = f"start Docker (sudo systemctl start docker), or run: {INSTALL}"
SDK_ERRORS = (docker.errors.DockerException, requests.RequestException)
# Marks in the engine's words: the registry answered about the image; it was never asked.
_NETWORK = ("dial tcp", "lookup ", "timeout", "toomanyrequests", "too many requests", "rate limit")
_DEFINITE = (
    "manifest unknown",
    "not found",
    "pull access denied",
    "does not exist",
    "no matching manifest",
    "does not match the specified platform",
    "unauthorized",
    "invalid reference",
    "unexpected digest",
    "digest verification failed",
    "failed to verify digest",
    "filesystem layer verification failed",
)


def open_client(environ: Mapping[str, str]) -> docker.DockerClient:
    """The SDK's client for the engine that DOCKER_HOST, else the current context, names.

    Raises:
        NoEngine: nothing answers there.
        EngineDenied: the user may not write to the socket.
    """
    where = _place(environ)
    try:
        return docker.from_env(environment=dict(environ), timeout=CONNECT_TIMEOUT)
    except (*SDK_ERRORS, OSError, ValueError) as error:
        raise explain_connection(error, where) from error


def reason(error: Exception) -> str:
    """The engine's own words."""
    return str(getattr(error, "explanation", None) or error).strip()


def explain_pull(reference: str, text: str) -> EngineError | DiskFull:
    """The error for what the engine said about a pull."""
    if buildx.NO_SPACE.search(text):
        return DiskFull("the engine's disk", None, None)
    if buildx.matches(text, _DEFINITE) and not buildx.matches(text, _NETWORK):
        return NoSuchImage(
            f"{reference}: {text}", hint="correct the row in tasks/catalog/data/images.toml"
        )
    return RegistryUnreachable(f"{reference}: {text}")


def _place(environ: Mapping[str, str]) -> str:
    """DOCKER_HOST where it is set. Refuses what could not work with the clearest reason."""
    host = environ.get("DOCKER_HOST", "")
    where = f"DOCKER_HOST={host}"
    if not host:
        name = environ.get("DOCKER_CONTEXT")
        context = ContextAPI.get_context(name)
        if context is None:
            raise NoEngine(
                f"Docker context {name!r}: not found", hint="docker context ls lists them"
            )
        where = f"context {context.Name}"
        host = context.Host or ""
    if host.startswith("ssh:"):
        raise NoEngine(
            f"Docker engine: {where} is another machine's, which cannot see the folders that "
            "containers need",
            hint="use this machine's engine; to build elsewhere, name a buildx builder: --builder",
        )
    return environ.get("DOCKER_HOST", "")


def explain_connection(error: BaseException, where: str) -> EngineError:
    """Tell apart why the engine did not answer. ``where`` is DOCKER_HOST, or empty."""
    causes = list(_chain(error))
    if any(isinstance(cause, PermissionError) for cause in causes):
        return EngineDenied(
            f"Docker engine: no permission on {where or 'its socket'}",
            hint="join the group docker (sudo usermod -aG docker $USER) and log in again "
            "(or: newgrp docker), or run as root",
        )
    if where:
        return NoEngine(
            f"Docker engine: nothing answers at DOCKER_HOST={where} ({_innermost(causes)})",
            hint="correct DOCKER_HOST, or unset it to use this machine's own engine",
        )
    return NoEngine(f"Docker engine: none answers ({_innermost(causes)})", hint=START_HINT)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """``error`` and all that it was made of: causes, contexts, and errors among its arguments."""
    waiting, seen = [error], set[int]()
    while waiting:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        parts = (current.__cause__, current.__context__, *current.args)
        waiting.extend(part for part in parts if isinstance(part, BaseException))


def _innermost(causes: Sequence[BaseException]) -> str:
    system = [cause for cause in causes if isinstance(cause, OSError) and cause.strerror]
    return str(system[-1].strerror) if system else _first_line(causes[0])


def _first_line(error: BaseException) -> str:
    """The first line of an error's text."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def check_version(client: docker.DockerClient) -> None:
    version = client.version()
    api = str(version.get("ApiVersion", "0.0"))
    if tuple(int(part) for part in api.split(".")) < MIN_API:
        raise EngineTooOld(
            f"Docker engine {version.get('Version')} is too old: {MIN_VERSION} or newer is needed",
            hint="install a newer one: nox -s host lists how",
        )


def check_buildx(environ: Mapping[str, str]) -> None:
    """Refuse a docker command that cannot do what builds ask of it.

    Raises:
        NoBuildx: there is none, it has no buildx plugin or one too old, or builds with buildah.
    """
    try:
        found = process.capture(
            ["docker", "buildx", "version"], env=environ, check=False, timeout=30
        )
    except MissingProgram as error:
        raise NoBuildx(f"docker: {error.message}", hint=error.hint) from error
    if found.returncode:
        raise NoBuildx(
            "the docker command has no buildx plugin",
            hint=f"install the package docker-buildx, or run: {INSTALL}",
        )
    said = found.stdout.strip()
    if said.startswith("buildah"):  # Podman's docker command
        raise NoBuildx(
            f"the docker command builds with {said}, which is not BuildKit",
            hint=f"put Docker's own in place of Podman's (package podman-docker): {INSTALL}",
        )
    version = _BUILDX.search(said)
    if version and tuple(map(int, version.groups())) < MIN_BUILDX:
        raise NoBuildx(
            f"the docker command's buildx plugin is too old: {said}; 0.10 or newer is needed",
            hint=f"install a newer one, by the package docker-buildx, or run: {INSTALL}",
        )
