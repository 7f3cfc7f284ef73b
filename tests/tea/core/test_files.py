from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from the_edge_agent import files
from the_edge_agent.errors import WorkflowFailed

from .engine import play


def file_node(action: str, **params: str) -> str:
    return f"nodes: [{{name: a, uses: file.{action}, with: {json.dumps(params)}}}]"


def test_file_is_written_whole_and_read_back(tmp_path: Path) -> None:
    written = play(file_node("write", path="a.txt", content="é\r\n"), roots=(tmp_path,))
    assert written.state == {"path": str(tmp_path / "a.txt"), "bytes": 4}
    assert (tmp_path / "a.txt").read_bytes() == "é\r\n".encode()
    assert play(file_node("read", path="a.txt"), roots=(tmp_path,)).state == {"content": "é\r\n"}
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_file_that_is_replaced_keeps_its_mode(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    target.chmod(0o640)
    play(file_node("write", path="a.txt", content="new"), roots=(tmp_path,))
    assert (target.read_text(), target.stat().st_mode & 0o777) == ("new", 0o640)


def test_a_failed_write_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    played = play(file_node("write", path="a.txt", content="new"), roots=(tmp_path,))
    assert isinstance(played.error, WorkflowFailed)
    assert "No space left" in played.error.message
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.txt": "old"}


@pytest.mark.parametrize("old", [None, "old", "old\n"])
def test_a_line_that_cannot_be_added_whole_leaves_the_old_file(
    old: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a.jsonl"
    if old is not None:
        target.write_text(old)
    write, room = os.write, [3]

    def full(number: int, data: bytes) -> int:
        if not room:
            raise OSError(28, "No space left on device")
        return write(number, data[: room.pop()])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        files.append(target, b"[1, 2]\n")
    assert target.read_text() == (old or "")
    monkeypatch.undo()
    files.append(target, b"[1, 2]\n")
    assert target.read_text() == {None: "", "old": "old\n", "old\n": "old\n"}[old] + "[1, 2]\n"


def test_what_a_line_is_added_to_is_no_link(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("secret")
    (tmp_path / "link").symlink_to("a")
    with pytest.raises(OSError):
        files.append(tmp_path / "link", b"1\n")
    assert (tmp_path / "a").read_text() == "secret"


def test_a_line_goes_into_a_fifo_as_it_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    files.append(tmp_path / "pipe", b"1\n")
    assert os.read(reader, 9) == b"1\n"
    os.close(reader)


def test_a_link_put_in_after_the_check_is_not_followed(tmp_path: Path) -> None:
    """What is opened is the path that was checked, which has no links."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/a.txt").write_text("secret")
    (tmp_path / "folder").symlink_to("outside")
    (tmp_path / "a.txt").symlink_to("outside/a.txt")
    for checked in (tmp_path / "folder/a.txt", tmp_path / "a.txt"):
        with pytest.raises(OSError):
            files.read(checked)
    with pytest.raises(OSError):
        files.write(tmp_path / "folder/a.txt", b"mine")
    assert (tmp_path / "outside/a.txt").read_text() == "secret"


OUTSIDE = ["../secret", "/etc/passwd", "link/secret", "in/../../secret", "in/up/../secret"]


@pytest.mark.parametrize("path", OUTSIDE)
@pytest.mark.parametrize("action", ["read", "write"])
def test_files_outside_the_allowed_folders_are_out_of_reach(
    path: str, action: str, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    (root / "in").mkdir(parents=True)
    (tmp_path / "secret").write_text("s")
    (root / "link").symlink_to(tmp_path)
    (root / "in" / "up").symlink_to(root)
    params = {"path": path, **({"content": "x"} if action == "write" else {})}
    played = play(file_node(action, **params), roots=(root,))
    assert isinstance(played.error, WorkflowFailed)
    assert played.error.cause.kind == "FileError"
    assert (tmp_path / "secret").read_text() == "s"


def test_an_allowed_folder_is_in_reach_and_its_namesake_is_not(tmp_path: Path) -> None:
    for name in ("root", "other", "other2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text(name)
    roots = (tmp_path / "root", tmp_path / "other")
    assert play(file_node("read", path="../other/f"), roots=roots).state == {"content": "other"}
    assert play(file_node("read", path="../other2/f"), roots=roots).error is not None


FAULTS = {
    "missing": "No such file", "folder": "directory", "binary": "not UTF-8",
    "no/such/a": "No such file", "a\\0b": "path",
}  # fmt: skip


@pytest.mark.parametrize("path", FAULTS)
def test_a_file_that_cannot_be_read_is_an_error_that_says_why(path: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary").write_bytes(b"a\xff")
    quoted = '"' + path + '"'
    text = f"nodes: [{{name: a, uses: file.read, with: {{path: {quoted}}}}}]"
    played = play(text, roots=(tmp_path,))
    assert isinstance(played.error, WorkflowFailed)
    assert FAULTS[path].lower() in str(played.error).lower()


def test_content_must_be_text(tmp_path: Path) -> None:
    content = '"{{ [1] }}"'
    text = f"nodes: [{{name: a, uses: file.write, with: {{path: a, content: {content}}}}}]"
    played = play(text, roots=(tmp_path,))
    assert played.error is not None
    assert "tojson" in str(played.error)
    assert list(tmp_path.iterdir()) == []


def test_without_folders_no_file_is_in_reach() -> None:
    assert "--allow-path" in str(play(file_node("read", path="a")).error)
