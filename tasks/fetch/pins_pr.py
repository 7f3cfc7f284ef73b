"""Opens a change on GitHub with the digests that `nox -s pins` has refreshed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tasks import catalog
from tasks.base import arguments, console, process
from tasks.base.paths import ROOT
from tasks.fetch import sessions

BRANCH = "refresh-pins"
TITLE = "Refresh the digests of models from the Hub"
BODY = """\
The Hub gives other files than the ones that are locked. Before this is merged, see on the Hub why \
they changed: a digest that is wrong is never mended by itself.
"""
# The identity of GitHub's own workflows.
AUTHOR = ("github-actions[bot]", "41898282+github-actions[bot]@users.noreply.github.com")
# `gh` hands git the token for one push; nothing of it stays in the repository's settings.
LOGIN = ("-c", "credential.helper=", "-c", "credential.helper=!gh auth git-credential")


def pins(root: Path = ROOT) -> None:
    """Refresh the pins and, where that changed the lock file, push a branch and open a change.

    A change that is open already is brought up to date: its branch is replaced.

    Raises:
        FetchError: the Hub gave no answer, or a file of the table is another; nothing is pushed.
        CommandFailed, MissingProgram: of git or `gh`.
    """
    sessions.pins()
    propose(catalog.DATA / "models.lock.toml", root)


def propose(path: Path, root: Path) -> None:
    """Push ``path`` of the work tree ``root`` as one commit, and open a change for it."""
    name = str(path.relative_to(root))
    if not process.capture(["git", "status", "--porcelain", "--", name], cwd=root).stdout:
        console.note(f"{name}: as committed, nothing to propose")
        return
    start = process.capture(["git", "symbolic-ref", "--short", "HEAD"], cwd=root).stdout.strip()
    process.run(["git", "switch", "--quiet", "--force-create", BRANCH], cwd=root)
    user, mail = AUTHOR
    words = ["git", "-c", f"user.name={user}", "-c", f"user.email={mail}"]
    process.run([*words, "commit", "--quiet", "--message", TITLE, "--", name], cwd=root)
    process.run(["git", *LOGIN, "push", "--force", "origin", BRANCH], cwd=root)
    found = ["gh", "pr", "list", "--head", BRANCH, "--state", "open", "--json", "number"]
    if process.capture([*found, "--jq", "length"], cwd=root).stdout.strip() != "0":
        console.note("the change that is open has the new digests")
        return
    words = ["gh", "pr", "create", "--base", start, "--head", BRANCH, "--title", TITLE]
    process.run([*words, "--body", BODY], cwd=root)


def request(words: Sequence[str]) -> Callable[[], None]:
    """What `nox -s pins` is to do: write, only show, or open a change."""
    parser = arguments.parser("pins")
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    ways.add_argument("--propose", action="store_true", help="open a change on GitHub, with gh")
    given = parser.read(words)
    return pins if given.propose else partial(sessions.pins, check=given.check)
