"""Runs other programs, with their output shown or kept, and their failures as errors."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.base import console
from tasks.base.errors import CommandFailed, MissingProgram

TAIL = 40  # lines of output that an error keeps

INSTALL_HINTS = {
    "docker": "install a Docker engine with buildx, or run: nox -s host -- --install",
    "mmdebstrap": "install the package mmdebstrap, or run: nox -s host -- --install",
    "git": "install git",
    "gh": "install GitHub's command line, gh, and log in: gh auth login",
}


@dataclass(frozen=True, slots=True)
class Completed:
    """What a program said. ``stdout`` and ``stderr`` are text, undecodable bytes replaced."""

    returncode: int
    stdout: str
    stderr: str


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    quiet: bool = False,
    on_line: Callable[[str], None] | None = None,
    hint: str = "",
) -> None:
    """Run ``argv`` with its output shown as it comes; ``env`` is laid over the environment.

    ``quiet`` keeps the output back unless the program fails. ``on_line`` gets each line instead
    of the terminal, without its newline, and then says itself what the user must see.

    Raises:
        MissingProgram: ``argv[0]`` is not installed.
        CommandFailed: it exited non-zero; carries the last lines of its output.
    """
    words = [str(word) for word in argv]
    console.note("$ " + shlex.join(words))
    tail: deque[str] = deque(maxlen=TAIL)
    with _start(words, cwd=cwd, env=env) as process:
        assert process.stdout is not None  # PIPE was asked for
        try:
            for line in process.stdout:
                tail.append(line.rstrip("\n"))
                if on_line is not None:
                    on_line(tail[-1])
                elif not quiet:
                    sys.stderr.write(line)
                    sys.stderr.flush()
            code = process.wait()
        except BaseException:
            process.terminate()
            raise
    if code:
        output = "\n".join(tail)
        if quiet and on_line is None:
            sys.stderr.write(output + "\n")
        raise CommandFailed(
            f"{words[0]} stopped with exit code {code}: {_last(tail)}",
            returncode=code,
            output=output,
            hint=hint,
        )


def capture(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    stdin: str | None = None,
    timeout: float | None = None,
) -> Completed:
    """Run ``argv`` silently and return what it said. ``timeout`` in seconds.

    Raises:
        MissingProgram: ``argv[0]`` is not installed.
        CommandFailed: it exited non-zero and ``check`` is true, or ran into ``timeout``.
    """
    words = [str(word) for word in argv]
    done = _complete(words, stdin, timeout, cwd=cwd, env=_environment(env), errors="replace")
    if check and done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise CommandFailed(
            f"{shlex.join(words[:3])} stopped with exit code {done.returncode}: {_last(lines)}",
            returncode=done.returncode,
            output="\n".join(lines[-TAIL:]),
        )
    return Completed(done.returncode, done.stdout, done.stderr)


def exchange(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    stdin: bytes | None,
    timeout: float,
) -> subprocess.CompletedProcess[bytes]:
    """Run ``argv`` silently with bytes in and out, whatever it exits with. ``timeout`` in seconds.

    Raises:
        MissingProgram: ``argv[0]`` is not installed.
        CommandFailed: it ran into ``timeout``.
    """
    return _complete(list(argv), stdin, timeout, env=_environment(env))


def _complete(
    words: list[str], stdin: str | bytes | None, timeout: float | None, **more: Any
) -> subprocess.CompletedProcess[Any]:
    given: dict[str, Any] = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    try:
        return subprocess.run(
            words, capture_output=True, timeout=timeout, check=False, **given, **more
        )
    except FileNotFoundError as error:
        raise _missing(words[0], more.get("cwd")) from error
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"{words[0]} gave no answer in {timeout} s", returncode=124) from error


def _start(
    words: list[str], *, cwd: Path | None, env: Mapping[str, str] | None
) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(
            words,
            cwd=cwd,
            env=_environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except FileNotFoundError as error:
        raise _missing(words[0], cwd) from error


def _missing(program: str, cwd: Path | None) -> MissingProgram:
    if cwd is not None and not cwd.is_dir():
        return MissingProgram(f"{cwd}: no such folder to run {program} in")
    return MissingProgram(f"{program}: not installed", hint=INSTALL_HINTS.get(program, ""))


def _environment(extra: Mapping[str, str] | None) -> dict[str, str] | None:
    return None if extra is None else {**os.environ, **extra}


def _last(lines: Sequence[str]) -> str:
    return next((line.strip() for line in reversed(lines) if line.strip()), "no output")
