"""What git knows of the sources: the commit, and what changed since the last release."""

from __future__ import annotations

from pathlib import Path

from tasks.base import process
from tasks.base.errors import CommandFailed, MissingProgram
from tasks.base.paths import ROOT


def commit(root: Path = ROOT) -> str | None:
    """The commit that is checked out, "-modified" behind it where a tracked file differs.

    None where git knows none: outside a work tree, or without git.
    """
    found = _git(root, "rev-parse", "HEAD")
    if found is None:
        return None
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    return f"{found}-modified" if changed else found


def last_tag(root: Path = ROOT) -> str | None:
    """The newest tag before the checked out commit, or None where there is none."""
    return _git(root, "describe", "--tags", "--abbrev=0", "HEAD^")


def subjects(since: str, root: Path = ROOT) -> list[str]:
    """The first lines of the commits after ``since``, the newest first."""
    said = _git(root, "log", "--no-merges", "--format=%s", f"{since}..HEAD")
    return said.splitlines() if said else []


def _git(root: Path, *words: str) -> str | None:
    if not (root / ".git").exists():  # git would go on looking in the folders above
        return None
    try:
        return process.capture(["git", *words], cwd=root).stdout.strip()
    except (CommandFailed, MissingProgram):
        return None
