"""A stand-in for Gemma 3 1B Instruct: its true shape and size, random weights, and so no sense.

    python -m tests.support.standin OUT.gguf              the row's 1,069,306,400 bytes
    python -m tests.support.standin OUT.gguf --depth 2    two blocks instead of 26, for a quick test

The vocabulary and what goes with it come from the model gemma3-270m, which is fetched into the
model store if it is not there. With the same options the file has the same bytes each time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter

from tasks import catalog
from tasks.base import console
from tasks.fetch import ensure

ROW = "gemma3-1b"
BLOCKS, EMBEDDING, FEED_FORWARD, HEADS, KEY_VALUE_HEADS, KEY = 26, 1152, 6912, 4, 1, 256
SLIDING_WINDOW, CONTEXT = 512, 32768  # tokens
Q8_0_ELEMENTS, Q8_0_BYTES = 32, 34
SCALE = np.float16(0.0004)  # of the random weights; keeps every activation finite
ALIGNMENT = 32  # bytes
FILE_TYPE_Q8_0 = 7
SEED = 1


@dataclass(frozen=True)
class Tensor:
    """Rows by columns for a matrix of random Q8_0, columns alone for a norm of ones in F32."""

    name: str
    columns: int
    rows: int | None = None

    @property
    def nbytes(self) -> int:
        if self.rows is None:
            return self.columns * 4
        return self.rows * self.columns // Q8_0_ELEMENTS * Q8_0_BYTES

    def data(self, random: np.random.Generator) -> np.ndarray[Any, Any]:
        if self.rows is None:
            return np.ones(self.columns, dtype=np.float32)
        blocks = np.empty((self.rows * self.columns // Q8_0_ELEMENTS, Q8_0_BYTES), dtype=np.uint8)
        blocks[:, :2] = np.frombuffer(SCALE.tobytes(), dtype=np.uint8)
        blocks[:, 2:] = np.frombuffer(
            random.bytes(len(blocks) * Q8_0_ELEMENTS), dtype=np.uint8
        ).reshape(-1, Q8_0_ELEMENTS)
        return blocks.reshape(self.rows, -1)


def tensors(vocabulary: int, depth: int) -> Iterator[Tensor]:
    """Gemma 3's tensors, as llama.cpp names them."""
    yield Tensor("token_embd.weight", EMBEDDING, vocabulary)
    yield Tensor("output_norm.weight", EMBEDDING)
    for block in range(depth):
        prefix = f"blk.{block}."
        yield Tensor(prefix + "attn_q.weight", EMBEDDING, HEADS * KEY)
        yield Tensor(prefix + "attn_k.weight", EMBEDDING, KEY_VALUE_HEADS * KEY)
        yield Tensor(prefix + "attn_v.weight", EMBEDDING, KEY_VALUE_HEADS * KEY)
        yield Tensor(prefix + "attn_output.weight", HEADS * KEY, EMBEDDING)
        yield Tensor(prefix + "ffn_gate.weight", EMBEDDING, FEED_FORWARD)
        yield Tensor(prefix + "ffn_up.weight", EMBEDDING, FEED_FORWARD)
        yield Tensor(prefix + "ffn_down.weight", FEED_FORWARD, EMBEDDING)
        for norm in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"):
            yield Tensor(f"{prefix}{norm}.weight", EMBEDDING)
        yield Tensor(prefix + "attn_q_norm.weight", KEY)
        yield Tensor(prefix + "attn_k_norm.weight", KEY)


def make(out: Path, vocabulary_from: Path, depth: int, size: int | None) -> None:
    """Write the stand-in; ``size`` pads it to exactly so many bytes."""
    fields = GGUFReader(vocabulary_from).fields
    shapes = list(tensors(len(fields["tokenizer.ggml.tokens"].data), depth))
    padding = 0
    if size is not None:
        with tempfile.TemporaryDirectory(dir=out.parent) as work:
            head = Path(work) / "head"
            _write(head, fields, shapes, depth, padding=0, data=False)
            head_size = -(-head.stat().st_size // ALIGNMENT) * ALIGNMENT
        padding = (
            size - head_size - sum(-(-tensor.nbytes // ALIGNMENT) * ALIGNMENT for tensor in shapes)
        )
        if padding < 0 or padding % ALIGNMENT:
            sys.exit(f"{out.name}: no padding makes it {size:,} bytes ({padding:,} are left)")
    part = out.with_name(out.name + ".part")
    _write(part, fields, shapes, depth, padding=padding, data=True)
    part.replace(out)


def _write(
    out: Path, fields: Any, shapes: list[Tensor], depth: int, *, padding: int, data: bool
) -> None:
    writer = GGUFWriter(out, "gemma3")
    _metadata(writer, fields, depth, padding)
    for tensor in shapes:
        matrix = tensor.rows is not None
        writer.add_tensor_info(
            tensor.name,
            (tensor.rows, tensor.columns) if tensor.rows is not None else (tensor.columns,),
            np.dtype(np.int8 if matrix else np.float32),
            tensor.nbytes,
            GGMLQuantizationType.Q8_0 if matrix else GGMLQuantizationType.F32,
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    if data:
        random = np.random.default_rng(SEED)
        for tensor in shapes:
            writer.write_tensor_data(tensor.data(random))
    writer.close()


def _metadata(writer: GGUFWriter, fields: Any, depth: int, padding: int) -> None:
    writer.add_name("Gemma 3 1b It (stand-in)")
    writer.add_license("gemma")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(EMBEDDING)
    writer.add_block_count(depth)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_VALUE_HEADS)
    writer.add_key_length(KEY)
    writer.add_value_length(KEY)
    writer.add_sliding_window(SLIDING_WINDOW)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1_000_000.0)
    writer.add_file_type(FILE_TYPE_Q8_0)
    writer.add_quantization_version(2)
    for key, field in fields.items():
        if key.startswith("tokenizer."):
            element = field.types[1] if field.types[0] is GGUFValueType.ARRAY else None
            writer.add_key_value(key, field.contents(), field.types[0], sub_type=element)
    template = catalog.CHAT_TEMPLATES / "gemma.jinja"
    writer.add_chat_template(template.read_text(encoding="utf-8"))
    # The key is there without padding too, so that padding changes the size by itself alone.
    writer.add_key_value("standin.padding", "." * padding, GGUFValueType.STRING)


def write(out: Path, depth: int = BLOCKS) -> None:
    """Make the stand-in with the vocabulary of gemma3-270m, fetched if the store has it not.

    Of full depth it has the row's size to the byte.
    """
    vocabulary = ensure.ensure(catalog.model("gemma3-270m"))
    out.parent.mkdir(parents=True, exist_ok=True)
    make(out, vocabulary.path, depth, catalog.model(ROW).size if depth == BLOCKS else None)


@console.reported
def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Make a stand-in for Gemma 3 1B.")
    parser.add_argument("out", type=Path, help="the GGUF file to write")
    parser.add_argument("--depth", type=int, default=BLOCKS, help="blocks; fewer are not padded")
    args = parser.parse_args()
    write(args.out, args.depth)
    console.note(f"{args.out}: {args.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
