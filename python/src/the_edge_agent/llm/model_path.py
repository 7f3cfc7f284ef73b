"""Where the local model comes from.

First what the user names (``--gguf``, TEA_MODEL_PATH, ``settings.llm.model_path``), which must
exist; then the bundle, the folder of the AppImage file, and the user's cache.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from the_edge_agent.errors import ModelError
from the_edge_agent.llm import gguf
from the_edge_agent.llm.model_file import Extent, file_path

MODEL_PATH = "TEA_MODEL_PATH"


@dataclass(frozen=True, slots=True)
class Found:
    """A model file (the first part, if it is split) and which rule found it.

    ``n_ctx`` (tokens), ``chat_template`` and ``chat_system`` (the system text of ``tea chat``) are
    the bundle's defaults for its own model, ``sha256`` that model's digest. ``extent``: the model
    is a part of the file ``path``, the AppImage.
    """

    path: Path
    source: str
    n_ctx: int | None = None
    chat_template: str | None = None
    chat_system: str | None = None
    sha256: str | None = None
    extent: Extent | None = None


def find(
    gguf_option: str | None,
    env: Mapping[str, str],
    setting: str | None,
    extent: Extent | None = None,
) -> Found | None:
    """Return the model to use, None when there is none in any place.

    ``extent`` is where the runtime says that the bundle's own model lies.

    Raises:
        ModelError: a named file or folder does not exist, or a folder has not exactly one model.
    """
    for source, text in (
        ("--gguf", gguf_option),
        (MODEL_PATH, env.get(MODEL_PATH)),
        ("settings.llm.model_path", _expand(setting, env) if setting else None),
    ):
        if text:
            return Found(_named(Path(text), source), source)
    if extent is not None:
        appimage = file_path(env.get("APPIMAGE"), extent)
        return Found(appimage, "bundle", **_bundle(env), extent=extent)  # type: ignore[arg-type]
    for source, folder in _folders(env):
        path = _only_model(folder, source)
        if path is not None:
            bundled = _bundle(env) if source == "bundle" else {}
            return Found(path, source, **bundled)  # type: ignore[arg-type]
    return None


def _folders(env: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    if env.get("APPDIR"):
        yield "bundle", Path(env["APPDIR"], "usr/share/models")
    if env.get("APPIMAGE"):
        yield "folder of the AppImage", Path(env["APPIMAGE"]).parent
    if env.get("HOME"):
        yield "cache", Path(env["HOME"], ".cache/tea/models")


def _expand(text: str, env: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in env:
            raise ModelError(
                f"settings.llm.model_path {text!r} names the variable {name},"
                " which is not in the environment"
            )
        return env[name]

    home = env.get("HOME")
    if home and (text == "~" or text.startswith("~/")):
        text = home + text[1:]
    return re.sub(r"\$(?:(\w+)|\{(\w+)\})", value, text)


def _named(path: Path, source: str) -> Path:
    if path.is_dir():
        found = _only_model(path, source)
        if found is None:
            raise ModelError(f"{source}: there is no GGUF file in {path}")
        return found
    if not path.exists():
        raise ModelError(f"{source}: model {path} does not exist")
    return gguf.parts(path)[0]


def _only_model(folder: Path, source: str) -> Path | None:
    """Return the one model in ``folder``, None when it has none or cannot be read."""
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".gguf")
    except OSError:
        return None
    models = sorted({gguf.parts(path)[0] for path in files if path.is_file()})
    if len(models) > 1:
        names = ", ".join(path.name for path in models)
        raise ModelError(
            f"{source}: {folder} has {len(models)} models: {names}",
            hint=f"name one with --gguf or {MODEL_PATH}",
        )
    return models[0] if models else None


def _bundle(env: Mapping[str, str]) -> dict[str, int | str]:
    """Return what the bundle says about its model, if anything.

    The file usr/share/tea/bundle.json is a JSON object: ``model`` (the file's name), ``n_ctx``
    (default context in tokens), ``chat_template`` (text in Jinja, for a model file without one),
    ``chat_system`` (system text of ``tea chat`` where the user gives none), ``sha256`` (of the
    model's file).
    """
    path = Path(env.get("APPDIR", "/"), "usr/share/tea/bundle.json")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    kinds = {"n_ctx": int, "chat_template": str, "chat_system": str, "sha256": str}
    return {key: values[key] for key, kind in kinds.items() if isinstance(values.get(key), kind)}
