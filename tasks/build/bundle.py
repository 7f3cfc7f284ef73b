"""One bundle from start to end: parts, model, AppImage, and the record beside it."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks import catalog
from tasks.base import build_step, console, files, git
from tasks.base.build_step import BuildStep
from tasks.base.errors import NotWritable
from tasks.base.paths import DIST, ROOT
from tasks.build import appdir, pack, updates
from tasks.build.pack import Layer
from tasks.build.parts import Builder, Program
from tasks.catalog import Bundle, Model
from tasks.engine.engine import BuildOptions, Engine
from tasks.fetch import ensure, gguf, memory_estimate
from tasks.fetch.ensure import FetchOptions, StoredModel


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


def check(options: Options, archs: Iterable[str]) -> None:
    """Refuse before any work what could not end well."""
    require_writable(options.dist)
    if options.runtime is not None:
        for arch in archs:
            pack.check_runtime(options.runtime, catalog.target(arch))


def build(model: Model, arch: str, options: Options | None = None) -> list[Path]:
    """Build the AppImages of ``model`` for ``arch``; returns their paths."""
    options = options or Options()
    check(options, [arch])
    with Engine.connect() as engine:
        stored = ensure.ensure(model, options.fetch)
        return [
            build_one(Bundle(impl, model, catalog.target(arch)), stored, engine, options)
            for impl in options.impls
        ]


@dataclass(frozen=True, slots=True)
class _Ingredients:
    """What one AppImage is packed from. ``memory`` is what its model needs."""

    builder: Builder
    program: Program
    runtime: Path
    layer: Layer
    memory: dict[str, int] | None
    update: str  # update information

    def digests(self) -> dict[str, str]:
        """The inputs that decide whether the AppImage is made again."""
        model = next(iter(self.layer.models.values()), None)
        return {
            "program": self.program.digest,
            "runtime": files.sha256_of(self.runtime),
            "model": model.sha256 if model else "",
            "layer": build_step.digest_of_files([self.layer.folder], self.layer.folder),
            "packer": build_step.digest_of_files([Path(pack.__file__), pack.SORT], ROOT),
            "update": self.update,
        }


def build_one(bundle: Bundle, stored: StoredModel | None, engine: Engine, options: Options) -> Path:
    """Build one AppImage, unless the same parts have made it before.

    ``stored`` is the file of the bundle's model; a bundle without one has None.

    Raises:
        GgufError: the model is not what its row says.
        TaskError: of any stage; nothing new is at the final path then.
    """
    out = options.dist / bundle.file_name(catalog.version())
    record = out.with_suffix(".json")
    with _ingredients(bundle, stored, engine, options) as made:
        inputs = made.digests()

        def make() -> None:
            seconds = _pack(made, out)
            facts = {
                **_facts(bundle, stored, out),
                "commit": git.commit(),
                "memory": made.memory,
                "inputs": inputs,
                "base_image": made.builder.base.describe(),
                "seconds": {"pack": round(seconds, 2)},
            }
            files.write_text(record, json.dumps(facts, indent=2) + "\n")

        stage = BuildStep(out.name, out, inputs)
        if not record.exists():  # the two belong together
            stage.stamp.unlink(missing_ok=True)
        if stage.run(make):
            size = out.stat().st_size
            rest = (size - made.layer.models_size()) / 1e6
            console.note(f"{out.name}: {size / 1e6:,.1f} MB, {rest:,.1f} MB beside the model")
    return out


@contextmanager
def _ingredients(
    bundle: Bundle, stored: StoredModel | None, engine: Engine, options: Options
) -> Iterator[_Ingredients]:
    """Everything that is packed; the layer's folder is gone at the end."""
    need = _memory(bundle, stored)
    builder = Builder.on(engine, bundle.target, options.build)
    program = builder.program(bundle.impl)
    runtime = options.runtime or builder.runtime()
    notices = None if options.runtime else runtime.parent / "notices"
    with _layer(bundle, stored, notices) as layer:
        size = layer.models_size() + program.squashfs.stat().st_size + runtime.stat().st_size
        update = updates.update_information(bundle, options.repository, size)
        yield _Ingredients(builder, program, runtime, layer, need, update)


def _memory(bundle: Bundle, stored: StoredModel | None) -> dict[str, int] | None:
    """Bytes that the model needs to run, once it is known to be what its row says."""
    if bundle.model is None:
        return None
    assert stored is not None  # as the caller promises
    facts = gguf.check(stored.path, bundle.model)
    return memory_estimate.needed(facts.head, bundle.model.context, bundle.impl)


@contextmanager
def _layer(bundle: Bundle, stored: StoredModel | None, notices: Path | None) -> Iterator[Layer]:
    """What is added to the program, in a folder that is gone at the end."""
    # Beside the stored model where that is possible, so that a second name is all it takes.
    beside = stored.path.parent if stored and os.access(stored.path.parent, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix=".tea-layer-", dir=beside) as folder:
        digest = stored.sha256 if stored else None
        appdir.write_layer(Path(folder), bundle.model, notices=notices, sha256=digest)
        models = {bundle.model.file: stored} if bundle.model and stored else {}
        yield Layer(Path(folder), models)


def _pack(made: _Ingredients, out: Path) -> float:
    """Pack the AppImage; returns the seconds that took."""
    start = time.monotonic()
    mksquashfs = made.builder.mksquashfs()
    pack.pack(
        made.program, made.layer, made.runtime, out, mksquashfs=mksquashfs, update=made.update
    )
    return time.monotonic() - start


def _facts(bundle: Bundle, stored: StoredModel | None, out: Path) -> dict[str, Any]:
    """The artefact's record: what it is, which model is in it, how large it is (bytes)."""
    size, found = out.stat().st_size, pack.read(out)
    model = None
    if bundle.model is not None and stored is not None:
        model = {
            "id": bundle.model.id,
            "file": bundle.model.file,
            "sha256": stored.sha256,
            "size": stored.size,
            "offset": found.model and found.model.offset,
            "source": stored.source,
            "revision": stored.revision,
            "license": bundle.model.license,
            "license_url": bundle.model.license_url,
            "context": bundle.model.context,
        }
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
