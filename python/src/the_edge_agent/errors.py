"""The errors of the program: one base class, one exit code for each kind.

Every error says what happened and why in ``message`` and what to do in ``hint``. Errors are
raised where the cause is known and printed in one place, the command line.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from the_edge_agent.spec import EXIT_FAILED, EXIT_MODEL, EXIT_OUTPUT, EXIT_USAGE


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """A place in a workflow file. Line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, or only doubtful, in a workflow file."""

    place: Location
    message: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.place}: {self.message}"
        return f"{text} ({self.hint})" if self.hint else text


class TeaError(Exception):
    """Base of all errors that the program raises on purpose. ``str()`` is one line."""

    exit_code = EXIT_FAILED

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def kind(self) -> str:
        """The word that names the error in ``state.__error__.type``, equal in every engine."""
        return type(self).__name__

    def __str__(self) -> str:
        text = f"{self.message} ({self.hint})" if self.hint else self.message
        return " ".join(text.split())


class UsageError(TeaError):
    """The command line asks for something that cannot be. Exit code 2."""

    exit_code = EXIT_USAGE


class OutputError(TeaError):
    """The result cannot be written to the file that was named for it. Exit code 74."""

    exit_code = EXIT_OUTPUT


class InvalidFile(TeaError):
    """The workflow file is wrong; ``problems`` has every one found, in file order. Exit code 2."""

    exit_code = EXIT_USAGE

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


class ModelError(TeaError):
    """There is no model, or the one there is cannot be used. Exit code 3."""

    exit_code = EXIT_MODEL


class ApiError(TeaError):
    """An API answered with an error, or with something that is no answer."""


class Timeout(TeaError):
    """An API did not answer in time."""


class TemplateError(TeaError):
    """A template or a condition cannot be computed."""


class FileError(TeaError):
    """A file cannot be read or written, or lies where the workflow may not reach."""


class LimitError(TeaError):
    """A limit is reached: too many node runs, loop passes, or too much text."""


class SchemaError(TeaError):
    """The input or the final state is not what the workflow's schema describes."""


class ActionError(TeaError):
    """An action was given parameters that it cannot use, or failed in a way of its own."""


class CodeError(TeaError):
    """Python code of a ``run`` body failed. ``kind`` is the class name of its exception."""

    def __init__(self, error_type: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.error_type = error_type

    @property
    def kind(self) -> str:
        return self.error_type


class WorkflowFailed(TeaError):
    """A node failed and nothing was told to handle it. Exit code 1, or 3 for a ModelError."""

    def __init__(self, node: str, action: str, cause: TeaError, *, retry_count: int = 0) -> None:
        super().__init__(f"node {node}: {cause.message}", hint=cause.hint)
        self.node = node
        self.action = action
        self.cause = cause
        self.retry_count = retry_count
        self.state: dict[str, Any] | None = None  # what the run had reached, with __error__
        self.exit_code = EXIT_MODEL if isinstance(cause, ModelError) else EXIT_FAILED
