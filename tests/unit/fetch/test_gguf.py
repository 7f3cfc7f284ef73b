"""A GGUF file is what its row says, or an error says what it is; never a traceback."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gguf.constants import GGMLQuantizationType, LlamaFileType

from tasks import catalog
from tasks.base.errors import GgufError
from tasks.base.paths import ROOT
from tasks.catalog import Model
from tasks.fetch import gguf
from tests.support import tiny_gguf
from the_edge_agent.llm.gguf import read

ROW = replace(catalog.model("smollm2-135m"), context=4096, quantization="Q8_0")


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return tiny_gguf.write(tmp_path / "tiny.gguf")


def test_facts_are_those_that_were_written(tiny: Path) -> None:
    assert gguf.inspect(tiny) == gguf.GgufFacts(
        architecture="llama",
        name="Tiny",
        context=4096,
        quantization="Q8_0",
        license="apache-2.0",
        has_chat_template=True,
        parts=1,
        parameters=8 + 32 * 40,
        size=tiny.stat().st_size,
        head=read(tiny),
    )


def test_what_the_file_does_not_tell_is_none(tmp_path: Path) -> None:
    path = tiny_gguf.write(
        tmp_path / "mute.gguf", name=None, context=None, file_type=None, chat_template=None
    )
    facts = gguf.inspect(path)
    assert (facts.context, facts.quantization, facts.has_chat_template) == (None, None, False)
    assert facts.name == "mute"


def test_the_reader_needs_the_standard_library_and_nothing_else() -> None:
    code = "import sys; sys.path.insert(0, sys.argv[1]); import the_edge_agent.llm.gguf"
    words = [sys.executable, "-I", "-S", "-c", code, str(ROOT / "python/src")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_tensor_of_an_unknown_type_is_refused(tiny: Path) -> None:
    content, name = tiny.read_bytes(), b"token_embd.weight"
    kind = content.index(name) + len(name) + 4 + 2 * 8
    assert content[kind] == GGMLQuantizationType.Q8_0
    tiny.write_bytes(content[:kind] + b"\x63" + content[kind + 1 :])
    with pytest.raises(GgufError, match=r"token_embd\.weight is of type 99, unknown here"):
        gguf.inspect(tiny)


def test_last_block_of_a_tensor_must_be_in_the_file(tiny: Path) -> None:
    whole = tiny.read_bytes()
    end = len(whole) - (-40 * 34) % 32  # what follows is padding
    tiny.write_bytes(whole[:end])
    gguf.inspect(tiny)
    tiny.write_bytes(whole[: end - 1])
    with pytest.raises(GgufError, match=r"cut off: tensor .token_embd\.weight"):
        gguf.inspect(tiny)


def test_quantization_names_are_those_of_the_reference() -> None:
    names = {int(each): each.name.removeprefix("MOSTLY_").removeprefix("ALL_")
             for each in LlamaFileType}  # fmt: skip
    assert gguf.QUANTIZATIONS.items() <= names.items()


def test_a_file_cut_anywhere_is_refused(tiny: Path) -> None:
    whole = tiny.read_bytes()
    # Every length in the header, then a sample; the last bytes may be nothing but padding.
    for size in (*range(64), *range(64, len(whole) - 32, 11)):
        tiny.write_bytes(whole[:size])
        with pytest.raises(GgufError):
            gguf.inspect(tiny)


def test_damage_is_read_or_refused_but_never_crashes(tiny: Path) -> None:
    whole, chance = tiny.read_bytes(), random.Random(3)
    for _ in range(500):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.choice((0, 1, 127, 128, 255))
        tiny.write_bytes(damaged)
        try:
            gguf.inspect(tiny)
        except GgufError as error:
            assert str(tiny) in error.message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a GGUF file"),
        (b"<!doctype html>", "not a GGUF file"),
        (b"GGUF", "goes on past the end"),
        (b"GGUF" + (99).to_bytes(4, "little") + bytes(16), "of version 99"),
        (b"GGUF" + (3).to_bytes(4, "big") + bytes(16), "big-endian"),
        (b"GGUF" + (3).to_bytes(4, "little") + b"\xff" * 16, "damaged"),
        (b"GGUF" + (3).to_bytes(4, "little") + bytes(16), "no tensors"),
    ],
)
def test_what_is_no_model_is_named(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(content)
    with pytest.raises(GgufError, match=said) as caught:
        gguf.inspect(path)
    assert caught.value.hint


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.gguf", tmp_path):
        with pytest.raises(GgufError, match=r"cannot be read|does not exist"):
            gguf.inspect(path)


@pytest.mark.parametrize(
    ("written", "row", "said"),
    [
        ({"architecture": "gemma3"}, {}, "architecture gemma3, the row says llama"),
        ({"file_type": 15}, {}, "quantization Q4_K_M, the row says Q8_0"),
        ({"context": 2048}, {}, "trained for 2,048 tokens, the row's context is 4,096"),
        ({"chat_template": None}, {}, "no chat template"),
        ({"chat_template": "  "}, {}, "no chat template"),
        ({"parts": 3}, {}, "one of 3 parts"),
    ],
)
def test_a_file_that_is_not_the_rows_is_refused(
    written: dict[str, Any], row: dict[str, Any], said: str, tmp_path: Path
) -> None:
    path = tiny_gguf.write(tmp_path / "tiny.gguf", **written)
    with pytest.raises(GgufError, match=said) as caught:
        gguf.check(path, replace(ROW, **row))
    assert caught.value.hint


def test_the_rows_own_file_passes(tiny: Path) -> None:
    assert gguf.check(tiny, ROW).architecture == "llama"


def test_the_row_s_template_makes_up_for_none_in_the_file(tmp_path: Path) -> None:
    path = tiny_gguf.write(tmp_path / "tiny.gguf", chat_template=None)
    row: Model = replace(ROW, chat_template=catalog.CHAT_TEMPLATES / "gemma.jinja")
    assert not gguf.check(path, row).has_chat_template
