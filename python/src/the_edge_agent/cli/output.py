"""What goes to stdout and stderr, and how."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from the_edge_agent import secrets
from the_edge_agent.cli import signals
from the_edge_agent.errors import ActionError, FileError, InvalidFile, TeaError


def _encoder(indent: int | None) -> json.JSONEncoder:
    return json.JSONEncoder(ensure_ascii=False, allow_nan=False, indent=indent)


_LINE = _encoder(None)  # kept: one a token takes longer to make than to use


def use_utf8() -> None:
    """Write UTF-8 whatever the locale says; what cannot be written at all becomes a mark."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)  # a test may have put another one
        if reconfigure is not None:
            reconfigure(encoding="utf-8", errors="replace")


def say(text: str) -> None:
    """Write a line for people to stderr."""
    print(secrets.hide(text), file=sys.stderr, flush=True)


def log(text: str) -> None:
    """Write technical text to stderr as it stands. May be called from any thread."""
    sys.stderr.write(text)


def answer(text: str) -> None:
    """Write a piece of the result to stdout at once. May be called from any thread."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        signals.reader_left()


def report(error: TeaError) -> None:
    """Print an error to stderr: what happened, then what to do."""
    if isinstance(error, InvalidFile):
        for problem in error.problems:
            say(str(problem))
        return
    say(f"tea: {error.message}")
    if error.hint:
        say(f"     {error.hint}")


def to_json(value: Any, *, indent: int | None = None) -> str:
    """Return ``value`` as JSON, keys in their order, characters as they are.

    Raises:
        ActionError: something in it has no form in JSON.
    """
    try:
        encoder = _LINE if indent is None else _encoder(indent)
        return encoder.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise ActionError(
            f"the state cannot be written as JSON: {error}",
            hint="a node has put something other than text, numbers, lists and maps into it",
        ) from error


def write_file(path: Path, text: str) -> None:
    """Write ``path`` whole or not at all.

    Raises:
        FileError: it cannot be written.
    """
    import tempfile  # slow to import, and seldom wanted

    temporary = None
    try:
        with tempfile.NamedTemporaryFile(
            "w",
            encoding="utf-8",
            errors="replace",
            dir=path.parent,
            prefix=f".{path.name}.",
            delete=False,
        ) as file:
            temporary = Path(file.name)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # temporary files are made for their owner alone
        temporary.replace(path)
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
