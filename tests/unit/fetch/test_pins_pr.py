"""New pins become one commit on a branch, and one change; nothing else of the work tree does."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tasks.base.errors import UsageError
from tasks.fetch import pins_pr, sessions
from tests.support.gh import GitHub

LOCK = "tasks/catalog/data/models.lock.toml"


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=A User", "-c", "user.email=user@example.org")
    done = subprocess.run(
        ["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GitHub:
    found = GitHub.start(tmp_path / "gh")
    monkeypatch.setenv("PATH", found.path)
    return found


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A work tree with a lock file, and the bare repository that it was pushed to."""
    git(tmp_path, "init", "--quiet", "--bare", "origin.git")
    git(tmp_path, "init", "--quiet", "--initial-branch", "main", "tree")
    folder = tmp_path / "tree"
    (folder / LOCK).parent.mkdir(parents=True)
    (folder / LOCK).write_text("old\n")
    (folder / "README.md").write_text("text\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "Begin")
    git(folder, "remote", "add", "origin", str(tmp_path / "origin.git"))
    git(folder, "push", "--quiet", "origin", "main")
    return folder


def opened(github: GitHub) -> list[list[str]]:
    return [call for call in github.calls if call[:2] == ["pr", "create"]]


def test_new_digests_are_pushed_as_one_commit_and_proposed(github: GitHub, tree: Path) -> None:
    (tree / LOCK).write_text("new\n")
    (tree / "README.md").write_text("not meant for this\n")
    pins_pr.propose(tree / LOCK, tree)
    pushed = git(tree, "ls-remote", "origin", pins_pr.BRANCH).split()[0]
    assert git(tree, "diff", "--name-only", "main", pushed) == LOCK
    assert git(tree, "rev-list", "--count", f"main..{pushed}") == "1"
    assert git(tree, "show", f"{pushed}:{LOCK}") == "new"
    (call,) = opened(github)
    assert call[call.index("--base") + 1] == "main"
    assert call[call.index("--head") + 1] == pins_pr.BRANCH


def test_open_change_is_brought_up_to_date_and_not_opened_twice(github: GitHub, tree: Path) -> None:
    (tree / LOCK).write_text("new\n")
    pins_pr.propose(tree / LOCK, tree)
    git(tree, "switch", "--quiet", "main")
    (tree / LOCK).write_text("newer\n")
    pins_pr.propose(tree / LOCK, tree)
    pushed = git(tree, "ls-remote", "origin", pins_pr.BRANCH).split()[0]
    assert git(tree, "show", f"{pushed}:{LOCK}") == "newer"
    assert git(tree, "rev-list", "--count", f"main..{pushed}") == "1"
    assert len(opened(github)) == 1


def test_same_digests_propose_nothing(github: GitHub, tree: Path) -> None:
    pins_pr.propose(tree / LOCK, tree)
    assert github.calls == []
    assert git(tree, "ls-remote", "origin", pins_pr.BRANCH) == ""


def test_options_choose_what_is_done() -> None:
    assert pins_pr.request(["--propose"]) is pins_pr.pins
    for words, check in (([], False), (["--check"], True)):
        chosen = pins_pr.request(words)
        assert getattr(chosen, "func", None) is sessions.pins
        assert getattr(chosen, "keywords", None) == {"check": check}
    with pytest.raises(UsageError, match="not allowed with"):
        pins_pr.request(["--check", "--propose"])
