"""Files that a reader of GGUF must take or refuse, for Python's and for Rust's."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from tests.tea.llm.gguf_files import CHAT_MODEL, STRING, WEIGHTS, Tensor, gguf, text

WHOLE = gguf(CHAT_MODEL, WEIGHTS)

# The types of tensors: number, and elements and bytes of a block. tests/integration holds them to
# the header and the library of the llama.cpp that is built.
TYPES = {
    "F32": (0, 1, 4),
    "F16": (1, 1, 2),
    "Q4_0": (2, 32, 18),
    "Q4_1": (3, 32, 20),
    "Q5_0": (6, 32, 22),
    "Q5_1": (7, 32, 24),
    "Q8_0": (8, 32, 34),
    "Q8_1": (9, 32, 36),
    "Q2_K": (10, 256, 84),
    "Q3_K": (11, 256, 110),
    "Q4_K": (12, 256, 144),
    "Q5_K": (13, 256, 176),
    "Q6_K": (14, 256, 210),
    "Q8_K": (15, 256, 292),
    "IQ2_XXS": (16, 256, 66),
    "IQ2_XS": (17, 256, 74),
    "IQ3_XXS": (18, 256, 98),
    "IQ1_S": (19, 256, 50),
    "IQ4_NL": (20, 32, 18),
    "IQ3_S": (21, 256, 110),
    "IQ2_S": (22, 256, 82),
    "IQ4_XS": (23, 256, 136),
    "I8": (24, 1, 1),
    "I16": (25, 1, 2),
    "I32": (26, 1, 4),
    "I64": (27, 1, 8),
    "F64": (28, 1, 8),
    "IQ1_M": (29, 256, 56),
    "BF16": (30, 1, 2),
    "TQ1_0": (34, 256, 54),
    "TQ2_0": (35, 256, 66),
    "MXFP4": (39, 32, 17),
    "NVFP4": (40, 64, 36),
    "Q1_0": (41, 128, 18),
    "Q2_0": (42, 64, 18),
}


def one_block(kind: str) -> bytes:
    """A file whose one tensor is one block; its last byte is the block's."""
    number, elements, size = TYPES[kind]
    whole = gguf(CHAT_MODEL, [Tensor("token_embd.weight", (elements,), number, bytes(size))])
    return whole[: len(whole) - -size % 32]


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
    Damage(
        "a tensor twice", gguf({}, (WEIGHTS[0], WEIGHTS[0])), "'token_embd.weight' is there twice"
    ),
    Damage("no elements", gguf({}, [Tensor("w", (32, 0), 0, b"")]), "'w' has no elements"),
    Damage(
        "half a block in each row",
        gguf({}, [Tensor("w", (48, 2), 8, bytes(102))]),
        "'w' has rows of 48 elements, which are no whole blocks of 32",
    ),
    Damage(
        "data off its place",
        gguf({}, [Tensor("w", (8,), 0, bytes(64), offset=4)]),
        "'w' begins at byte 4 of the data, no multiple of 32",
    ),
]
