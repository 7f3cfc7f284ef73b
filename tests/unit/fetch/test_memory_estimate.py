"""Memory that a model needs: the program's computation, for the CPU that takes most."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tasks.fetch import gguf, memory_estimate
from tests.support import standin, tiny_gguf
from the_edge_agent.llm.gguf import Tensor

SHAPE = {
    "block_count": 30,
    "embedding_length": 576,
    "attention.head_count": 9,
    "attention.head_count_kv": 3,
}


@pytest.mark.parametrize("impl", ["python", "rust"])
def test_what_takes_memory_is_told_apart(tmp_path: Path, impl: str) -> None:
    facts = gguf.inspect(tiny_gguf.write(tmp_path / "m.gguf", shape=SHAPE))
    assert memory_estimate.needed(facts.head, 1000, impl) == {
        "repacked": 40 * (34 + 4),  # of token_embd, which is the output too
        "cache": 30 * 3 * (64 + 64) * 2 * 1024,
        "compute": 512 * (4 * 6 * 576 + 6 * 1024) + 4 * 40,
        "program": memory_estimate.PROGRAMS[impl] + 165 * 40,
    }


@pytest.mark.parametrize("shape", [{}, {"block_count": 2}, {"block_count": 0}])
def test_what_the_file_does_not_tell_is_not_guessed(
    tmp_path: Path, shape: Mapping[str, int]
) -> None:
    facts = gguf.inspect(tiny_gguf.write(tmp_path / "m.gguf", shape=shape))
    assert memory_estimate.needed(facts.head, 1000, "rust") is None


def test_copies_are_as_large_as_llama_cpp_made_them_with_amx() -> None:
    matrices = (
        Tensor(tensor.name, 8, (tensor.columns, tensor.rows), tensor.nbytes)
        for tensor in standin.tensors(vocabulary=262_144, depth=standin.BLOCKS)
        if tensor.rows is not None
    )
    assert memory_estimate.repacked(matrices) == 1_187_205_120


def test_only_types_that_some_cpu_repacks_are_copied() -> None:
    kept = [Tensor("a", kind, (32, 2), 64) for kind in (0, 30, 6)]
    assert memory_estimate.repacked(kept) == 0
