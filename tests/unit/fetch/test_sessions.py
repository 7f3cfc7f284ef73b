"""The sessions about models: the table, and files of the user's own."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tasks import catalog
from tasks.base import console, errors
from tasks.fetch import sessions
from tasks.fetch.ensure import FetchOptions
from tests.support import tiny_gguf


@pytest.fixture
def options(tmp_path: Path) -> FetchOptions:
    return FetchOptions(root=tmp_path / "store", lock=tmp_path / "lock.toml", offline=True)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    return tiny_gguf.write(tmp_path / "my file.gguf", architecture="gemma3", context=131072)


def test_table_names_every_row_and_where_its_digest_comes_from(
    options: FetchOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed: list[tuple[str, ...]] = []
    monkeypatch.setattr(console, "table", lambda title, columns, rows: printed.extend(rows))
    sessions.show(options)
    assert [row[0] for row in printed] == list(catalog.models())
    digests = {row[0]: row[5] for row in printed}
    assert digests["smollm2-135m"] == "in the table"
    assert digests["phi4-mini"] == "not locked"
    assert {row[6] for row in printed} == {"not in the store"}


def test_local_file_describes_itself(mine: Path, options: FetchOptions) -> None:
    model, stored = sessions.from_file(mine, "my-model", options)
    assert (model.id, model.title, model.architecture) == ("my-model", "Tiny", "gemma3")
    assert (model.quantization, model.license) == ("Q8_0", "apache-2.0")
    assert model.context == sessions.LARGEST_DEFAULT_CONTEXT
    assert model.sha256 == stored.sha256
    assert stored.path.read_bytes() == mine.read_bytes()
    assert stored.path.name == "my-model.gguf"


def test_local_file_is_linked_where_that_is_possible(mine: Path, options: FetchOptions) -> None:
    _, stored = sessions.from_file(mine, "my-model", options)
    assert stored.path.samefile(mine)


def test_local_file_is_copied_where_it_cannot_be_linked(
    mine: Path, options: FetchOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    _, stored = sessions.from_file(mine, "my-model", options)
    assert not stored.path.samefile(mine)
    assert stored.path.read_bytes() == mine.read_bytes()


def test_local_file_through_a_symbolic_link_is_taken(mine: Path, options: FetchOptions) -> None:
    link = mine.with_name("link.gguf")
    link.symlink_to(mine)
    _, stored = sessions.from_file(link, "my-model", options)
    assert stored.path.samefile(mine) and not stored.path.is_symlink()


def test_local_file_changed_in_place_is_taken_in_again(mine: Path, options: FetchOptions) -> None:
    _, first = sessions.from_file(mine, "my-model", options)
    tiny_gguf.write(mine, name="Another")
    model, second = sessions.from_file(mine, "my-model", options)
    assert model.title == "Another"
    assert second.sha256 != first.sha256
    assert second.path.read_bytes() == mine.read_bytes()


@pytest.mark.parametrize("name", ["My Model", "", "../x", "-x", "gemma3-1b"])
def test_names_that_would_not_do_are_refused(name: str, mine: Path, options: FetchOptions) -> None:
    with pytest.raises(errors.UsageError) as caught:
        sessions.from_file(mine, name, options)
    assert caught.value.hint
    assert not options.root.exists()


@pytest.mark.parametrize(
    ("written", "said"),
    [({"chat_template": None}, "no chat template"), ({"parts": 2}, "one of 2 parts")],
)
def test_local_file_that_cannot_chat_is_refused(
    written: dict[str, None], said: str, tmp_path: Path, options: FetchOptions
) -> None:
    path = tiny_gguf.write(tmp_path / "x.gguf", **written)  # type: ignore[arg-type]
    with pytest.raises(errors.GgufError, match=said):
        sessions.from_file(path, "my-model", options)


def test_missing_local_file_is_one_line(tmp_path: Path, options: FetchOptions) -> None:
    with pytest.raises(errors.GgufError, match="does not exist"):
        sessions.from_file(tmp_path / "none.gguf", "my-model", options)


def test_unknown_model_names_the_nearest(options: FetchOptions) -> None:
    with pytest.raises(errors.UnknownName) as caught:
        sessions.get("gema3-1b", options)
    assert "gemma3-1b" in caught.value.hint
