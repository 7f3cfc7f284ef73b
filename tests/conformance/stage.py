"""Where a case plays: its files in a folder of their own, and what came of it."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from the_edge_agent.errors import Problem

from .case import Case

HERE = "%DIR%"
DEFAULT_FILE = "workflow.yaml"


@dataclass(slots=True)
class Outcome:
    """What came of a case. ``error`` is what ended it; paths are relative to the stage."""

    state: dict[str, Any] | None = None
    error: Exception | None = None
    warnings: tuple[Problem, ...] = ()
    events: list[dict[str, Any]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    sleeps: list[float] = field(default_factory=list)
    model: str | None = None
    exit: int | None = None
    stdout: str | None = None
    stderr: str = ""


class Stage:
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
    def roots(self) -> list[Path]:
        """The folders that file actions may reach, besides those of the command line."""
        allowed = self.data.get("options", {}).get("allow_paths", ())
        return [self.directory, self._workflow.parent, *map(Path, allowed)]

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
