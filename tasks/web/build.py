"""The browser package: built and checked in a container, laid into dist/."""

from __future__ import annotations

import gzip
import re
import shutil
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks import catalog, images
from tasks.base import arguments, build_step, console, files
from tasks.base.build_step import BuildStep
from tasks.base.errors import BuildError
from tasks.base.paths import BUILD, ROOT
from tasks.engine.engine import Engine
from tasks.host import report
from tasks.images import Base
from tasks.web import model_table, serve

DOCKERFILE = ROOT / "docker/web/Dockerfile"
PACKAGE = ROOT / "web"
SOURCES = [
    ROOT / "LICENSE",
    ROOT / "docker/apt",
    ROOT / "docker/web",
    ROOT / "conformance",
    ROOT / "tests/conformance",
    *(ROOT / "rust" / name for name in ("Cargo.toml", "Cargo.lock", ".cargo", "tea-core")),
    ROOT / "rust/engine-host/Cargo.toml",
    ROOT / "rust/tea-cli/Cargo.toml",
    *(ROOT / "rust/tea-wasm" / name for name in ("Cargo.toml", "src")),
    *(PACKAGE / name for name in (".npmrc", "package.json", "package-lock.json")),
    *(PACKAGE / name for name in ("biome.json", "tsconfig.json", "tsconfig.build.json")),
    *(PACKAGE / name for name in ("vitest.config.ts", "vitest.browser.config.ts")),
    *(PACKAGE / name for name in ("scripts", "tests", "ts")),
    *(PACKAGE / "demo" / name for name in ("index.html", "policy.ts", "public", "src", "sw")),
    *(PACKAGE / "demo" / name for name in ("tsconfig.json", "vite.config.ts")),
    ROOT / "examples/llm",
]
MAX_PACKED = 1_000_000  # bytes of the engine and the glue, gzipped, beside wllama's own files
NEEDED = {  # in the package
    "dist/index.js",
    "dist/types/ts/index.d.ts",
    "dist/tea_wasm_bg.wasm",
    "dist/wllama.wasm",
    "dist/LICENSES.txt",
}
_RUNS_TEXT = re.compile(rb"\beval\s*\(|\bnew\s+Function\b|\bFunction\s*\(\s*[\"'`]")


@dataclass(frozen=True, slots=True)
class Request:
    """What `nox -s web` was asked for; ``port`` is None where nothing is to be served."""

    port: int | None = None
    dist: Path = ROOT / "dist"


def run(request: Request) -> None:
    """Build the package into dist/ and, where it was asked for, serve it."""
    report.prepare(install=True)
    with Engine.connect() as engine:
        package = build(engine)
    with files.disk_errors(request.dist):
        request.dist.mkdir(parents=True, exist_ok=True)
        site = request.dist / f"tea-web-{catalog.version()}"
        shutil.rmtree(site, ignore_errors=True)
        shutil.copytree(package.parent / "site", site)
        shutil.copyfile(package, request.dist / package.name)
    console.note(f"{request.dist / package.name} and {site.name}/")
    if request.port is not None:
        serve.serve(site, request.port)


def build(engine: Engine) -> Path:
    """The npm package, whose checks have passed: types, units, conformance, size.

    Raises:
        CommandFailed: a step or a check failed.
        BuildError: the package is too large, or makes code of text.
    """
    model_table.write()
    base = base_image(engine)
    output = BUILD / "web"
    inputs = {"base": base.id, "sources": build_step.digest_of_files(SOURCES, ROOT)}

    def make() -> None:
        run_stage(engine, base, "export", output=output)
        package = _package(output)
        check(package)
        said = (output / "conformance.txt").read_text(encoding="utf-8")
        console.note(f"conformance cases in a page: {said.splitlines()[-1]}")

    BuildStep("browser package", output, inputs).run(make)
    return _package(output)


def base_image(engine: Engine) -> Base:
    """The image that the package is built from."""
    return images.ensure(catalog.images()["build"], engine.target, engine)


def run_stage(
    engine: Engine, base: Base, stage: str, *, output: Path | None = None, tag: str | None = None
) -> None:
    """Build a stage of the package's Dockerfile, as ``output`` or an image called ``tag``."""
    engine.build(
        DOCKERFILE,
        context=ROOT,
        stage=stage,
        target=engine.target,
        args={"BASE": base.reference},
        output=output,
        tag=tag,
    )


def _package(output: Path) -> Path:
    return output / f"tea-wasm-llm-{catalog.version()}.tgz"


def check(package: Path) -> int:
    """Look at what is shipped; returns the gzipped size of all but wllama's own files, in bytes.

    Raises:
        BuildError: the package is not there, is too large, lacks its types or licences, or makes
            code of text, which a page's policy forbids.
    """
    if not package.exists():
        raise BuildError(f"{package.name}: not made; is the version in package.json the project's?")
    own = 0
    names = set()
    with tarfile.open(package) as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is None:
                continue
            content, name = file.read(), member.name.removeprefix("package/")
            names.add(name)
            if name.endswith(".js") and _RUNS_TEXT.search(content):
                raise BuildError(f"{package.name}: {name} makes code of text")
            if name.endswith((".js", ".wasm")) and not Path(name).name.startswith("wllama"):
                own += len(gzip.compress(content))
    if missing := NEEDED - names:
        raise BuildError(f"{package.name}: {min(missing)} is not in it")
    if own > MAX_PACKED:
        raise BuildError(
            f"{package.name}: engine and glue take {own:,} bytes gzipped, more than {MAX_PACKED:,}",
            hint="see what grew: npm run build in web",
        )
    console.note(f"engine and glue: {own:,} bytes gzipped, beside wllama's own files")
    return own


def request(words: Sequence[str]) -> Request:
    """What `nox -s web` is to do after the build."""
    parser = arguments.parser("web")
    parser.add_argument(
        "--serve",
        nargs="?",
        type=int,
        const=8080,
        metavar="PORT",
        help="serve the site on the loopback, at 8080 or PORT (0: any that is free)",
    )
    return Request(port=parser.read(words).serve)
