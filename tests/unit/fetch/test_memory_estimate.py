"""Memory that a model needs, from its file's own facts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tasks.fetch import gguf, memory_estimate
from tests.support import tiny_gguf

# As the files of the table have them; the last number is what a token takes in the cache.
SHAPES = {
    "llama": (
        {
            "block_count": 30,
            "embedding_length": 576,
            "attention.head_count": 9,
            "attention.head_count_kv": 3,
        },
        30 * 3 * (64 + 64) * 2,
    ),
    "gemma3": (
        {
            "block_count": 26,
            "embedding_length": 1152,
            "attention.head_count": 4,
            "attention.head_count_kv": 1,
            "attention.key_length": 256,
            "attention.value_length": 256,
        },
        26 * (256 + 256) * 2,
    ),
    "phi3": (
        {
            "block_count": 32,
            "embedding_length": 3072,
            "attention.head_count": 24,
            "attention.head_count_kv": 8,
        },
        131_072,
    ),
    "no-groups": (
        {"block_count": 2, "embedding_length": 64, "attention.head_count": 4},
        2 * 4 * (16 + 16) * 2,
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_cache_of_a_token_follows_from_the_shape(tmp_path: Path, name: str) -> None:
    shape, cache = SHAPES[name]
    facts = gguf.inspect(tiny_gguf.write(tmp_path / "m.gguf", architecture=name, shape=shape))
    assert facts.cache == cache
    assert memory_estimate.needed(facts, 1000) == {
        "model": facts.size,
        "cache": 1000 * cache,
        "compute": 512 * 40 * 4 + memory_estimate.PROGRAM,
    }


@pytest.mark.parametrize("shape", [{}, {"block_count": 2}, {"block_count": 0}])
def test_what_the_file_does_not_tell_is_not_guessed(
    tmp_path: Path, shape: Mapping[str, int]
) -> None:
    facts = gguf.inspect(tiny_gguf.write(tmp_path / "m.gguf", shape=shape))
    assert facts.cache is None
    assert memory_estimate.needed(facts, 1000) is None
