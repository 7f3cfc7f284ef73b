from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.tea.llm.gguf_files import CHAT_MODEL, STRING, WEIGHTS, gguf, text
from the_edge_agent.errors import ModelError
from the_edge_agent.llm import gguf as reader

WHOLE = gguf(CHAT_MODEL, WEIGHTS)


def write(folder: Path, data: bytes, name: str = "m.gguf") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def test_the_facts_are_those_of_the_metadata(tmp_path: Path) -> None:
    head = reader.read(write(tmp_path, WHOLE))
    assert head.architecture == "llama"
    assert head.name == "Tiny"
    assert head.context_length == 2048
    assert head.chat_template == "{{ messages }}"
    assert head.parameters == 8 * 4 + 32 * 2
    assert head.size == len(WHOLE)
    assert head.metadata["tokenizer.ggml.add_bos_token"] is True
    assert head.metadata["llama.rope.scale"] == 0.5
    assert "tokenizer.ggml.tokens" not in head.metadata


def test_a_model_without_a_name_has_its_files(tmp_path: Path) -> None:
    head = reader.read(write(tmp_path, gguf({"general.architecture": "llama"}), "mine.gguf"))
    assert head.name == "mine"
    assert head.context_length is None
    assert head.chat_template is None


def test_a_blank_chat_template_is_none(tmp_path: Path) -> None:
    head = reader.read(write(tmp_path, gguf({"tokenizer.chat_template": " \n"})))
    assert head.chat_template is None


def test_a_file_cut_anywhere_before_its_last_weight_is_refused(tmp_path: Path) -> None:
    end = len(WHOLE) - 28  # what follows is padding
    for length in range(end):
        path = write(tmp_path, WHOLE[:length])
        with pytest.raises(ModelError) as caught:
            reader.read(path)
        assert str(path) in caught.value.message, length
    assert reader.read(write(tmp_path, WHOLE[:end])).size == end


@dataclass(frozen=True)
class Damage:
    name: str
    data: bytes
    words: str


def header(tensors: int, entries: int) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, entries)


DAMAGES = [
    Damage("empty", b"", "not a GGUF file but an empty file"),
    Damage(
        "LFS pointer",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        "not a GGUF file but a pointer of Git LFS",
    ),
    Damage("page", b"\n<!DOCTYPE html><html>", "not a GGUF file but an HTML page"),
    Damage("error of a store", b'<?xml version="1.0"?><Error/>', "but an XML text"),
    Damage("error of an API", b'{"error": "Invalid username or password."}', "but a JSON text"),
    Damage("archive", b"PK\x03\x04" + bytes(60), "but a ZIP archive"),
    Damage("text", b"hello, I am a text file" * 10, "not a GGUF file"),
    Damage("other magic", gguf({}, magic=b"GGJT"), "not a GGUF file"),
    Damage("big endian", gguf({}, version=struct.pack(">I", 3)), "big-endian"),
    Damage(
        "version 1", gguf({}, version=struct.pack("<I", 1)), "version 1, of a version long gone"
    ),
    Damage("version 9", gguf({}, version=struct.pack("<I", 9)), "version 9, newer than"),
    Damage("2^63 entries", header(0, 1 << 63) + bytes(64), "cut off or damaged"),
    Damage("2^63 tensors", header(1 << 63, 0) + bytes(64), "cut off or damaged"),
    Damage("a key of 2^64 bytes", header(0, 1) + b"\xff" * 64, "cut off or damaged"),
    Damage("type 13", header(0, 1) + text("k") + struct.pack("<I", 13) + bytes(64), "type 13"),
    Damage(
        "an array of arrays",
        header(0, 1) + text("k") + struct.pack("<IIQ", 9, 9, 1) + bytes(64),
        "an array has elements of the type 9",
    ),
    Damage(
        "a string in an array beyond the end",
        header(0, 1) + text("k") + struct.pack("<IIQQ", 9, STRING, 2, 1 << 62) + bytes(64),
        "cut off or damaged",
    ),
    Damage("alignment 7", gguf({"general.alignment": 7}), "alignment"),
    Damage(
        "five dimensions",
        header(1, 0) + text("w") + struct.pack("<I", 5) + bytes(64),
        "5 dimensions",
    ),
    Damage("tensor data missing", WHOLE[:-60], "tensor 'output.weight' ends at byte"),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_a_damaged_file_is_refused_with_its_cause(tmp_path: Path, damage: Damage) -> None:
    with pytest.raises(ModelError) as caught:
        reader.read(write(tmp_path, damage.data))
    assert damage.words in caught.value.message
    assert caught.value.exit_code == 3


def test_a_missing_file_is_an_error_of_the_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        reader.read(tmp_path / "none.gguf")


def test_a_folder_is_an_error_of_the_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        reader.read(tmp_path)


def test_the_parts_of_a_split_model_count_as_one(tmp_path: Path) -> None:
    first = write(tmp_path, WHOLE, "m-00001-of-00002.gguf")
    second = write(tmp_path, gguf({}, WEIGHTS[:1]), "m-00002-of-00002.gguf")
    for path in (first, second):
        head = reader.read(path)
        assert head.path == first
        assert head.name == "Tiny"
        assert head.parameters == 8 * 4 * 2 + 32 * 2
        assert head.size == first.stat().st_size + second.stat().st_size


def test_a_split_model_without_a_part_is_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path, WHOLE, "m-00001-of-00002.gguf")
    with pytest.raises(ModelError, match=r"m-00002-of-00002\.gguf does not exist"):
        reader.read(tmp_path / "m-00001-of-00002.gguf")


def test_a_large_vocabulary_is_stepped_over(tmp_path: Path) -> None:
    words = [f"t{number}" for number in range(262_144)]
    path = write(tmp_path, gguf({"tokens": words, "general.name": "after it"}))
    assert reader.read(path).name == "after it"
