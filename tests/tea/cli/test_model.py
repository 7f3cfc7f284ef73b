"""``tea model``: the bundle's own model, in place in the AppImage or as a file."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.tea.cli import tea_process
from tests.tea.llm.gguf_files import WEIGHTS, gguf

SHAPE = {
    "general.architecture": "llama",
    "general.name": "Tiny",
    "llama.context_length": 2048,
    "llama.block_count": 4,
    "llama.embedding_length": 64,
    "llama.feed_forward_length": 128,
    "llama.attention.head_count": 8,
    "llama.attention.head_count_kv": [2, 2, 0, 4],
    "llama.attention.sliding_window": 512,
    "tokenizer.ggml.tokens": ["a", "bc", "", "déf"],
}
MODEL = gguf(SHAPE, WEIGHTS)
DIGEST = hashlib.sha256(MODEL).hexdigest()
OFFSET = 8192


def ask(home: Path, *arguments: str, model: bytes = MODEL) -> tuple[int, str, str]:
    """Run ``tea model`` as an AppImage's runtime does, on an image that nobody has a name for."""
    image = home / "tea.AppImage"
    image.write_bytes(b"x" * OFFSET + model + b"behind")
    facts = home / "appdir/usr/share/tea/bundle.json"
    facts.parent.mkdir(parents=True, exist_ok=True)
    facts.write_text(json.dumps({"n_ctx": 1000, "sha256": DIGEST}))
    descriptor = os.open(image, os.O_RDONLY)
    image.unlink()
    try:
        done = subprocess.run(
            tea_process.command("model", *arguments),
            capture_output=True,
            env=tea_process.environment(
                home,
                APPDIR=str(home / "appdir"),
                APPIMAGE=str(image),
                TEA_MODEL_FD=f"{descriptor}:{OFFSET}:{len(MODEL)}",
            ),
            cwd=home,
            pass_fds=[descriptor],
            timeout=tea_process.DEADLINE,
            check=False,
        )
    finally:
        os.close(descriptor)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def facts_of(home: Path, *arguments: str) -> dict[str, Any]:
    code, out, _ = ask(home, "--json", *arguments)
    assert code == 0
    facts: dict[str, Any] = json.loads(out)
    return facts


def test_model_is_read_in_place_from_a_deleted_image(tmp_path: Path) -> None:
    facts = facts_of(tmp_path)
    assert facts["path"] == str(tmp_path / "tea.AppImage")
    assert (facts["found_by"], facts["read"], facts["offset"]) == ("bundle", "in place", OFFSET)
    assert (facts["name"], facts["size"], facts["context"]) == ("Tiny", len(MODEL), 1000)


def test_what_a_model_takes_of_memory_is_said_by_what_takes_it(tmp_path: Path) -> None:
    facts = facts_of(tmp_path)
    cells = 1024
    assert facts["memory_cache"] == (2 + 2 + 0 + 4) * (8 + 8) * cells * 2
    assert facts["memory_compute"] == (
        512 * (4 * (2 * 128 + 6 * 64) + 128 + 6 * cells * 2) + 4 * 4  # vectors, masks, logits
    )
    assert facts["memory_free"] > 0
    assert facts["context_that_fits"] == 1000
    assert facts["weights"] == "as they are"  # there is no llama.cpp to repack them


def test_a_named_model_goes_before_the_one_in_place(tmp_path: Path) -> None:
    (tmp_path / "other.gguf").write_bytes(gguf({**SHAPE, "general.name": "Other"}, WEIGHTS))
    facts = facts_of(tmp_path, "--gguf", "other.gguf")
    assert (facts["name"], facts["read"], facts["offset"]) == ("Other", "as a file", None)


def test_a_whole_model_is_verified(tmp_path: Path) -> None:
    code, out, err = ask(tmp_path, "--verify")
    assert (code, err) == (0, "")
    assert DIGEST in out


@pytest.mark.parametrize("at", [-1, len(MODEL) // 2, 40])
def test_one_flipped_bit_of_the_model_is_found(tmp_path: Path, at: int) -> None:
    damaged = bytearray(MODEL)
    damaged[at] ^= 1
    code, out, err = ask(tmp_path, "--verify", model=bytes(damaged))
    assert (code, out) == (3, "")
    for word in ("is damaged", DIGEST, "download it again"):
        assert word in err


def test_a_model_that_is_not_the_bundles_has_no_digest(tmp_path: Path) -> None:
    (tmp_path / "other.gguf").write_bytes(MODEL)
    code, out, err = ask(tmp_path, "--verify", "--gguf", "other.gguf")
    assert (code, out) == (3, "")
    assert "only the model of a bundle" in err


def test_a_descriptor_that_is_none_is_an_error_of_the_model(tmp_path: Path) -> None:
    done = tea_process.tea(tmp_path, "model", TEA_MODEL_FD="77:0:100")
    assert done.returncode == 3
    assert b"TEA_MODEL_FD=77:0:100 names a descriptor that is not open" in done.stderr
