"""What a model's file says of itself, and whether it is whole; tensor data is never read.

The Python program's own reader reads it, so that no file is bundled that the program refuses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tasks.base.errors import GgufError
from tasks.catalog import Model
from the_edge_agent.errors import ModelError
from the_edge_agent.llm.gguf import BLOCKS, Gguf, read

# general.file_type: the mix of tensor types, by llama.cpp's names.
QUANTIZATIONS = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K",
    11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S",
    17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS",
    23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S",
    29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0",
    38: "MXFP4_MOE",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class GgufFacts:
    """A whole GGUF file. ``context`` in tokens, as trained; ``size`` in bytes.

    What the file does not tell is None. ``parts`` is more than 1 for a piece of a split model.
    ``head`` is what the program's reader says.
    """

    architecture: str
    name: str
    context: int | None
    quantization: str | None
    license: str | None
    has_chat_template: bool
    parts: int
    parameters: int
    size: int
    head: Gguf = field(compare=False, repr=False)


def inspect(path: Path) -> GgufFacts:
    """Read the file's metadata and check that each of its tensors is inside it.

    Raises:
        GgufError: it is no GGUF file, cut off, damaged, of another version, or not readable.
    """
    try:
        head = read(path)
    except ModelError as error:
        raise GgufError(error.message, hint=error.hint) from error
    if not head.tensors:
        raise GgufError(f"{path}: no tensors in it", hint="fetch it again")
    if not head.architecture:
        raise GgufError(f"{path}: no general.architecture in it", hint="fetch it again")
    for tensor in head.tensors:
        if tensor.kind not in BLOCKS:
            raise GgufError(
                f"{path}: tensor {tensor.name} is of type {tensor.kind}, unknown here",
                hint="the file may be damaged, or newer than this project",
            )
    return _facts(head)


def _facts(head: Gguf) -> GgufFacts:
    license_, parts = head.metadata.get("general.license"), head.metadata.get("split.count", 1)
    kind = head.metadata.get("general.file_type")
    return GgufFacts(
        architecture=head.architecture,
        name=head.name,
        context=head.context_length,
        quantization=QUANTIZATIONS.get(kind) if isinstance(kind, int) else None,
        license=license_ if isinstance(license_, str) and license_ else None,
        has_chat_template=head.chat_template is not None,
        parts=parts if isinstance(parts, int) else 1,
        parameters=head.parameters,
        size=head.size,
        head=head,
    )


def check(path: Path, model: Model) -> GgufFacts:
    """Like ``inspect``; the file must also be what the model's row says.

    Raises:
        GgufError: another architecture or quantization, a context shorter than the row's
            default, a part of a split model, or no chat template in the file or the row.
    """
    facts = inspect(path)
    for wrong in _differences(facts, model):
        raise GgufError(
            f"{path.name}: {wrong}",
            hint=f"if the file is the right one, correct [{model.id}] in models.toml",
        )
    if facts.parts > 1:
        raise GgufError(
            f"{path.name}: one of {facts.parts} parts of a split model",
            hint="join them first: llama-gguf-split --merge",
        )
    if not facts.has_chat_template and model.chat_template is None:
        raise GgufError(
            f"{path.name}: no chat template in the file and none named by its row",
            hint="a model that cannot chat cannot be bundled; name its family's template in a row",
        )
    return facts


def _differences(facts: GgufFacts, model: Model) -> Iterator[str]:
    if facts.architecture != model.architecture:
        yield f"architecture {facts.architecture}, the row says {model.architecture}"
    if facts.quantization not in (None, model.quantization):
        yield f"quantization {facts.quantization}, the row says {model.quantization}"
    if facts.context is not None and facts.context < model.context:
        yield f"trained for {facts.context:,} tokens, the row's context is {model.context:,}"
