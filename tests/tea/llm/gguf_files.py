"""Small GGUF files for tests, whole or damaged on purpose."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

U32, F32, BOOL, STRING, ARRAY, U64 = 4, 6, 7, 8, 9, 10


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def value(content: object) -> bytes:
    """Return the type and the bytes of a metadata value."""
    if isinstance(content, bool):
        return struct.pack("<I?", BOOL, content)
    if isinstance(content, int):
        return struct.pack("<II", U32, content)
    if isinstance(content, float):
        return struct.pack("<If", F32, content)
    if isinstance(content, str):
        return struct.pack("<I", STRING) + text(content)
    assert isinstance(content, list)
    if content and isinstance(content[0], str):
        body = b"".join(map(text, content))
        return struct.pack("<IIQ", ARRAY, STRING, len(content)) + body
    return struct.pack(f"<IIQ{len(content)}I", ARRAY, U32, len(content), *content)


@dataclass(frozen=True)
class Tensor:
    name: str
    shape: tuple[int, ...]
    kind: int  # 0: F32, 4 bytes an element
    data: bytes
    offset: int | None = None  # that the table gives, where it is not the data's own


def gguf(
    metadata: Mapping[str, object],
    tensors: Sequence[Tensor] = (),
    *,
    magic: bytes = b"GGUF",
    version: bytes = struct.pack("<I", 3),
    alignment: int = 32,
) -> bytes:
    """Return a whole file."""
    head = magic + version + struct.pack("<QQ", len(tensors), len(metadata))
    for key, content in metadata.items():
        head += text(key) + value(content)
    offset, body = 0, b""
    for tensor in tensors:
        dimensions = struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape)
        given = offset if tensor.offset is None else tensor.offset
        head += text(tensor.name) + dimensions + struct.pack("<IQ", tensor.kind, given)
        body += tensor.data + b"\0" * (-len(tensor.data) % alignment)
        offset = len(body)
    return head + b"\0" * (-len(head) % alignment) + body


CHAT_MODEL = {
    "general.architecture": "llama",
    "general.name": "Tiny",
    "llama.context_length": 2048,
    "tokenizer.ggml.tokens": ["a", "bc", "", "déf"],
    "tokenizer.ggml.token_type": [1, 1, 3, 1],
    "tokenizer.ggml.add_bos_token": True,
    "llama.rope.scale": 0.5,
    "tokenizer.chat_template": "{{ messages }}",
}
WEIGHTS = (
    Tensor("token_embd.weight", (8, 4), 0, bytes(128)),
    Tensor("output.weight", (32, 2), 8, bytes(68)),  # Q8_0: 34 bytes for 32 elements
)
