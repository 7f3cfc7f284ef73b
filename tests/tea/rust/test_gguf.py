"""The Rust program's reader takes and refuses the files that Python's does."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.tea.cli import tea_process
from tests.tea.llm.gguf_cases import DAMAGES, TYPES, WHOLE, Damage, one_block


def read(program: Path, home: Path, model: bytes) -> tuple[int, str]:
    """Have the program read a model; return its exit code and what it says."""
    (home / "m.gguf").write_bytes(model)
    done = subprocess.run(
        [program, "model", "--gguf", "m.gguf"],
        capture_output=True,
        text=True,
        env=tea_process.environment(home),
        cwd=home,
        timeout=tea_process.DEADLINE,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_of_ggml_is_read_to_its_last_byte(
    program: Path, tmp_path: Path, kind: str
) -> None:
    assert read(program, tmp_path, one_block(kind)) == (0, "")
    code, said = read(program, tmp_path, one_block(kind)[:-1])
    assert code == 3
    assert "cut off" in said


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_a_damaged_file_is_refused_with_its_cause(
    program: Path, tmp_path: Path, damage: Damage
) -> None:
    code, said = read(program, tmp_path, damage.data)
    assert code == 3
    assert damage.words.replace("'", '"') in said


def test_a_whole_file_is_read(program: Path, tmp_path: Path) -> None:
    assert read(program, tmp_path, WHOLE) == (0, "")
