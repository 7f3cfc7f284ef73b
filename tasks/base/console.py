"""What a user sees: headings, progress, plain lines in CI, and errors with their exit code.

On a terminal rich draws; in CI or a pipe the same facts come as plain lines, a few seconds apart.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from tasks.base.errors import TaskError, describe

P = ParamSpec("P")
R = TypeVar("R")

PLAIN_WIDTH = 240  # columns where there is no terminal, so that tables stay unfolded

out = Console(highlight=False, soft_wrap=True)
if not out.is_terminal:
    out.width = PLAIN_WIDTH
err = Console(stderr=True, highlight=False, soft_wrap=True)
# nox shows every record of every library; a user wants ours.
_LIBRARIES = "docker urllib3 httpx2 httpcore2 huggingface_hub filelock py_serializable"
for _library in _LIBRARIES.split():
    logging.getLogger(_library).setLevel(logging.WARNING)

PLAIN_INTERVAL = 5.0  # seconds between two progress lines where nothing is drawn


def in_ci(environ: Mapping[str, str] = os.environ) -> bool:
    """True when CI is set to anything but an empty, "0" or "false" value."""
    return environ.get("CI", "").lower() not in ("", "0", "false")


def draws() -> bool:
    """True when there is a terminal that can redraw a line."""
    return err.is_terminal and not in_ci()


def heading(text: str) -> None:
    """Start of a stage."""
    err.print(f"[bold]==> {escape(text)}[/bold]")


def note(text: str) -> None:
    """A fact that the user may want to know."""
    err.print(f"    {escape(text)}")


def warn(text: str) -> None:
    """A fact that the user should know."""
    err.print(f"[yellow]warning:[/yellow] {escape(text)}")


def skipped(what: str, why: str) -> None:
    """A stage that was not run because its inputs are the same."""
    err.print(f"[dim]    skipped {escape(what)}: {escape(why)}[/dim]")


def table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """A table on stdout."""
    grid = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in columns:
        grid.add_column(name, overflow="fold")
    for row in rows:
        grid.add_row(*(escape(cell) for cell in row))
    out.print(grid)


@contextmanager
def stage(text: str, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """A heading, and the time that the stage took when it ends well."""
    heading(text)
    start = clock()
    yield
    note(f"done in {clock() - start:.1f} s")


@contextmanager
def transfer(
    name: str, total: int, *, done: int = 0, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[int], None]]:
    """Progress of ``total`` bytes, ``done`` of them there already.

    Yields a function that takes the number of bytes that have come since the last call.
    """
    if draws():
        columns = (
            TextColumn("    {task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=err, transient=True) as progress:
            task = progress.add_task(escape(name), total=total, completed=done)
            yield lambda count: progress.advance(task, count)
        return
    yield _plain_transfer(name, total, done, clock)


def _plain_transfer(
    name: str, total: int, done: int, clock: Callable[[], float]
) -> Callable[[int], None]:
    start = last = clock()
    at_start = done

    def advance(count: int) -> None:
        nonlocal done, last
        done += count
        now = clock()
        if now - last < PLAIN_INTERVAL:
            return
        last = now
        rate = (done - at_start) / (now - start)
        left = (total - done) / rate if rate > 0 else float("inf")
        note(
            f"{name}: {done / 1e6:,.0f} of {total / 1e6:,.0f} MB, "
            f"{rate / 1e6:,.1f} MB/s, {left:,.0f} s left"
        )

    return advance


def confirmed(question: str) -> bool:
    """Ask on a terminal; without one (a script, CI) the answer is yes."""
    if not sys.stdin.isatty() or in_ci():
        return True
    return err.input(f"{escape(question)} \\[Y/n] ").strip().lower() in ("", "y", "yes")


def reported(function: Callable[P, R]) -> Callable[P, R]:
    """Turn a ``TaskError`` into its text on stderr and its exit code; Ctrl-C into 130."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except TaskError as error:
            err.print(f"[bold red]error:[/bold red] {escape(describe(error))}")
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            err.print("interrupted")
            sys.exit(130)

    return run
