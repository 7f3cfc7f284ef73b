"""What a GGUF file says of itself, and whether it is whole; tensor data is never read.

Every length is held against the file before it is used, so a damaged file costs an error and
neither time nor memory. The vocabulary is stepped over: 5 GB take a fraction of a second.

Source: the GGUF specification, versions 2 and 3; block sizes as in ggml.h.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.base.errors import GgufError
from tasks.catalog import Model

# Tensor type: (elements, bytes) of a block.
BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    9: (32, 40), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
    15: (256, 292), 16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18),
    21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8),
    28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
    40: (64, 36), 41: (128, 18),
}  # fmt: skip

# general.file_type: the mix of tensor types, by llama.cpp's names.
QUANTIZATIONS = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K",
    11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S",
    17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS",
    23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S",
    29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0",
    38: "MXFP4_MOE",
}  # fmt: skip

_SCALARS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q",
    12: "<d",
}  # fmt: skip
_STRING, _ARRAY = 8, 9


@dataclass(frozen=True, slots=True)
class GgufFacts:
    """A whole GGUF file. ``context`` in tokens, as trained; ``size`` in bytes.

    What the file does not tell is None. ``parts`` is more than 1 for a piece of a split model.
    """

    version: int
    architecture: str
    name: str
    context: int | None
    quantization: str | None
    license: str | None
    has_chat_template: bool
    parts: int
    tensor_count: int
    parameters: int
    size: int
    cache: int | None = None  # bytes that the context takes for each token, in 16-bit numbers
    vocabulary: int | None = None  # tokens that there are


def inspect(path: Path) -> GgufFacts:
    """Read the file's metadata and check that each of its tensors is inside it.

    Raises:
        GgufError: it is no GGUF file, cut off, damaged, of another version, or not readable.
    """
    try:
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise GgufError(
                    f"{path}: not a GGUF file",
                    hint="models of another format must be converted to GGUF",
                )
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Reader(path, data).facts()
    except OSError as error:
        raise GgufError(f"{path}: cannot be read: {error.strerror or error}") from error


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


@dataclass(frozen=True, slots=True)
class _Array:
    """An array that was stepped over."""

    count: int


def _cache(values: Mapping[str, Any], architecture: str) -> int | None:
    """Bytes of keys and values a token, every layer taken for one that keeps all; None: not told.

    Layers with a sliding window keep fewer, so it is an upper bound.
    """

    def number(key: str) -> int | None:
        value = values.get(f"{architecture}.{key}")
        return value if isinstance(value, int) and value > 0 else None

    layers, heads = number("block_count"), number("attention.head_count")
    kept = number("attention.head_count_kv") or heads
    width = number("embedding_length")
    head = width // heads if width and heads else None
    key, value = number("attention.key_length") or head, number("attention.value_length") or head
    if not (layers and kept and key and value):
        return None
    return 2 * layers * kept * (key + value)


class _Reader:
    """One pass over header, metadata and tensor table."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self._path = path
        self._data = data
        self._size = len(data)
        self._at = 4

    def facts(self) -> GgufFacts:
        version = self._number("<I")
        if version not in (2, 3):
            swapped = version & 0xFFFF == 0
            raise GgufError(
                f"{self._path}: "
                + ("big-endian GGUF" if swapped else f"GGUF version {version}, not 2 or 3"),
                hint="get the model in the current little-endian format",
            )
        tensors, pairs = self._count("tensors"), self._count("metadata")
        values: dict[str, Any] = {}
        for _ in range(pairs):
            key = self._text()
            values[key] = self._value(self._number("<I"))
        parameters = self._tensors(tensors, values.get("general.alignment", 32))
        architecture = values.get("general.architecture")
        if not isinstance(architecture, str) or not architecture:
            raise self._damaged("no general.architecture")
        context = values.get(f"{architecture}.context_length")
        template = values.get("tokenizer.chat_template")
        license_ = values.get("general.license")
        parts = values.get("split.count", 1)
        tokens = values.get("tokenizer.ggml.tokens")
        return GgufFacts(
            version=version,
            architecture=architecture,
            name=str(values.get("general.name") or self._path.stem),
            context=context if isinstance(context, int) else None,
            quantization=QUANTIZATIONS.get(values.get("general.file_type", -1)),
            license=license_ if isinstance(license_, str) and license_ else None,
            parts=parts if isinstance(parts, int) else 1,
            has_chat_template=isinstance(template, str) and bool(template.strip()),
            tensor_count=tensors,
            parameters=parameters,
            size=self._size,
            cache=_cache(values, architecture),
            vocabulary=tokens.count if isinstance(tokens, _Array) else None,
        )

    def _tensors(self, count: int, alignment: Any) -> int:
        """Check the tensor table; returns the number of weights."""
        if not isinstance(alignment, int) or alignment <= 0 or alignment % 8:
            raise self._damaged(f"alignment {alignment!r}")
        if count == 0:
            raise self._damaged("no tensors")
        ends, names, parameters = [], set(), 0
        for _ in range(count):
            name = self._text()
            dimensions = self._number("<I")
            if not 1 <= dimensions <= 4:
                raise self._damaged(f"tensor {name}: {dimensions} dimensions")
            elements = 1
            for _ in range(dimensions):
                elements *= self._number("<Q")
            kind = self._number("<I")
            if kind not in BLOCKS:
                raise GgufError(
                    f"{self._path}: tensor {name} is of type {kind}, unknown here",
                    hint="the file may be damaged, or newer than this project",
                )
            per_block, block = BLOCKS[kind]
            offset = self._number("<Q")
            if elements == 0 or elements % per_block or offset % alignment or name in names:
                raise self._damaged(f"tensor {name}: its shape, place or name")
            names.add(name)
            ends.append((offset + elements // per_block * block, name))
            parameters += elements
        start = -(-self._at // alignment) * alignment
        end, name = max(ends)
        if start + end > self._size:
            raise GgufError(
                f"{self._path}: cut off: tensor {name} ends at byte {start + end:,}, "
                f"the file at {self._size:,}",
                hint="fetch it again",
            )
        return parameters

    def _value(self, kind: int) -> Any:
        """A single value; of an array, which is stepped over, only how long it is."""
        if kind in _SCALARS:
            return self._number(_SCALARS[kind])
        if kind == _STRING:
            return self._text()
        if kind != _ARRAY:
            raise self._damaged(f"a value of type {kind}")
        element, count = self._number("<I"), self._count("elements")
        if element in _SCALARS:
            self._step(struct.calcsize(_SCALARS[element]) * count)
        elif element == _STRING:
            self._step_texts(count)
        else:
            raise self._damaged(f"an array of type {element}")
        return _Array(count)

    def _step_texts(self, count: int) -> None:
        at, data, length = self._at, self._data, struct.Struct("<Q").unpack_from
        try:
            for _ in range(count):
                at += 8 + length(data, at)[0]
        except (struct.error, OverflowError) as error:
            raise self._damaged("a text goes beyond the file's end") from error
        self._step(at - self._at)

    def _count(self, of: str) -> int:
        count = int(self._number("<Q"))
        if count > self._size:  # each takes a byte at least
            raise self._damaged(f"{count:,} {of}")
        return count

    def _number(self, form: str) -> Any:
        start = self._step(struct.calcsize(form))
        return struct.unpack_from(form, self._data, start)[0]

    def _text(self) -> str:
        length = self._number("<Q")
        start = self._step(length)
        return self._data[start : start + length].decode("utf-8", "replace")

    def _step(self, length: int) -> int:
        """Go on by ``length`` bytes, all of them in the file; returns where it was."""
        start = self._at
        if length > self._size - start:
            raise self._damaged("its head goes beyond the file's end")
        self._at = start + length
        return start

    def _damaged(self, what: str) -> GgufError:
        return GgufError(f"{self._path}: damaged: {what}", hint="fetch it again")
