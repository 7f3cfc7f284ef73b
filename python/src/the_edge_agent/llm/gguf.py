"""The head of a GGUF file: what the model is, and whether the file is whole.

Long arrays (the tokenizer's vocabulary above all) are stepped over, so a file of any size is read
in milliseconds. Every length is checked against the file before it is used.

Source: the GGUF specification, versions 2 and 3.
"""

from __future__ import annotations

import math
import mmap
import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from the_edge_agent.errors import ModelError
from the_edge_agent.llm.model_file import Extent

Value = int | float | bool | str | tuple[int | float | bool, ...]

_OLDEST, _NEWEST = 2, 3
_STRING, _ARRAY = 8, 9
_SCALARS = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_U32, _U64 = _SCALARS[4], _SCALARS[10]
_MAX_DIMENSIONS = 4
_KEPT_ELEMENTS = 1024  # of an array: one for each layer is kept, one for each token is not
_DEFAULT_ALIGNMENT = 32

# Tensor type → (elements, bytes) of one block; numbers as in ggml.h.
BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    9: (32, 36), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
    15: (256, 292), 16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18),
    21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8),
    28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
    40: (64, 36), 41: (128, 18), 42: (64, 18),
}  # fmt: skip

_AGAIN = "download the model again"
_PAGE = "the address gave it in place of the model: is a login, or another address, needed?"
# What lies in place of a model when a download went wrong.
_OTHER_FILES = (
    (re.compile(rb"\Z"), "an empty file", _AGAIN),
    (
        re.compile(rb"version https://git-lfs\.github\.com/"),
        "a pointer of Git LFS",
        "get the file that it stands for: git lfs pull",
    ),
    (re.compile(rb"\s*<(!doctype html|html|head)", re.IGNORECASE), "an HTML page", _PAGE),
    (re.compile(rb"\s*<\?xml"), "an XML text", _PAGE),
    (re.compile(rb"\s*\{"), "a JSON text", _PAGE),
    (re.compile(rb"PK\x03\x04"), "a ZIP archive", "unpack it, and name the file ending in .gguf"),
)
_HEAD = 512  # bytes that are looked at to tell what a file is

