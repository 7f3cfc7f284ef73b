"""The Docker engine: the SDK for containers and images, buildx for builds."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Unpack

import docker
import docker.errors
import requests

from tasks import catalog
from tasks.base import console, files, process
from tasks.base.errors import (
    BuilderPlatform,
    CommandFailed,
    DiskFull,
    EngineError,
    HostError,
    NoSuchImage,
    NotWritable,
    RegistryUnreachable,
    WrongArchitecture,
)
from tasks.catalog import Target
from tasks.engine import buildx
from tasks.engine.buildx import BuildOptions
from tasks.engine.connect import (
    SDK_ERRORS,
    check_buildx,
    check_version,
    explain_connection,
    explain_pull,
    open_client,
    reason,
)
from tasks.engine.containers import LABEL, Container, ContainerOptions, Mount, Output, settings

__all__ = ["BuildOptions", "Container", "Engine", "Mount", "Output"]

ANSWER_TIMEOUT = 120  # seconds: removing a large container on a slow disk
PULL_SILENCE = 20  # seconds without a sign of progress after which a registry counts as unreachable

DEFAULT_OPTIONS = BuildOptions()


class Engine:
    """A Docker engine that answers. A context manager; leaves nothing behind of what it starts."""

    def __init__(self, client: docker.DockerClient, environ: Mapping[str, str]) -> None:
        """Use ``connect``."""
        self._client = client
        self._environ = environ
        self.info: Mapping[str, Any] = client.info()
        self.version = str(self.info.get("ServerVersion", ""))

    @classmethod
    def connect(cls, environ: Mapping[str, str] = os.environ) -> Engine:
        """The engine that DOCKER_HOST, else the docker command's context, names.

        Raises:
            NoEngine: nothing answers there.
            EngineDenied: the user may not write to the socket.
            EngineTooOld: older than 23.0.
            NoBuildx: the docker command or its buildx plugin is missing.
        """
        client = open_client(environ)
        try:
            client.api.timeout = ANSWER_TIMEOUT
            check_version(client)
            check_buildx(environ)
            return cls(client, environ)
        except SDK_ERRORS as error:
            client.close()
            raise explain_connection(error, environ.get("DOCKER_HOST", "")) from error
        except BaseException:
            client.close()
            raise

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @property
    def arch(self) -> str:
        """The engine's own architecture, as `uname -m` names it."""
        return str(self.info["Architecture"])

    @property
    def target(self) -> Target:
        """The row of the engine's own architecture."""
        return catalog.target(self.arch)

    def build(
        self,
        dockerfile: Path,
        *,
        context: Path,
        stage: str,
        target: Target,
        args: Mapping[str, str],
        output: Path | None = None,
        tag: str | None = None,
        contexts: Mapping[str, str | Path] | None = None,
        options: BuildOptions = DEFAULT_OPTIONS,
    ) -> None:
        """Build ``stage`` of ``dockerfile`` for ``target``, into a folder, an image, or the cache.

        ``output`` becomes the stage's file system: the old one is replaced whole at the end, and
        stays as it is when the build fails. ``tag`` names the image in the engine. The steps get
        the host's network, its proxies (http_proxy, https_proxy, no_proxy), SOURCE_DATE_EPOCH,
        and the file that SSL_CERT_FILE names as the secret ``ca``, each when it is set.

        Raises:
            CommandFailed: a step failed; says which, and its last line.
            BuilderPlatform: the builder cannot run a step, or has no image, for its platform.
            DiskFull: the engine or ``output`` ran out of space.
            NotWritable: ``output`` cannot be written beside.
            HostError: SSL_CERT_FILE names no file.
        """
        bundle = self._environ.get("SSL_CERT_FILE")
        if bundle and not Path(bundle).is_file():
            raise HostError(
                f"SSL_CERT_FILE names {bundle}, which is not a file",
                hint="correct it, or unset it",
            )
        with _replacing(output) as fresh:
            words = buildx.command(
                dockerfile,
                context=context,
                stage=stage,
                target=target,
                args=args,
                contexts=contexts or {},
                options=options,
                environ=self._environ,
                output=fresh,
                tag=tag,
            )
            self._run_build(words, dockerfile)

    def _run_build(self, words: Sequence[str], dockerfile: Path) -> None:
        log = buildx.Log()
        try:
            process.run(words, env=self._environ, on_line=log.line)
        except CommandFailed as error:
            failure = log.failure(dockerfile)
            if failure.disk_full:
                root = str(self.info.get("DockerRootDir", "the engine's disk"))
                free = files.free_bytes(Path(root)) if os.access(root, os.F_OK) else None
                raise DiskFull(root, None, free) from error
            for line in failure.output:
                console.note(line)
            if failure.platform:
                raise BuilderPlatform(failure.cause, hint=failure.hint) from error
            raise CommandFailed(
                failure.cause,
                returncode=error.returncode,
                output="\n".join(failure.output) or error.output,
                hint=failure.hint,
            ) from error

    def image_id(self, reference: str) -> str | None:
        """The id of a local image (``sha256:…``), or None where there is none."""
        attributes = self._inspect(reference)
        return None if attributes is None else str(attributes["Id"])

    def image_arch(self, reference: str) -> str | None:
        """The architecture of a local image as `uname -m` names it, or None."""
        attributes = self._inspect(reference)
        if attributes is None:
            return None
        name = str(attributes.get("Architecture", ""))
        rows = catalog.targets().values()
        return next((row.arch for row in rows if row.debian == name), name)

    def image_labels(self, reference: str) -> Mapping[str, str]:
        """The labels of a local image."""
        config = (self._inspect(reference) or {}).get("Config") or {}
        return config.get("Labels") or {}

    def _inspect(self, reference: str) -> Mapping[str, Any] | None:
        try:
            return self._client.images.get(reference).attrs
        except docker.errors.NotFound:
            return None
        except SDK_ERRORS as error:
            raise EngineError(f"{reference}: {reason(error)}") from error

    def pull(self, reference: str, target: Target) -> None:
        """Pull an image for ``target``.

        Raises:
            RegistryUnreachable: no such host, refused, timed out, rate-limited; no answer either
                way about the image.
            NoSuchImage: the registry has no such image for ``target``, or sent other bytes.
            DiskFull: the engine ran out of space.
        """
        name, _, tag = reference.partition("@")
        puller = self._client.api
        before = puller.timeout
        puller.timeout = PULL_SILENCE
        try:
            for event in puller.pull(
                name, tag=tag or None, platform=target.platform, stream=True, decode=True
            ):
                if "error" in event:
                    raise explain_pull(reference, str(event["error"]))
        except docker.errors.DockerException as error:
            raise explain_pull(reference, reason(error)) from error
        except requests.RequestException as error:
            raise RegistryUnreachable(
                f"{reference}: no sign of the registry in {PULL_SILENCE} s"
            ) from error
        finally:
            puller.timeout = before

    def run(
        self,
        image: str,
        argv: Sequence[str],
        *,
        stdin: bytes | None = None,
        timeout: float,
        **options: Unpack[ContainerOptions],
    ) -> Output:
        """Run ``argv`` in a fresh container of ``image``, removed afterwards whatever happens.

        No network unless ``network`` says so. ``timeout`` in seconds; the container is killed then.

        Raises:
            ContainerTimeout: it did not end in time.
            NoSuchImage: no such local image; it is never pulled.
            WrongArchitecture: the image is another architecture's than ``target``.
            EngineError: the engine could not start it (no such program, bad mount).
        """
        with self._created(image, argv, options, with_stdin=stdin is not None) as box:
            return box.run_main(stdin=stdin, timeout=timeout)

    @contextmanager
    def container(self, image: str, **options: Unpack[ContainerOptions]) -> Iterator[Container]:
        """A container that does nothing, to `exec` in; removed at the end. Errors as in ``run``.

        ``image`` must have a `sleep`, unless ``entrypoint`` names another program that stays.
        """
        options.setdefault("entrypoint", ["sleep"])
        with self._created(image, ["infinity"], options, init=True) as box:
            box.start()
            yield box

    @contextmanager
    def _created(
        self,
        image: str,
        argv: Sequence[str],
        options: ContainerOptions,
        *,
        with_stdin: bool = False,
        init: bool = False,
    ) -> Iterator[Container]:
        api: Any = self._client.api  # the stubs have no types for this call
        values = settings(api, image, argv, options, with_stdin=with_stdin, init=init)
        target = options.get("target")
        platform = target.platform if target else None
        try:
            made = api.create_container_from_config(values, platform=platform)
        except SDK_ERRORS as error:
            raise self._explain_create(image, error) from error
        box = Container(self._client.api, str(made["Id"]), image, self._environ)
        try:
            yield box
        finally:
            box.remove()

    def _explain_create(self, image: str, error: Exception) -> EngineError:
        text = reason(error)
        if "does not match the specified platform" in text:
            return WrongArchitecture(
                f"{image}: is for {self.image_arch(image)}, another was asked for",
                hint=f"remove it, to have it made again: docker image rm {image}",
            )
        if isinstance(error, docker.errors.NotFound):
            return NoSuchImage(f"{image}: the engine has no such image")
        return EngineError(f"{image}: no container could be made: {text}")

    @contextmanager
    def volume(self) -> Iterator[str]:
        """The name of a fresh volume, removed at the end."""
        name = f"tea-{uuid.uuid4().hex[:12]}"
        try:
            volume = self._client.volumes.create(name, labels={LABEL: "1"})
        except SDK_ERRORS as error:
            raise EngineError(f"no volume could be made: {reason(error)}") from error
        try:
            yield name
        finally:
            try:
                volume.remove(force=True)
            except SDK_ERRORS as error:
                raise EngineError(f"volume {name}: not removed: {reason(error)}") from error


@contextmanager
def _replacing(output: Path | None) -> Iterator[Path | None]:
    """A new folder beside ``output`` that takes its place when the block ends well."""
    if output is None:
        yield None
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    except OSError as error:
        raise NotWritable(
            f"{output.parent}: not writable ({error.strerror})",
            hint="choose another folder, or change its owner",
        ) from error
    try:
        fresh = work / "new"
        fresh.mkdir()
        yield fresh
        old = work / "old"
        if output.exists():
            output.rename(old)
        try:
            fresh.rename(output)
        except BaseException:
            if old.exists():
                old.rename(output)
            raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
