from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.tea.llm.gguf_cases import DAMAGES, TYPES, WHOLE, Damage, one_block
from tests.tea.llm.gguf_files import WEIGHTS, gguf
from the_edge_agent.errors import ModelError
from the_edge_agent.llm import gguf as reader
from the_edge_agent.llm.model_file import Extent


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


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_a_damaged_file_is_refused_with_its_cause(tmp_path: Path, damage: Damage) -> None:
    with pytest.raises(ModelError) as caught:
        reader.read(write(tmp_path, damage.data))
    assert damage.words in caught.value.message
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_of_ggml_is_read_to_its_last_byte(tmp_path: Path, kind: str) -> None:
    reader.read(write(tmp_path, one_block(kind)))
    with pytest.raises(ModelError, match="cut off"):
        reader.read(write(tmp_path, one_block(kind)[:-1]))


def test_no_type_is_known_that_ggml_has_not() -> None:
    assert reader.BLOCKS.keys() == {number for number, _, _ in TYPES.values()}


def test_a_missing_file_is_an_error_of_the_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        reader.read(tmp_path / "none.gguf")


def test_a_folder_is_an_error_of_the_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        reader.read(tmp_path)


def test_what_cannot_be_mapped_is_an_error_of_the_model(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(ModelError, match="cannot be read"):
            reader.read(tmp_path, Extent(descriptor, 0, 100))
    finally:
        os.close(descriptor)


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
