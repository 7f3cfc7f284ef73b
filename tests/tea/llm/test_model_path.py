from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tea.llm.gguf_files import CHAT_MODEL, gguf
from the_edge_agent.errors import ModelError
from the_edge_agent.llm.model_path import find

MODEL = gguf(CHAT_MODEL)


def model(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(MODEL)
    return path


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    """A model in every place, in the order in which they are asked."""
    return {
        "--gguf": model(tmp_path / "option.gguf"),
        "TEA_MODEL_PATH": model(tmp_path / "variable.gguf"),
        "settings.llm.model_path": model(tmp_path / "setting.gguf"),
        "bundle": model(tmp_path / "appdir/usr/share/models/bundled.gguf"),
        "folder of the AppImage": model(tmp_path / "apps/beside.gguf"),
        "cache": model(tmp_path / "home/.cache/tea/models/cached.gguf"),
    }


@pytest.mark.parametrize("without", range(6))
def test_the_places_are_asked_in_their_order(places: dict[str, Path], without: int) -> None:
    left = dict(list(places.items())[without:])
    root = places["--gguf"].parent
    env = {}
    if "TEA_MODEL_PATH" in left:
        env["TEA_MODEL_PATH"] = str(left["TEA_MODEL_PATH"])
    if "bundle" in left:
        env["APPDIR"] = str(root / "appdir")
    if "folder of the AppImage" in left:
        env["APPIMAGE"] = str(root / "apps/tea.AppImage")
    env["HOME"] = str(root / "home")
    named = {key: str(path) for key, path in left.items()}
    found = find(named.get("--gguf"), env, named.get("settings.llm.model_path"))
    assert found is not None
    source, path = next(iter(left.items()))
    assert (found.source, found.path) == (source, path)


def test_no_model_anywhere_is_none(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "APPDIR": str(tmp_path), "APPIMAGE": str(tmp_path / "x")}
    assert find(None, env, None) is None
    assert find(None, {}, None) is None


@pytest.mark.parametrize("name", ["--gguf", "TEA_MODEL_PATH", "settings.llm.model_path"])
def test_a_named_model_must_exist_even_when_another_is_there(
    places: dict[str, Path], tmp_path: Path, name: str
) -> None:
    missing = str(tmp_path / "missing.gguf")
    env = {"HOME": str(tmp_path / "home")}
    if name == "TEA_MODEL_PATH":
        env[name] = missing
    with pytest.raises(ModelError, match=r"missing\.gguf does not exist") as caught:
        find(
            missing if name == "--gguf" else None,
            env,
            missing if name == "settings.llm.model_path" else None,
        )
    assert caught.value.message.startswith(name)


def test_an_empty_variable_names_nothing(tmp_path: Path) -> None:
    assert find(None, {"TEA_MODEL_PATH": ""}, None) is None


def test_a_setting_expands_home_and_variables(tmp_path: Path) -> None:
    path = model(tmp_path / "m/a.gguf")
    env = {"HOME": str(tmp_path), "D": "m"}
    for setting in ("~/m/a.gguf", "$HOME/$D/a.gguf", "${HOME}/m/a.gguf"):
        found = find(None, env, setting)
        assert found is not None
        assert found.path == path


def test_a_variable_that_is_not_set_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="names the variable NOWHERE"):
        find(None, {}, "$NOWHERE/a.gguf")


def test_a_named_folder_with_one_model_gives_it(tmp_path: Path) -> None:
    path = model(tmp_path / "models/a.GGUF")
    (tmp_path / "models/readme.txt").write_text("not a model")
    found = find(str(tmp_path / "models"), {}, None)
    assert found is not None
    assert found.path == path


def test_a_named_folder_without_a_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no GGUF file"):
        find(str(tmp_path), {}, None)


def test_several_models_in_a_folder_are_listed(tmp_path: Path) -> None:
    folder = tmp_path / ".cache/tea/models"
    for name in ("b.gguf", "a.gguf"):
        model(folder / name)
    with pytest.raises(ModelError, match=r"2 models: a\.gguf, b\.gguf") as caught:
        find(None, {"HOME": str(tmp_path)}, None)
    assert "--gguf" in caught.value.hint


def test_the_parts_of_a_split_model_are_one_model(tmp_path: Path) -> None:
    first = model(tmp_path / "m-00001-of-00002.gguf")
    second = model(tmp_path / "m-00002-of-00002.gguf")
    for named in (tmp_path, first, second):
        found = find(str(named), {}, None)
        assert found is not None
        assert found.path == first


def bundle(root: Path, content: str) -> dict[str, str]:
    model(root / "usr/share/models/m.gguf")
    path = root / "usr/share/tea/bundle.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    return {"APPDIR": str(root)}


def test_the_bundles_defaults_come_with_its_own_model_only(tmp_path: Path) -> None:
    content = json.dumps({"model": "m.gguf", "n_ctx": 1234, "chat_template": "T", "other": 1})
    env = bundle(tmp_path, content)
    found = find(None, env, None)
    assert found is not None
    assert (found.n_ctx, found.chat_template) == (1234, "T")
    mine = find(str(model(tmp_path / "mine.gguf")), env, None)
    assert mine is not None
    assert (mine.n_ctx, mine.chat_template) == (None, None)


def test_a_damaged_bundle_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"bundle\.json cannot be read"):
        find(None, bundle(tmp_path, "{"), None)