_PART = re.compile(r"^(?P<stem>.+)-(?P<index>\d{5})-of-(?P<count>\d{5})\.gguf$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor's name, type (its number in ggml.h), dimensions, and bytes."""

    name: str
    kind: int
    shape: tuple[int, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Gguf:
    """What the head of a file (of all its parts, if it is split) says.

    ``metadata`` has the single values, and short arrays of numbers. ``parameters`` counts weights,
    ``size`` bytes on disk, ``texts`` the elements of arrays of texts: tokens and their merges.
    """

    path: Path
    metadata: Mapping[str, Value]
    parameters: int
    size: int
    tensors: tuple[Tensor, ...] = ()
    texts: int = 0

    @property
    def architecture(self) -> str:
        """The family of the model, such as ``llama`` or ``gemma3``."""
        return str(self.metadata.get("general.architecture", ""))

    @property
    def name(self) -> str:
        """The model's own name, else the file's."""
        return str(self.metadata.get("general.name") or self.path.stem)

    @property
    def context_length(self) -> int | None:
        """The context that the model was trained for, in tokens."""
        value = self.metadata.get(f"{self.architecture}.context_length")
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    @property
    def chat_template(self) -> str | None:
        """The model's own chat template, in Jinja."""
        value = self.metadata.get("tokenizer.chat_template")
        return value if isinstance(value, str) and value.strip() else None


def parts(path: Path) -> tuple[Path, ...]:
    """Return all parts of the split file that ``path`` is one of, in order; else only ``path``."""
    match = _PART.match(path.name)
    if match is None:
        return (path,)
    stem, count = match["stem"], int(match["count"])
    return tuple(
        path.with_name(f"{stem}-{index:05}-of-{count:05}{path.suffix}")
        for index in range(1, count + 1)
    )


def read(path: Path, extent: Extent | None = None) -> Gguf:
    """Read the head of ``path``, and of its other parts if it is split.

    ``extent``: of the model that is this part of a file that is open, and called ``path``.

    Raises:
        ModelError: not a GGUF file, of a version or byte order that is not read here, cut off or
            damaged, a part is missing, or the file cannot be read.
    """
    if extent is not None:
        try:
            return _read_extent(path, extent)
        except (OSError, ValueError) as error:
            raise _unreadable(path, error) from error
    heads = [_read_one(part) for part in parts(path)]
    return Gguf(
        path=heads[0].path,
        metadata=heads[0].metadata,
        parameters=sum(head.parameters for head in heads),
        size=sum(head.size for head in heads),
        tensors=tuple(tensor for head in heads for tensor in head.tensors),
        texts=heads[0].texts,
    )


def _read_one(path: Path) -> Gguf:
    try:
        with path.open("rb") as file:
            return _read_extent(path, Extent(file.fileno(), 0, file.seek(0, 2)))
    except FileNotFoundError as error:
        hint = "all parts of a split model must be in one folder" if _PART.match(path.name) else ""
        raise ModelError(f"model file {path} does not exist", hint=hint) from error
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ModelError:
    return ModelError(f"model file {path} cannot be read: {error}")


def _read_extent(path: Path, extent: Extent) -> Gguf:
    if extent.size < 4:
        raise _not_gguf(path, os.pread(extent.descriptor, extent.size, extent.offset))
    before = extent.offset % mmap.ALLOCATIONGRANULARITY
    with mmap.mmap(
        extent.descriptor,
        before + extent.size,
        access=mmap.ACCESS_READ,
        offset=extent.offset - before,
    ) as data:
        return _Head(path, data, before, extent.size).read()


def _not_gguf(path: Path, head: bytes) -> ModelError:
    """Name what a file is that begins with ``head`` and not like a model."""
    for pattern, kind, hint in _OTHER_FILES:
        if pattern.match(head):
            return ModelError(f"{path} is not a GGUF file but {kind}", hint=hint)
    return ModelError(
        f"{path} is not a GGUF file", hint="models of another format must be converted to GGUF"
    )


def _fault(tensor: Tensor, offset: int, alignment: int) -> str | None:
    """Say what llama.cpp would not take of a tensor that begins at ``offset`` of the data."""
    row, (per_block, _) = (*tensor.shape, 1)[0], BLOCKS.get(tensor.kind, (1, 0))
    if 0 in tensor.shape:
        return "has no elements"
    if row % per_block:
        return f"has rows of {row:,} elements, which are no whole blocks of {per_block}"
    if offset % alignment:
        return f"begins at byte {offset:,} of the data, no multiple of {alignment}"
    return None


class _Head:
    """One pass over the head of a file: header, metadata, tensor table."""

    def __init__(self, path: Path, data: mmap.mmap, start: int, size: int) -> None:
        """Read ``size`` bytes that begin at ``start`` of ``data``."""
        self._path = path
        self._data = data
        self._start = start
        self._size = size
        self._position = 4
        self._texts = 0

    def read(self) -> Gguf:
        self._check_version()
        tensors, entries = self._count(), self._count()
        metadata: dict[str, Value] = {}
        for _ in range(entries):
            key = self._string()
            value = self._value(self._scalar(_U32))
            if value is not None:
                metadata[key] = value
        alignment = metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
        if not isinstance(alignment, int) or alignment <= 0 or alignment & (alignment - 1):
            raise self._damaged("its alignment is not a power of two")
        found = self._tensors(tensors, alignment)
        parameters = sum(math.prod(tensor.shape) for tensor in found)
        return Gguf(self._path, metadata, parameters, self._size, found, self._texts)

    def _check_version(self) -> None:
        head = self._data[self._start : self._start + min(_HEAD, self._size)]
        if not head.startswith(b"GGUF"):
            raise _not_gguf(self._path, head)
        version = self._scalar(_U32)
        if version & 0xFFFF == 0:
            raise ModelError(
                f"{self._path} is a big-endian GGUF file", hint="use the little-endian one"
            )
        if not _OLDEST <= version <= _NEWEST:
            age = "newer than this program" if version > _NEWEST else "of a version long gone"
            raise ModelError(
                f"{self._path} is a GGUF file of version {version}, {age}"
                f" (read here: {_OLDEST} to {_NEWEST})",
                hint="get a file of a version that is read here, or another release of tea",
            )

    def _tensors(self, count: int, alignment: int) -> tuple[Tensor, ...]:
        """Read the table of tensors, and check that the data of each is in the file."""
        tensors: list[Tensor] = []
        offsets: list[int] = []
        names: set[str] = set()
        for _ in range(count):
            name = self._string()
            dimensions = self._scalar(_U32)
            if dimensions > _MAX_DIMENSIONS:
                raise self._damaged(f"tensor {name!r} has {dimensions} dimensions")
            shape = tuple(self._scalar(_U64) for _ in range(dimensions))
            kind = self._scalar(_U32)
            per_block, block = BLOCKS.get(kind, (1, 0))
            tensors.append(Tensor(name, kind, shape, math.prod(shape) // per_block * block))
            offsets.append(self._scalar(_U64))
            fault = _fault(tensors[-1], offsets[-1], alignment)
            if fault is not None or name in names:
                raise self._damaged(f"tensor {name!r} {fault or 'is there twice'}")
            names.add(name)
        start = -(-self._position // alignment) * alignment
        for tensor, offset in zip(tensors, offsets, strict=True):
            end = start + offset + tensor.size
            if end > self._size:
                raise ModelError(
                    f"{self._path} is cut off: tensor {tensor.name!r} ends at byte {end:,},"
                    f" the file at {self._size:,}",
                    hint="download it again",
                )
        return tuple(tensors)

    def _value(self, kind: int) -> Value | None:
        if kind in _SCALARS:
            value: Value = self._scalar(_SCALARS[kind])
            return value
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            return self._array(self._scalar(_U32), self._count())
        raise self._damaged(f"a value has the unknown type {kind}")

    def _array(self, kind: int, count: int) -> Value | None:
        """Step over an array; returns the numbers of a short one."""
        if kind in _SCALARS:
            if count <= _KEPT_ELEMENTS:
                return tuple(self._scalar(_SCALARS[kind]) for _ in range(count))
            self._advance(count * _SCALARS[kind].size)
        elif kind == _STRING:
            self._skip_strings(count)
        else:
            raise self._damaged(f"an array has elements of the type {kind}")
        return None

    def _skip_strings(self, count: int) -> None:
        position, data, unpack = self._start + self._position, self._data, _U64.unpack_from
        try:
            for _ in range(count):
                position += 8 + unpack(data, position)[0]
        except (struct.error, OverflowError) as error:  # a length beyond the file, or beyond any
            raise self._cut_off() from error
        self._position = position - self._start
        self._texts += count
        self._advance(0)

    def _count(self) -> int:
        """Read a number of things, each of at least one byte."""
        count = self._scalar(_U64)
        if count > self._size:
            raise self._cut_off()
        return count

    def _scalar(self, kind: struct.Struct) -> int:
        start = self._advance(kind.size)
        value: int = kind.unpack_from(self._data, start)[0]
        return value

    def _string(self) -> str:
        length = self._scalar(_U64)
        start = self._advance(length)
        return self._data[start : start + length].decode("utf-8", "replace")

    def _advance(self, length: int) -> int:
        position = self._position
        if length > self._size - position:
            raise self._cut_off()
        self._position = position + length
        return self._start + position

    def _cut_off(self) -> ModelError:
        return ModelError(
            f"{self._path} is cut off or damaged: its head goes on past the end of the file"
            f" ({self._size:,} bytes)",
            hint="download it again",
        )

    def _damaged(self, what: str) -> ModelError:
        return ModelError(f"{self._path} is damaged: {what}", hint="download it again")
