"""The actions file.read and file.write: UTF-8 text below the folders that are allowed."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from the_edge_agent import files
from the_edge_agent.actions.registry import ActionSpec, Call, table_spec
from the_edge_agent.errors import ActionError, FileError


def file_actions(roots: Sequence[str | Path]) -> dict[str, ActionSpec]:
    """Return the actions on files. A relative path is taken from the first of ``roots``."""
    folders = tuple(Path(root) for root in roots)
    runs = {"file.read": _read, "file.write": _write}
    return {name: table_spec(name, partial(run, folders)) for name, run in runs.items()}


async def _read(roots: tuple[Path, ...], call: Call) -> dict[str, Any]:
    path = _allowed(roots, call)
    try:
        return {"content": files.read(path).decode("utf-8")}
    except UnicodeDecodeError as error:
        raise FileError(f"{path} is not UTF-8 text: byte {error.start + 1} is wrong") from error
    except OSError as error:
        raise FileError(f"cannot read {path}: {_reason(error)}") from error


async def _write(roots: tuple[Path, ...], call: Call) -> dict[str, Any]:
    content = call.params["content"]
    path = _allowed(roots, call)
    try:
        data = content.encode("utf-8")
        files.write(path, data, make_folders=True)
    except UnicodeEncodeError as error:
        raise FileError(f"cannot write {path}: the text has half a character") from error
    except OSError as error:
        raise FileError(f"cannot write {path}: {_reason(error)}") from error
    return {"path": str(path), "bytes": len(data)}


def _allowed(roots: tuple[Path, ...], call: Call) -> Path:
    """Return the path of the call with links followed. Raises FileError outside the roots."""
    given = call.params["path"]
    if not isinstance(given, str) or not given or "\0" in given:
        raise ActionError(f"{call.action}: path must be text, not empty")
    if not roots:
        raise FileError("no folder is allowed for files", hint="allow one with --allow-path DIR")
    try:
        path = (roots[0] / given).resolve()
    except RuntimeError as error:
        raise FileError(f"cannot find {given}: {error}") from error
    except OSError as error:
        raise FileError(f"cannot find {given}: {_reason(error)}") from error
    folders = []
    for root in roots:
        with contextlib.suppress(OSError, RuntimeError):  # one that was deleted holds nothing
            folders.append(root.resolve())
    if not any(path.is_relative_to(folder) for folder in folders):
        raise FileError(
            f"{given} is outside the folders that the workflow may use",
            hint="allow its folder with --allow-path DIR",
        )
    return path


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
