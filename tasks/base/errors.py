"""Every error that a session reports: what happened, why, what to do, and an exit code.

Raised where the cause is known, printed in one place (``console.reported``). Exit codes are
part of the command-line contract and listed in docs/errors.md, which a test holds against them.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


class TaskError(Exception):
    """Base of all errors that a user can cause or meet. ``hint`` says what to do."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(TaskError):
    """An argument that no session accepts. Exit code 2."""

    exit_code = 2


class UnknownName(UsageError):
    """A name that no table has: model, architecture, implementation, option."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = get_close_matches(name, names, n=1, cutoff=0.5)
        super().__init__(
            f"unknown {kind} {name!r}",
            hint=f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}",
        )


class CatalogError(TaskError):
    """A row of the tables that is missing, incomplete or of the wrong type. Exit code 3."""

    exit_code = 3


class MissingProgram(TaskError):
    """A program that the host must have is not there. Exit code 4."""

    exit_code = 4


class CommandFailed(TaskError):
    """A program ran and said no. Exit code 5."""

    exit_code = 5

    def __init__(self, message: str, *, returncode: int, output: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.returncode = returncode
        self.output = output


class EngineError(TaskError):
    """No Docker engine answers, or it refused. Exit code 6."""

    exit_code = 6


class NoEngine(EngineError):
    """Nothing answers where the Docker engine should be. Exit code 40."""

    exit_code = 40


class EngineDenied(EngineError):
    """The engine is there, and this user may not talk to it. Exit code 41."""

    exit_code = 41


class EngineTooOld(EngineError):
    """The engine lacks what the builds need. Exit code 42."""

    exit_code = 42


class NoBuildx(EngineError):
    """The docker command has no buildx plugin. Exit code 43."""

    exit_code = 43


class RegistryUnreachable(EngineError):
    """The registry of an image gave no answer, or none for now (a rate limit). Exit code 44."""

    exit_code = 44


class NoSuchImage(EngineError):
    """The registry or the engine answered: no such image, or not these bytes. Exit code 45."""

    exit_code = 45


class WrongArchitecture(EngineError):
    """An image is there, for another architecture than the one asked for. Exit code 46."""

    exit_code = 46


class ContainerTimeout(EngineError):
    """A program in a container did not end in its time, and was killed. Exit code 47."""

    exit_code = 47


class BuilderPlatform(EngineError):
    """The builder cannot build for, or run, the platform that a step is for. Exit code 48."""

    exit_code = 48


class HostError(TaskError):
    """The machine lacks something that this project may or can not install. Exit code 7."""

    exit_code = 7


class NoEmulation(HostError):
    """The machine does not run another architecture's programs. Exit code 50."""

    exit_code = 50


class QemuTooOld(HostError):
    """The QEMU that runs another architecture's programs lacks what they need. Exit code 51."""

    exit_code = 51


class DiskFull(TaskError):
    """Not enough free space, found before the work or in the middle of it. Exit code 8."""

    exit_code = 8

    def __init__(self, where: Path | str, needed: int | None, free: int | None) -> None:
        """``needed`` and ``free`` in bytes; None where nobody can tell."""
        sizes = [f"{needed / 1e6:,.0f} MB needed"] if needed is not None else ["no space left"]
        if free is not None:
            sizes.append(f"{free / 1e6:,.0f} MB free")
        super().__init__(
            f"{where}: {', '.join(sizes)}",
            hint="free some space there, or point the output or cache at another disk",
        )


class NotWritable(TaskError):
    """A folder that must be written to is not writable. Exit code 9."""

    exit_code = 9


class FetchError(TaskError):
    """A file could not be had from any source. Exit code 10; kinds below have their own."""

    exit_code = 10


class Unreachable(FetchError):
    """No source answered, after all retries. Exit code 11."""

    exit_code = 11


class DigestMismatch(FetchError):
    """The bytes are not the ones that the row promises. Exit code 12."""

    exit_code = 12

    def __init__(self, name: str, expected: str, got: str) -> None:
        super().__init__(
            f"{name}: sha256 is {got[:12]}…, expected {expected[:12]}…",
            hint="the download was deleted; if the publisher changed the file, run: nox -s pins",
        )


class SizeMismatch(FetchError):
    """The file is not as long as the row promises. Exit code 17."""

    exit_code = 17

    def __init__(self, name: str, expected: int, got: int) -> None:
        super().__init__(
            f"{name}: {got:,} bytes or more, expected {expected:,}",
            hint="the download was deleted; if the publisher changed the file, run: nox -s pins",
        )


class NotPublished(FetchError):
    """The repository, file or revision is not there. Exit code 13."""

    exit_code = 13


class AccessDenied(FetchError):
    """The file needs an accepted licence or a token. Exit code 14."""

    exit_code = 14


class NotLocked(FetchError):
    """No digest is known for the model, and none may be taken on trust. Exit code 15."""

    exit_code = 15


class GgufError(TaskError):
    """A model file that is not GGUF, is damaged, or is not the row's. Exit code 16."""

    exit_code = 16


class BuildError(TaskError):
    """A tree that must not be shipped: architecture, libraries or layout. Exit code 20."""

    exit_code = 20


class NoWheel(BuildError):
    """A Python package has no build for the target's architecture. Exit code 22."""

    exit_code = 22


class AppImageError(TaskError):
    """A file that is not an AppImage, or not one of ours. Exit code 21."""

    exit_code = 21


class SmokeFailed(TaskError):
    """A bundle did not do what it must. Exit code 30."""

    exit_code = 30


class SmokeNotRun(TaskError):
    """A bundle could not be tried on this machine, which is not a pass. Exit code 31."""

    exit_code = 31


class BenchFailed(TaskError):
    """A program that was to be measured ended with an error. Exit code 32."""

    exit_code = 32


class PublishFailed(TaskError):
    """A release could not be made whole on GitHub, and is not visible. Exit code 33."""

    exit_code = 33


class NotReproducible(TaskError):
    """Two builds of the same commit gave different AppImages. Exit code 34."""

    exit_code = 34


class ReleaseError(TaskError):
    """What lies in dist/ cannot be released as it is. Exit code 60."""

    exit_code = 60


class SbomInvalid(ReleaseError):
    """A bill of materials is not what its schema asks for. Exit code 61."""

    exit_code = 61


class ReleaseIncomplete(ReleaseError):
    """Some bundles of a release could not be made; the others are kept. Exit code 62."""

    exit_code = 62


def describe(error: TaskError) -> str:
    """The text that a user reads: one line of cause, one of remedy when there is one."""
    return f"{error.message}\n  → {error.hint}" if error.hint else error.message
