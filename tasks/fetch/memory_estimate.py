"""How much memory a model needs to run: the program's own computation, for the CPU that takes most.

What a program repacks depends on the CPU that it runs on, so the most that any does is told.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

from the_edge_agent.llm import memory
from the_edge_agent.llm.gguf import BLOCKS, Gguf, Tensor

# What the programs take without a model, in bytes: rust/tea-cli/src/llm/memory.rs has Rust's.
PROGRAMS = {"python": memory.PROGRAM, "rust": 5_000_000}

# Tensor types of which some CPU has copies made, and by how many bytes a block is larger there:
# with AMX (ggml-cpu/amx/mmq.cpp, get_row_size) or without (ggml-cpu/repack.cpp).
REPACKED = {2: 0, 3: 0, 8: 4, 10: 0, 12: 4, 13: 4, 14: 0, 20: 0, 23: 2, 39: 0}


def needed(head: Gguf, context: int, impl: str) -> dict[str, int] | None:
    """Bytes for ``context`` tokens by what takes them, at most; None where the file does not tell.

    The mapped pages of the model are not counted: the kernel takes them back when it has to.
    """
    need = memory.need(
        head,
        context,
        repacked=repacked(memory.multiplied(head)),
        program=PROGRAMS[impl],
    )
    return None if need is None else dataclasses.asdict(need)


def repacked(matrices: Iterable[Tensor]) -> int:
    """Bytes of the copies of ``matrices`` on the CPU that makes the most."""
    total = 0
    for matrix in matrices:
        if matrix.kind in REPACKED:
            blocks = math.prod(matrix.shape) // BLOCKS[matrix.kind][0]
            total += matrix.size + blocks * REPACKED[matrix.kind]
    return total
