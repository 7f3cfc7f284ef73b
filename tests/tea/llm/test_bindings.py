from __future__ import annotations

from pathlib import Path

import pytest

from the_edge_agent.errors import ModelError
from the_edge_agent.llm import bindings


def test_the_libraries_come_from_the_named_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TEA_LIBRARY_PATH", str(tmp_path))
    assert bindings.library_directory() == tmp_path


def test_a_folder_without_libraries_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"libggml-base\.so is not in") as caught:
        bindings.Llama(tmp_path, None)
    assert "TEA_LIBRARY_PATH" in caught.value.hint


def test_a_library_that_is_none_is_an_error_of_the_model(tmp_path: Path) -> None:
    (tmp_path / "libggml-base.so.0").write_text("not a library")
    with pytest.raises(ModelError, match=r"cannot be loaded: .*libggml-base\.so\.0"):
        bindings.Llama(tmp_path, None)


def test_the_reason_of_a_failure_is_its_first_error_line() -> None:
    log = bindings.ErrorLog()
    assert log.reason() == "it gives no reason"
    log.add("load_backend: an older error\n")
    log.clear()
    log.add("llama_model_load: error loading model: unknown model ")
    log.add("architecture: 'gpt5'\n")
    log.add("llama_model_load_from_file_impl: failed to load model\n")
    assert log.reason() == "unknown model architecture: 'gpt5'"
