"""What a tag would make: every artefact, where it is made, from what, and what is there already.

``nox -s plan`` prints it for people; ``-- --json`` gives one line for the workflow's matrix:
docs/plan.md describes its shape, which other tools rely on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tasks import catalog
from tasks.base import arguments, build_step, console, git, paths
from tasks.base.arguments import Parser
from tasks.base.files import disk_errors, sha256_of, write_text
from tasks.base.paths import DIST, ROOT
from tasks.base.toml_table import TomlRow, read_tables
from tasks.build import parts
from tasks.build.sessions import folder
from tasks.build.updates import ASSET_LIMIT
from tasks.catalog import DATA, THIN, Bundle, Model
from tasks.fetch import ensure, sessions
from tasks.fetch.ensure import FetchOptions

RELEASE = DATA / "release.toml"
PART_SIZE = 2_000_000_000  # bytes of each part of a larger file but the last
# Of the locks that decide what is downloaded, by implementation.
LOCKS = {
    "python": ["docker/python/requirements.txt", "docker/python/requirements-llama.txt"],
    "rust": ["rust/Cargo.lock"],
}
TOOLS_GB = 3  # base image and the tools that read and describe bundles
ENGINE_GB = 12  # base image, toolchains and BuildKit's cache after one bundle


@dataclass(frozen=True, slots=True)
class Choice:
    """Which bundles are meant; nothing means all of the release. A model may be ``THIN``."""

    models: tuple[str, ...] = ()
    impls: tuple[str, ...] = ()
    archs: tuple[str, ...] = ()

    @property
    def is_all(self) -> bool:
        """Whether nothing was chosen."""
        return not (self.models or self.impls or self.archs)


@dataclass(frozen=True, slots=True)
class Request:
    """What `nox -s plan` was asked for."""

    choice: Choice = field(default_factory=Choice)
    json: str | None = None  # a file to write, "-" for stdout; None is a table for people
    dist: Path = DIST


@dataclass(frozen=True, slots=True)
class Cached:
    """What an earlier run has left; whether it is still right, the build decides."""

    model: bool
    program: bool
    bundle: bool


@dataclass(frozen=True, slots=True)
class Job:
    """One artefact, and all that a CI job needs to know to make it. Sizes in bytes."""

    id: str
    impl: str
    model: str
    arch: str
    runner: str
    file: str
    session: tuple[str, ...]  # the words after `nox -s`
    smoke: tuple[str, ...]
    size: int
    exact: bool  # whether ``size`` was measured, or is about that
    parts: int  # files that it is published in; 1 is whole
    disk_gb: int
    inputs: Mapping[str, Any]
    cached: Cached

    @property
    def split(self) -> bool:
        """Whether it is too large for one asset."""
        return self.parts > 1


@dataclass(frozen=True, slots=True)
class Web:
    """The package for browsers."""

    id: str
    runner: str
    file: str
    session: tuple[str, ...]
    inputs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a tag makes."""

    version: str
    commit: str | None  # None outside a git work tree
    bundles: tuple[Job, ...]
    web: Web | None

    @property
    def disk_gb(self) -> int:
        """What the job that publishes needs: all bundles, of those in parts one twice at a time."""
        size = sum(job.size for job in self.bundles)
        size += max((job.size for job in self.bundles if job.split), default=0)
        return TOOLS_GB + -(-size // 10**9)


def parts_of(size: int, limit: int = ASSET_LIMIT, part: int = PART_SIZE) -> int:
    """How many files hold ``size`` bytes, when each must have fewer than ``limit``."""
    return 1 if size < limit else -(-size // part)


def chosen(choice: Choice) -> list[Bundle]:
    """The bundles of the release, or those that ``choice`` names.

    Raises:
        UnknownName: a model or an architecture that there is not.
    """
    of_release = [row.id for row in catalog.models().values() if row.release]
    return [
        Bundle(impl, None if model == THIN else catalog.model(model), catalog.target(arch))
        for model in choice.models or [*of_release, THIN]
        for arch in choice.archs or catalog.targets()
        for impl in choice.impls or catalog.IMPLEMENTATIONS
    ]


def make(request: Request, options: FetchOptions | None = None) -> Plan:
    """Look at the tables, the locks, the store, build/ and the folder of artefacts."""
    options = options or FetchOptions()
    sizes, web = _release_rows()
    shared = {impl: _inputs_of(impl) for impl in catalog.IMPLEMENTATIONS}
    jobs = tuple(
        _job(bundle, request.dist, options, sizes[bundle.impl], shared[bundle.impl])
        for bundle in chosen(request.choice)
    )
    return Plan(catalog.version(), git.commit(), jobs, web if request.choice.is_all else None)


def _release_rows() -> tuple[dict[str, int], Web]:
    tables = read_tables(RELEASE)
    row = tables["program"]
    sizes = {impl: row.integer(impl, "bytes") for impl in catalog.IMPLEMENTATIONS}
    row.end()
    return sizes, _web(tables["web"])


def _web(row: TomlRow) -> Web:
    web = Web(
        id="web",
        runner=row.text("runner"),
        file=row.text("file").replace("{version}", catalog.version()),
        session=(row.text("session"),),
        inputs={"locks": _digests(["rust/Cargo.lock", "web/package-lock.json"])},
    )
    row.end()
    return web


def _inputs_of(impl: str) -> dict[str, Any]:
    """What the program of ``impl`` is made from, with digests; models aside."""
    base = catalog.images()["build"]
    jobs = (impl, "apt", "debs", "llama", "pack", "runtime")
    names = [*(f"docker/{job}" for job in jobs), *parts.SOURCES[impl], "appdir"]
    return {
        "base_image": {"name": base.name, "digest": base.digest},
        "sources": build_step.digest_of_files([ROOT / name for name in names], ROOT),
        "locks": _digests([*LOCKS[impl], "docker/llama/Cargo.lock"]),
    }


def _digests(names: Iterable[str]) -> dict[str, str]:
    return {name: sha256_of(ROOT / name) for name in names}


def _job(
    bundle: Bundle, dist: Path, options: FetchOptions, about: int, inputs: Mapping[str, Any]
) -> Job:
    arch, file = bundle.target.arch, bundle.file_name(catalog.version())
    known, model_inputs, is_stored = _model(bundle.model, options)
    packed = _size_in(dist / file)
    size = packed or known + about
    parts = parts_of(size)
    squashfs = paths.BUILD / f"{bundle.impl}-squashfs-{arch}" / "program.squashfs"
    return Job(
        id=f"{bundle.impl}-{bundle.id}-{arch}",
        impl=bundle.impl,
        model=bundle.id,
        arch=arch,
        runner=bundle.target.runner,
        file=file,
        session=_session(bundle),
        smoke=("smoke", "--", f"dist/{file}"),
        size=size,
        exact=packed is not None,
        parts=parts,
        # The stored model, the bundle that holds it, and its parts.
        disk_gb=ENGINE_GB + -(-size * (3 if parts > 1 else 2) // 10**9),
        inputs={**inputs, "model": model_inputs},
        cached=Cached(is_stored, squashfs.is_file(), packed is not None),
    )


def _session(bundle: Bundle) -> tuple[str, ...]:
    """The words after `nox -s` that build ``bundle``."""
    arch, impl = bundle.target.arch, ("--impl", bundle.impl)
    if bundle.model is None:
        return ("build", "--", "--thin", "--arch", arch, *impl)
    return (f"build-{bundle.model.id}-{arch}", "--", *impl)


def _model(model: Model | None, options: FetchOptions) -> tuple[int, dict[str, Any] | None, bool]:
    """The size to plan with, what is known of the file, and whether it is in the store."""
    if model is None:
        return 0, None, True  # there is nothing to fetch
    source = model.sources[0]
    expected, stored = ensure.expected_of(model, source, options), ensure.stored(model, options)
    known = stored or expected
    facts = {
        "file": model.file,
        "source": source.label,
        "size": expected.size if expected else model.size,
        "sha256": expected.sha256 if expected else None,
        "revision": expected.revision if expected else None,
        "digest": sessions.where_digest_is(model, options),
    }
    return known.size if known else model.about, facts, stored is not None


def _size_in(path: Path) -> int | None:
    """Bytes of a finished bundle: the file and its record belong together."""
    return path.stat().st_size if path.is_file() and path.with_suffix(".json").is_file() else None


def as_json(plan: Plan) -> str:
    """The plan in one line, as docs/plan.md describes it."""
    facts = {**asdict(plan), "disk_gb": plan.disk_gb}
    for job, written in zip(plan.bundles, facts["bundles"], strict=True):
        written["split"] = job.split
    return json.dumps(facts, separators=(",", ":"))


def show(request: Request) -> None:
    """Print the plan on stdout, or write it where ``request`` says.

    Raises:
        NotWritable: the file's folder.
    """
    plan = make(request)
    if request.json == "-":
        sys.stdout.write(as_json(plan) + "\n")
        return
    if request.json is not None:
        path = Path(request.json).absolute()
        with disk_errors(path.parent):
            write_text(path, as_json(plan) + "\n")
        return
    title = f"Release {plan.version} of commit {(plan.commit or 'unknown')[:12]}"
    columns = ("artefact", "runner", "size", "files", "disk", "cached")
    rows = [_row(job) for job in plan.bundles]
    if plan.web:
        rows.append((plan.web.file, plan.web.runner, "", "1", "", ""))
    console.table(title, columns, rows)
    console.table("Inputs", ("input", "digest", ""), _input_rows(plan))
    thin = sum(job.model == THIN for job in plan.bundles)
    counts = [f"{len(plan.bundles) - thin} bundles"]
    counts += [f"{thin} without a model"] if thin else []
    counts += ["the package for browsers"] if plan.web else []
    console.note(", ".join(counts))


def _row(job: Job) -> tuple[str, ...]:
    there = [name for name, yes in asdict(job.cached).items() if yes]
    size = f"{'' if job.exact else 'about '}{job.size / 1e6:,.0f} MB"
    files = str(job.parts) if not job.split else f"{job.parts} parts"
    return (job.file, job.runner, size, files, f"{job.disk_gb} GB", ", ".join(there) or "nothing")


def _input_rows(plan: Plan) -> Sequence[tuple[str, ...]]:
    """Every input once, in the order met."""
    rows: dict[tuple[str, ...], None] = {}
    for job in plan.bundles:
        model, image = job.inputs["model"], job.inputs["base_image"]
        if model is not None:
            digest = model["sha256"] or "not known"
            rows[(f"model {job.model}", digest, f"{model['source']}; {model['digest']}")] = None
        rows[(f"image {image['name']}", image["digest"], "")] = None
        rows[(f"sources of the {job.impl} program", job.inputs["sources"], "")] = None
        for name, sha256 in job.inputs["locks"].items():
            rows[(name, sha256, "")] = None
    for name, sha256 in plan.web.inputs["locks"].items() if plan.web else ():
        rows[(name, sha256, "")] = None
    return list(rows)


def options(parser: Parser) -> None:
    """Options that name some of a release's bundles."""
    for name, what in (("model", f"id of a model, or {THIN}"), ("impl", "python or rust"),
                       ("arch", "x86_64 or aarch64")):  # fmt: skip
        parser.add_argument(
            f"--{name}", action="append", default=[], help=f"{what} (default: all of the release)"
        )


def parsed(given: argparse.Namespace) -> Choice:
    """The answers to ``options``."""
    return Choice(
        tuple(name if name == THIN else catalog.model(name).id for name in given.model),
        tuple(catalog.implementations(name)[0] for name in given.impl),
        tuple(catalog.target(name).arch for name in given.arch),
    )


def request(words: Sequence[str]) -> Request:
    """What `nox -s plan` is to print.

    Raises:
        UnknownName: a model, implementation or architecture that there is not, with the nearest.
    """
    parser = arguments.parser("plan")
    options(parser)
    parser.add_argument("--dist", type=Path, help="folder of the artefacts (default: dist/)")
    parser.add_argument(
        "--json", nargs="?", const="-", metavar="FILE", help="as one line of JSON (default: stdout)"
    )
    given = parser.read(words)
    return Request(parsed(given), given.json, folder(given))
