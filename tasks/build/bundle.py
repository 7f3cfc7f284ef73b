"""One bundle from start to end: parts, model, AppImage, and the record beside it."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tasks import catalog
from tasks.base import build_step, console, git
from tasks.base.build_step import Stage
from tasks.base.errors import NotWritable
from tasks.build import appdir, pack, updates
from tasks.build.pack import Layer
from tasks.build.parts import Builder
from tasks.catalog import ROOT, Bundle, Model
from tasks.engine.engine import BuildOptions, Engine
from tasks.fetch import ensure, gguf, memory_estimate, model_store, sessions
from tasks.fetch.ensure import FetchOptions, StoredModel

DIST = ROOT / "dist"


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What `nox -s build` was asked for: rows of the table, a file of the user's own, or none."""

    models: tuple[str, ...]
    archs: tuple[str, ...]
    model_file: Path | None
    name: str | None
    options: Options
    thin: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may choose about a build."""

    impls: tuple[str, ...] = catalog.IMPLEMENTATIONS
    runtime: Path | None = None  # another runtime than the project's own
    dist: Path = DIST
    # OWNER/NAME on GitHub, where the next version will be; None embeds no update information
    repository: str | None = field(default_factory=updates.repository)
    build: BuildOptions = field(default_factory=BuildOptions)
    fetch: FetchOptions = field(default_factory=FetchOptions)


def require_writable(folder: Path) -> None:
    """Raise ``NotWritable`` unless files can be made in ``folder``."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise NotWritable(
            f"{folder}: not writable ({error.strerror})",
            hint="choose another folder with --dist, or change its owner",
        ) from error


def _check(options: Options, archs: Iterable[str]) -> None:
    """Refuse before any work what could not end well."""
    require_writable(options.dist)
    if options.runtime is not None:
        for arch in archs:
            pack.check_runtime(options.runtime, catalog.target(arch))


def build(model: Model, arch: str, options: Options | None = None) -> list[Path]:
    """Build the AppImages of ``model`` for ``arch``; returns their paths."""
    options = options or Options()
    _check(options, [arch])
    with Engine.connect() as engine:
        stored = ensure.ensure(model, options.fetch)
        return [
            build_one(Bundle(impl, model, catalog.target(arch)), stored, engine, options)
            for impl in options.impls
        ]


def build_one(bundle: Bundle, stored: StoredModel | None, engine: Engine, options: Options) -> Path:
    """Build one AppImage, unless the same parts have made it before.

    ``stored`` is the file of the bundle's model; a bundle without one has None.

    Raises:
        GgufError: the model is not what its row says.
        TaskError: of any stage; nothing new is at the final path then.
    """
    models_, need = {}, None
    if bundle.model is not None:
        assert stored is not None  # as the caller promises
        need = memory_estimate.needed(gguf.check(stored.path, bundle.model), bundle.model.context)
        models_[bundle.model.file] = stored
    builder = Builder.on(engine, bundle.target, options.build)
    program = builder.program(bundle.impl)
    runtime = options.runtime or builder.runtime()
    out = options.dist / bundle.file_name(catalog.version())
    record = out.with_suffix(".json")
    # Beside the stored model where that is possible, so that a second name is all it takes.
    beside = stored.path.parent if stored and os.access(stored.path.parent, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix=".tea-layer-", dir=beside) as folder:
        notices = None if options.runtime else runtime.parent / "notices"
        digest = stored.sha256 if stored else None
        appdir.write_layer(Path(folder), bundle.model, notices=notices, sha256=digest)
        layer = Layer(Path(folder), models_)
        size = layer.models_size() + program.squashfs.stat().st_size + runtime.stat().st_size
        update = updates.update_information(bundle, options.repository, size)
        inputs = {
            "program": program.digest,
            "runtime": model_store.sha256_of(runtime),
            "model": stored.sha256 if stored else "",
            "layer": build_step.digest_of_files([Path(folder)], Path(folder)),
            "packer": build_step.digest_of_files([ROOT / "tasks/build/pack.py"], ROOT),
            "update": update,
        }

        def make() -> None:
            start = time.monotonic()
            pack.pack(program, layer, runtime, out, mksquashfs=builder.mksquashfs(), update=update)
            facts = {
                **_facts(bundle, stored, out),
                "commit": git.commit(),
                "memory": need,
                "inputs": inputs,
                "base_image": builder.base.describe(),
                "seconds": {"pack": round(time.monotonic() - start, 2)},
            }
            model_store.write_text(record, json.dumps(facts, indent=2) + "\n")

        stage = Stage(out.name, out, inputs)
        if not record.exists():  # the two belong together
            stage.stamp.unlink(missing_ok=True)
        if stage.run(make):
            size = out.stat().st_size
            rest = (size - layer.models_size()) / 1e6
            console.note(f"{out.name}: {size / 1e6:,.1f} MB, {rest:,.1f} MB beside the model")
    return out


def _facts(bundle: Bundle, stored: StoredModel | None, out: Path) -> dict[str, Any]:
    """The artefact's record: what it is, which model is in it, how large it is (bytes)."""
    model = None
    if bundle.model is not None and stored is not None:
        model = {
            "id": bundle.model.id,
            "file": bundle.model.file,
            "sha256": stored.sha256,
            "size": stored.size,
            "source": stored.source,
            "revision": stored.revision,
            "license": bundle.model.license,
            "license_url": bundle.model.license_url,
            "context": bundle.model.context,
        }
    size, found = out.stat().st_size, pack.read(out)
    return {
        "file": out.name,
        "version": catalog.version(),
        "implementation": bundle.impl,
        "architecture": bundle.target.arch,
        "model": model,
        "size": size,
        "size_without_model": size - (stored.size if stored else 0),
        "content": found.digest,
        "update_information": found.update_information,
    }


def build_request(request: BuildRequest) -> list[Path]:
    """Build everything that `nox -s build` was asked for."""
    options = request.options
    _check(options, request.archs)
    chosen: list[tuple[Model | None, StoredModel | None]]
    if request.thin:
        chosen = [(None, None)]
    elif request.model_file is not None:
        assert request.name is not None  # the options say so
        model, stored = sessions.from_file(request.model_file, request.name, options.fetch)
        chosen = [(model, stored)]
        options = replace(options, repository=None)  # no release has the user's own model
    else:
        chosen = [
            (model, ensure.ensure(model, options.fetch))
            for model in map(catalog.model, request.models)
        ]
    with Engine.connect() as engine:
        return [
            build_one(Bundle(impl, model, catalog.target(arch)), stored, engine, options)
            for model, stored in chosen
            for arch in request.archs
            for impl in options.impls
        ]
