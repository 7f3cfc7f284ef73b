"""The actions on files below the folders that are allowed: UTF-8 text, CSV and JSON Lines."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from the_edge_agent import files
from the_edge_agent.actions import rows
from the_edge_agent.actions.registry import ActionSpec, Call, table_spec
from the_edge_agent.errors import ActionError, FileError
from the_edge_agent.value.value import json_text


def file_actions(roots: Sequence[str | Path]) -> dict[str, ActionSpec]:
    """Return the actions on files. A relative path is taken from the first of ``roots``."""
    folders = tuple(Path(root) for root in roots)
    runs = {
        "file.read": _read,
        "file.write": _write,
        "jsonl.read": _read_jsonl,
        "jsonl.append": _append_jsonl,
    }
    specs = {name: table_spec(name, partial(run, folders)) for name, run in runs.items()}
    for name, run in {"csv.read": _read_csv, "csv.write": _write_csv}.items():
        specs[name] = table_spec(name, partial(run, folders), rows.delimiter_problems)
    return specs


async def _read(roots: tuple[Path, ...], call: Call) -> dict[str, Any]:
    return {"content": _text(_allowed(roots, call))}


async def _write(roots: tuple[Path, ...], call: Call) -> dict[str, Any]:
    return _put(_allowed(roots, call), call.params["content"], _replace)


async def _read_csv(roots: tuple[Path, ...], call: Call) -> dict[str, Any]:
    path = _allowed(roots, call)
    text = _text(path)
    try:
        return rows.read_csv(text, **_csv_form(call))
    except ValueError as error:
        raise ActionError(f"{call.action}: {path}: {error}") from error


async def _write_csv(roots: tuple[Path, ...], call: Call) -> dict[str, Any]:
    try:
        text = rows.csv_text(call.params["data"], call.params.get("columns"), **_csv_form(call))
    except ValueError as error:
        raise ActionError(f"{call.action}: {error}") from error
    return _put(_allowed(roots, call), text, _replace)


def _csv_form(call: Call) -> dict[str, Any]:
    return {
        "header": call.params.get("header") is not False,
        "delimiter": call.params.get("delimiter") or ",",
    }


async def _read_jsonl(roots: tuple[Path, ...], call: Call) -> dict[str, Any]:
    path = _allowed(roots, call)
    text = _text(path)
    try:
        return {"rows": rows.read_jsonl(text)}
    except ValueError as error:
        raise ActionError(f"{call.action}: {path}: {error}") from error


async def _append_jsonl(roots: tuple[Path, ...], call: Call) -> dict[str, Any]:
    return _put(_allowed(roots, call), json_text(call.params["data"]) + "\n", files.append)


def _text(path: Path) -> str:
    try:
        return files.read(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise FileError(f"{path} is not UTF-8 text: byte {error.start + 1} is wrong") from error
    except OSError as error:
        raise FileError(f"cannot read {path}: {_reason(error)}") from error


def _put(path: Path, text: str, write: Callable[[Path, bytes], None]) -> dict[str, Any]:
    try:
        data = text.encode("utf-8")
        write(path, data)
    except UnicodeEncodeError as error:
        raise FileError(f"cannot write {path}: the text has half a character") from error
    except OSError as error:
        raise FileError(f"cannot write {path}: {_reason(error)}") from error
    return {"path": str(path), "bytes": len(data)}


def _replace(path: Path, data: bytes) -> None:
    files.write(path, data, make_folders=True)


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
