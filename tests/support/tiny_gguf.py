"""Small GGUF files made with the reference writer, for tests of what reads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter

CHAT_TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}"
Q8_0_BLOCK = 34  # bytes: 32 weights


def write(
    path: Path,
    *,
    architecture: str = "llama",
    name: str | None = "Tiny",
    context: int | None = 4096,
    file_type: int | None = 7,
    chat_template: str | None = CHAT_TEMPLATE,
    parts: int | None = None,
    vocabulary: int = 40,
    shape: Mapping[str, int] | None = None,
) -> Path:
    """A file of two tensors; what is None is left out. ``shape`` are keys of the architecture."""
    writer = GGUFWriter(path, architecture)
    if name is not None:
        writer.add_name(name)
    if context is not None:
        writer.add_context_length(context)
    if file_type is not None:
        writer.add_file_type(file_type)
    if chat_template is not None:
        writer.add_chat_template(chat_template)
    if parts is not None:
        writer.add_uint16("split.count", parts)
    for key, value in (shape or {}).items():
        writer.add_uint32(f"{architecture}.{key}", value)
    writer.add_license("apache-2.0")
    writer.add_token_list([f"token {index}" for index in range(vocabulary)])
    writer.add_token_scores([0.5] * vocabulary)
    writer.add_tensor("output_norm.weight", np.ones(8, dtype=np.float32))
    writer.add_tensor(
        "token_embd.weight",
        np.zeros((vocabulary, Q8_0_BLOCK), dtype=np.uint8),
        raw_dtype=GGMLQuantizationType.Q8_0,
    )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
