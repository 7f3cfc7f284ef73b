from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tea.llm.gguf_files import CHAT_MODEL, WEIGHTS, gguf
from the_edge_agent.errors import ModelError
from the_edge_agent.llm import gguf as reader
from the_edge_agent.llm import model_file, model_path
from the_edge_agent.llm.model_file import MODEL_FD, Extent

MODEL = gguf(CHAT_MODEL, WEIGHTS)
OFFSETS = (0, 32, 4096, 4096 * 3 + 32, 65536)


def image(folder: Path, offset: int, model: bytes = MODEL) -> Path:
    """Return a file with a model in it, and something else before and after it."""
    path = folder / "tea.AppImage"
    path.write_bytes(b"x" * offset + model + b"GGUF" * 100)
    return path


@pytest.fixture(autouse=True)
def nothing_given() -> Iterator[None]:
    yield
    model_file.take({})


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Extent]:
    descriptor = os.open(image(tmp_path, 4096), os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    yield Extent(descriptor, 4096, len(MODEL))
    os.close(descriptor)


def given(extent: Extent) -> str:
    return f"{extent.descriptor}:{extent.offset}:{extent.size}"


@pytest.mark.parametrize("offset", OFFSETS)
def test_the_head_is_read_where_the_model_begins(tmp_path: Path, offset: int) -> None:
    path = image(tmp_path, offset)
    with path.open("rb") as file:
        head = reader.read(path, Extent(file.fileno(), offset, len(MODEL)))
    assert (head.name, head.architecture, head.size) == ("Tiny", "llama", len(MODEL))


@pytest.mark.parametrize("missing", [29, len(MODEL) - 3, len(MODEL)])
def test_what_lies_behind_the_model_is_no_part_of_it(tmp_path: Path, missing: int) -> None:
    path = image(tmp_path, 4096)
    with path.open("rb") as file, pytest.raises(ModelError) as caught:
        reader.read(path, Extent(file.fileno(), 4096, len(MODEL) - missing))
    assert str(path) in caught.value.message


def test_a_descriptor_is_taken_over_and_kept_from_children(opened: Extent) -> None:
    environ = {MODEL_FD: given(opened), "HOME": "/"}
    model_file.take(environ)
    assert environ == {"HOME": "/"}
    assert not os.get_inheritable(opened.descriptor)
    assert model_file.extent() == opened


def test_nothing_handed_over_is_no_extent() -> None:
    model_file.take({})
    assert model_file.extent() is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not DESCRIPTOR:OFFSET:SIZE"),
        ("3", "is not"),
        ("3:-1:5", "is not"),
        ("3:4096:5:6", "is not"),
        ("3:٤:5", "is not"),
        ("999999:0:5", "not open"),
        ("{fd}:4096:99999", "beyond the end"),
        ("{pipe}:0:0", "beyond the end"),
    ],
)
def test_what_is_no_place_of_a_model_is_an_error_of_the_model(
    opened: Extent, text: str, why: str
) -> None:
    ends = os.pipe()
    model_file.take({MODEL_FD: text.format(fd=opened.descriptor, pipe=ends[0])})
    with pytest.raises(ModelError, match=why):
        model_file.extent()
    for end in ends:
        os.close(end)


def test_the_bundles_own_model_is_the_one_in_place(tmp_path: Path, opened: Extent) -> None:
    appdir = tmp_path / "appdir"
    for name, data in (
        ("usr/share/models/unpacked.gguf", MODEL),
        ("usr/share/tea/bundle.json", json.dumps({"n_ctx": 77}).encode()),
    ):
        (appdir / name).parent.mkdir(parents=True)
        (appdir / name).write_bytes(data)
    env = {"APPDIR": str(appdir), "APPIMAGE": str(tmp_path / "tea.AppImage")}
    found = model_path.find(None, env, None, opened)
    assert found is not None
    assert (found.path, found.source) == (tmp_path / "tea.AppImage", "bundle")
    assert (found.extent, found.n_ctx) == (opened, 77)
    named = model_path.find(str(appdir / "usr/share/models"), env, None, opened)
    assert named is not None
    assert named.extent is None


def test_a_stream_stands_where_the_model_begins_and_is_closed(opened: Extent) -> None:
    libc = ctypes.CDLL(None)
    libc.fgetc.argtypes = [ctypes.c_void_p]
    before = len(list(Path("/proc/self/fd").iterdir()))
    with model_file.stream(opened) as file:
        assert bytes(libc.fgetc(file) for _ in range(4)) == b"GGUF"
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    os.fstat(opened.descriptor)  # is open still
