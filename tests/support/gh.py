"""A stand-in for GitHub's `gh`: one repository's releases and changes, kept in a folder.

Run as a program by the name of `gh` it takes the words that the project uses, writes each call
down, and does on demand what the real one may do: fail in the middle, keep fewer bytes than were
sent, or say no digest.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

HOME = "FAKE_GH"  # names the folder


class GitHub:
    """What a test sees of it."""

    def __init__(self, home: Path) -> None:
        self.home = home

    @classmethod
    def start(cls, home: Path) -> GitHub:
        """An empty repository, and the program in ``home``/bin."""
        (home / "bin").mkdir(parents=True)
        (home / "assets").mkdir()
        program = home / "bin" / "gh"
        program.write_text(
            f'#!/bin/sh\n{HOME}="{home}" exec "{sys.executable}" -IS "{Path(__file__)}" "$@"\n'
        )
        program.chmod(0o755)
        github = cls(home)
        github.write({"release": None, "changes": 0, "faults": {}, "digests": True})
        return github

    @property
    def path(self) -> str:
        """A PATH on which it is the first `gh`."""
        return f"{self.home / 'bin'}{os.pathsep}{os.environ['PATH']}"

    @property
    def calls(self) -> list[list[str]]:
        """Every call, oldest first."""
        log = self.home / "calls"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def read(self) -> dict[str, Any]:
        """Everything that it knows."""
        state: dict[str, Any] = json.loads((self.home / "state").read_text())
        return state

    def write(self, state: dict[str, Any]) -> None:
        """Replace everything that it knows."""
        (self.home / "state").write_text(json.dumps(state))

    def fault(self, name: str, kind: str) -> None:
        """The next upload of ``name`` is to "fail", or to be "cut"."""
        state = self.read()
        state["faults"][name] = kind
        self.write(state)

    def asset(self, name: str) -> Path:
        """Where it keeps the bytes of a file."""
        return self.home / "assets" / name


def _create(github: GitHub, words: list[str]) -> None:
    tag, *flags, title, _, notes_flag, notes = words
    assert [*flags, title, notes_flag] == [
        "--draft", "--verify-tag", "--title", "--notes-file",
    ], words  # fmt: skip
    state = github.read()
    text = Path(notes).read_text()
    state["release"] = {"tag": tag, "isDraft": True, "notes": text, "assets": {}}
    github.write(state)


def _view(github: GitHub, words: list[str]) -> None:
    tag, *rest = words
    assert rest == ["--json", "isDraft,assets"], rest
    state = github.read()
    release = state["release"]
    if release is None or release["tag"] != tag:
        sys.exit("release not found")
    rows = [
        {"name": name, **asset, **({} if state["digests"] else {"digest": None})}
        for name, asset in release["assets"].items()
    ]
    print(json.dumps({"isDraft": release["isDraft"], "assets": rows}))  # noqa: T201


def _upload(github: GitHub, words: list[str]) -> None:
    _, file, clobber = words
    assert clobber == "--clobber"
    state = github.read()
    source = Path(file)
    fault = state["faults"].pop(source.name, None)
    if fault == "fail":
        github.write(state)
        sys.exit(f"{source.name}: connection reset by peer")
    data = source.read_bytes()
    data = data[:-1] if fault == "cut" else data
    github.asset(source.name).write_bytes(data)
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    row = {"size": len(data), "digest": digest, "state": "uploaded"}
    state["release"]["assets"][source.name] = row
    github.write(state)


def _download(github: GitHub, words: list[str]) -> None:
    _, pattern, name, output, target = words
    assert (pattern, output) == ("--pattern", "--output"), words
    Path(target).write_bytes(github.asset(name).read_bytes())


def _edit(github: GitHub, words: list[str]) -> None:
    assert words[1:] == ["--draft=false", "--latest"], words
    state = github.read()
    state["release"]["isDraft"] = False
    github.write(state)


def _verify(github: GitHub, words: list[str]) -> None:
    file, repo, name = words
    assert (repo, name) == ("--repo", "owner/project")
    if Path(file).name in github.read().get("unattested", []):
        sys.exit("no attestations found")


def _changes(github: GitHub, words: list[str]) -> None:
    print(github.read()["changes"])  # noqa: T201


def _open_change(github: GitHub, words: list[str]) -> None:
    state = github.read()
    state["changes"] += 1
    github.write(state)


COMMANDS = {
    ("release", "create"): _create,
    ("release", "view"): _view,
    ("release", "upload"): _upload,
    ("release", "download"): _download,
    ("release", "edit"): _edit,
    ("attestation", "verify"): _verify,
    ("pr", "list"): _changes,
    ("pr", "create"): _open_change,
}


def main() -> None:
    """Do what the words say."""
    github = GitHub(Path(os.environ[HOME]))
    with (github.home / "calls").open("a") as log:
        log.write(json.dumps(sys.argv[1:]) + "\n")
    COMMANDS[(sys.argv[1], sys.argv[2])](github, sys.argv[3:])


if __name__ == "__main__":
    main()
