"""Where a case plays: its files in a folder of their own, and what came of it."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .suite import Case

HERE = "%DIR%"
DEFAULT_FILE = "workflow.yaml"


@dataclass(slots=True)
class Outcome:
    """What came of a case. ``problems`` is of a file that was refused, ``failure`` of a run.

    Both are as the engine told them: a problem has file, line, column, message and hint, a failure
    has kind, message and hint, and of a node also node, action and retry_count.
    """

    state: dict[str, Any] | None = None
    problems: list[dict[str, Any]] | None = None
    failure: dict[str, Any] | None = None
    warnings: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    sleeps: list[float] = field(default_factory=list)
    model: str | None = None
    exit: int | None = None  # None where the engine is no program
    stdout: str | None = None
    stderr: str = ""
    faults: list[str] = field(default_factory=list)  # what must never happen


class Sandbox:
    """A case laid out below ``root``; ``%DIR%`` in its texts stands for that folder."""

    def __init__(self, case: Case, root: Path) -> None:
        self.root = root
        self.data: dict[str, Any] = self._filled(
            {key: value for key, value in case.data.items() if key not in ("about", "expect")}
        )
        self.directory: Path = root / self.data.get("working_directory", ".")
        self.directory.mkdir(parents=True, exist_ok=True)
        for name, content in self.data.get("files", {}).items():
            self._make(root / name, content)
        self._workflow: Path = root / self.data.get("workflow_file", DEFAULT_FILE)
        if "workflow" in self.data:
            self._make(self._workflow, self.data["workflow"])

    @property
    def workflow_name(self) -> str:
        """The workflow's file as the working directory sees it; places begin with it."""
        return os.path.relpath(self._workflow, self.directory)

    @property
    def roots(self) -> list[str]:
        """The folders that file actions may reach, besides those of the command line."""
        allowed = self.data.get("options", {}).get("allow_paths", ())
        folders = [self.directory, self._workflow.parent]
        return [*map(str, folders), *(str(self.directory / each) for each in allowed)]

    def files(self) -> Iterator[str]:
        """Yield the files that are there now, but for the workflow."""
        for path in sorted(self.root.rglob("*")):
            if path.is_file() and path != self._workflow:
                yield path.relative_to(self.root).as_posix()

    def _make(self, path: Path, content: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            path.write_bytes(content.encode())
        elif "link" in content:
            path.symlink_to(content["link"])
        else:
            path.write_bytes(base64.b64decode(content["base64"]))

    def _filled(self, value: Any) -> Any:
        if isinstance(value, str):
            return value.replace(HERE, str(self.root))
        if isinstance(value, dict):
            return {key: self._filled(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self._filled(each) for each in value]
        return value
