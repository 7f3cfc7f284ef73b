"""Values and files that the command line names."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from the_edge_agent.errors import UsageError
from the_edge_agent.value import json_reader

if TYPE_CHECKING:
    from the_edge_agent.yaml.document import Value

STDIN = "-"


def read_text(name: str, limit: int = -1) -> str:
    """Return the text of the file ``name``, or of standard input for ``-``.

    Raises:
        UsageError: it cannot be read, is not UTF-8, or has more than ``limit`` bytes, if that is
            not negative.
    """
    shown = "standard input" if name == STDIN else name
    try:
        with open(0 if name == STDIN else name, "rb", closefd=name != STDIN) as file:
            data = file.read(limit + 1 if limit >= 0 else -1)
        if 0 <= limit < len(data):
            raise UsageError(f"{shown} has more than {limit} bytes", hint="ask about a part of it")
        return data.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{shown} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{shown} is not UTF-8: byte {error.start} does not fit") from error


def read_workflow(name: str, overlays: Sequence[str]) -> Value:
    """Return what a workflow file says, with the files ``overlays`` laid over it in turn.

    Raises:
        UsageError: one of them cannot be read.
        InvalidFile: they are not YAML, or do not fit each other.
    """
    from the_edge_agent.workflow.overlays import merged

    text = read_text(name)
    return merged(text, name, [(read_text(each), each) for each in overlays])


def is_piped() -> bool:
    """Return whether standard input is a file or a pipe, and no terminal or other device."""
    return not stat.S_ISCHR(os.fstat(sys.stdin.fileno()).st_mode)


def as_typed(text: str) -> str:
    """Return an argument of the command line as text, whatever the locale made of its bytes.

    In a locale without UTF-8, Python hands on the bytes it cannot read as lone surrogates.
    """
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def json_map(option: str, text: str | None) -> dict[str, Any]:
    """Return the map that ``JSON`` or ``@FILE`` gives; {} for None.

    Raises:
        UsageError: the file cannot be read, or the text is not a JSON map.
    """
    if text is None:
        return {}
    source = option
    if text.startswith("@"):
        source, text = f"{option} {text}", read_text(text[1:])
    else:
        text = as_typed(text)
    try:
        value = json_reader.read(text)
    except ValueError as error:
        raise UsageError(f"{source} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise UsageError(f'{source} must be a JSON map, such as {{"question": "Why?"}}')
    return value


def secrets(option: str | None, prefix: str | None, env: Mapping[str, str]) -> dict[str, Any]:
    """Return the secrets of ``--secrets``, and over them those of ``--secrets-env``.

    A variable's name loses the prefix and becomes lower case: PREFIX_API_KEY is
    ``secrets.api_key``.

    Raises:
        UsageError: see ``json_map``; or the prefix is empty.
    """
    values = json_map("--secrets", option)
    if prefix is None:
        return values
    if not prefix:
        raise UsageError("--secrets-env needs a prefix; an empty one would take every variable")
    for name, value in env.items():
        if name.startswith(prefix) and name != prefix:
            values[name[len(prefix) :].lower()] = value
    return values
