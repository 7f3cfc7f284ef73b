"""Makes a release of what lies in dist/: everything that is published beside the bundles.

In this order, because each step reads what the one before it wrote: .zsync, parts, bills of
materials, provenance, licences, notes, and last SHA256SUMS, which lists what is to be published. It
is removed first of all: where it is there, it is of one run that ended well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tasks import catalog
from tasks.base import arguments, console
from tasks.base.errors import UsageError
from tasks.base.files import disk_errors
from tasks.build import bundle, sessions, updates
from tasks.build.bundle import Options
from tasks.build.parts import Builder
from tasks.catalog import THIN
from tasks.engine.engine import Engine
from tasks.release import (
    artefacts,
    build_all,
    contents,
    licenses,
    notes,
    plan,
    provenance,
    split,
    web,
)
from tasks.release.artefacts import SUMS, Artefact
from tasks.release.contents import Contents
from tasks.release.plan import Choice, Job


@dataclass(frozen=True, slots=True)
class Request:
    """What `nox -s release` was asked for."""

    build: bool = False  # every bundle of ``choice`` first
    parts_only: bool = False  # a bundle that was split is deleted: its parts are what is published
    choice: Choice = field(default_factory=Choice)
    options: Options = field(default_factory=Options)


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes that decide which files are split, and into what."""

    asset: int = updates.ASSET_LIMIT
    part: int = plan.PART_SIZE


def run(request: Request, limits: Limits | None = None) -> Path:
    """Make the release; returns SHA256SUMS.

    Raises:
        ReleaseIncomplete: a bundle of those to build failed; nothing is put together then.
        ReleaseError: what lies in dist/ cannot be released.
        EngineError: no engine, which the tools that read the images come from.
    """
    dist = request.options.dist
    bundle.require_writable(dist)
    with Engine.connect() as engine:  # before anything that takes long
        with disk_errors(dist):
            (dist / SUMS).unlink(missing_ok=True)
        if request.build:
            jobs = plan.make(plan.Request(request.choice, dist=dist), request.options.fetch)
            build_all.build_all(jobs.bundles, request.options)
        sums = _assemble(request, engine, limits or Limits())
    _report(sums)
    return sums


def _assemble(request: Request, engine: Engine, limits: Limits) -> Path:
    dist, options = request.options.dist, request.options
    # Loads a library that takes a second, which other sessions should not.
    from tasks.release import sbom

    bundles = artefacts.find(dist)
    site = web.find(dist, plan.make(plan.Request(dist=dist)).web)
    jobs = _jobs(bundles, dist)
    builder = Builder.on(engine, engine.target, options.build)
    unsquashfs = builder.tool("unsquashfs", "pack", stage="mksquashfs")
    files: list[Path] = []
    parts: dict[str, list[Path]] = {}
    held: list[tuple[Artefact, Contents]] = []
    for artefact in bundles:
        with console.stage(artefact.name):
            pieces = split.split(artefact, limits.asset, limits.part)
            if pieces:
                parts[artefact.name] = pieces
                files += pieces
            else:
                # A program that updates an AppImage needs it in one file.
                files += [artefact.path, updates.make_zsync(artefact.path, engine, options.build)]
            found = contents.read(artefact, unsquashfs)
            held.append((artefact, found))
            files.append(sbom.write(artefact, found))
            job = jobs.get(artefact.name)
            files.append(provenance.write(artefact, job, pieces[:-1]))
            if pieces and request.parts_only:
                artefact.path.unlink()
    if site is not None:
        with console.stage(site.path.name):
            files += [site.path, sbom.write_web(site), provenance.write_web(site)]
    files.append(licenses.write(dist, licenses.collect(held, site)))
    notes.write(dist, bundles, parts, [site.path] if site else [])
    with console.stage(f"{SUMS} over {len(files)} files"):
        return artefacts.write_sums(dist, files)


def _jobs(bundles: Sequence[Artefact], dist: Path) -> dict[str, Job]:
    """The places in the plan of those artefacts that one can have, by file."""
    names = {str(artefact.model["id"]) for artefact in bundles if artefact.model}
    known = tuple(name for name in catalog.models() if name in names)
    choice = Choice(models=(*known, THIN))
    return {job.file: job for job in plan.make(plan.Request(choice, dist=dist)).bundles}


def _report(sums: Path) -> None:
    """What there is, what of the plan is not, and that nobody has signed it."""
    dist = sums.parent
    lines = [line.split("  ", 1) for line in sums.read_text(encoding="utf-8").splitlines()]
    rows = [(name, f"{(dist / name).stat().st_size:,}", digest[:16]) for digest, name in lines]
    console.table(f"Release {catalog.version()}", ("file", "bytes", "sha256"), rows)
    console.note(f"{SUMS}: checked by sha256sum, {len(rows)} files")
    planned = plan.make(plan.Request(dist=dist))
    names = [job.file for job in planned.bundles] + ([planned.web.file] if planned.web else [])
    published = {name for _, name in lines}
    missing = [name for name in names if not {name, f"{name}.part01"} & published]
    if missing:
        console.warn(f"not in {dist}, though part of a release: {', '.join(missing)}")
    console.warn(
        "nothing is signed: the .intoto.jsonl files say what this machine says of itself; "
        "attestations are made by the workflow release.yml, which has an identity"
    )


def request(words: Sequence[str]) -> Request:
    """What `nox -s release` is to make.

    Raises:
        UsageError: a choice of bundles without --all; UnknownName: a name that there is not.
    """
    parser = arguments.parser("release")
    parser.add_argument("--all", action="store_true", help="build every bundle of the plan first")
    parser.add_argument(
        "--parts-only",
        action="store_true",
        help="delete a bundle once it is split, to save its room",
    )
    plan.options(parser)
    sessions.options(parser)
    given = parser.read(words)
    choice = plan.parsed(given)
    if not (given.all or choice.is_all):
        raise UsageError(
            "--model, --impl and --arch say what --all builds, and go with it",
            hint="without --all a release is made of all that lies in dist/",
        )
    return Request(given.all, given.parts_only, choice, sessions.parsed(given))
