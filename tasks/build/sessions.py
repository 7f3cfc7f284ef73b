"""`nox -s build` and its kin: what may be asked for, and the building of it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tasks import catalog
from tasks.base import arguments
from tasks.base.arguments import Parser
from tasks.base.errors import UsageError
from tasks.base.paths import DIST
from tasks.build import bundle, updates
from tasks.build.bundle import Options
from tasks.catalog import Bundle, Model
from tasks.engine.engine import BuildOptions, Engine
from tasks.fetch import ensure, sessions
from tasks.fetch.model_store import StoredModel


@dataclass(frozen=True, slots=True)
class Request:
    """What `nox -s build` was asked for: rows of the table, a file of the user's own, or none."""

    models: tuple[str, ...]
    archs: tuple[str, ...]
    model_file: Path | None
    name: str | None
    options: Options
    thin: bool = False


def options(parser: Parser) -> None:
    """Add what may be said about the build of a bundle."""
    parser.add_argument("--runtime", type=Path, help="begin the AppImage with this runtime")
    parser.add_argument(
        "--update-repo",
        metavar="OWNER/NAME",
        help="where the next version will be released (default: this checkout's own, on GitHub)",
    )
    parser.add_argument("--builder", help="buildx builder to use")
    parser.add_argument(
        "--cache-from",
        action="append",
        default=[],
        help="as in docker buildx build; {part} in it stands for the part that is built",
    )
    parser.add_argument("--cache-to", action="append", default=[], help="the same")
    parser.add_argument("--no-cache", action="store_true", help="build every step again")
    parser.add_argument("--dist", type=Path, help="folder of the artefacts (default: dist/)")
    sessions.options(parser)


def folder(given: argparse.Namespace) -> Path:
    """The folder of artefacts that --dist names."""
    return given.dist.absolute() if given.dist else DIST


def parsed(given: argparse.Namespace) -> Options:
    """The answers to ``options``."""
    return Options(
        repository=(
            updates.known_repository(given.update_repo)
            if given.update_repo
            else updates.repository()
        ),
        runtime=given.runtime,
        dist=folder(given),
        build=BuildOptions(
            given.builder, tuple(given.cache_from), tuple(given.cache_to), given.no_cache
        ),
        fetch=sessions.parsed(given),
    )


def request(session: str, words: Sequence[str]) -> Request:
    """The options of build sessions.

    Raises:
        UsageError: an option that there is not; UnknownName: a model or architecture that there
            is not, with the nearest.
    """
    parser = arguments.parser(session)
    parser.add_argument("--impl", help="python or rust (default: both)")
    options(parser)
    if session == "build":
        parser.add_argument("--model", action="append", default=[], help="id of a model")
        parser.add_argument("--arch", action="append", default=[], help="x86_64 or aarch64")
        parser.add_argument("--all", action="store_true", help="every model, and every --arch")
        parser.add_argument("--model-file", type=Path, help="a GGUF file of your own")
        parser.add_argument("--name", help="what to call the bundle of --model-file")
        parser.add_argument(
            "--thin", action="store_true", help="no model: it takes the one that lies beside it"
        )
    given = parser.read(words)
    return _request(given, session == "build")


def _request(given: argparse.Namespace, chooses: bool) -> Request:
    answers = replace(parsed(given), impls=catalog.implementations(given.impl))
    if not chooses:
        return Request((), (), None, None, answers)
    choices = {"--model": given.model, "--all": given.all, "--model-file": given.model_file}
    choices["--thin"] = given.thin
    named = [name for name, value in choices.items() if value]
    if len(named) > 1:
        raise UsageError(f"{' and '.join(named)} do not go together", hint="choose one")
    if bool(given.model_file) != bool(given.name):
        raise UsageError("--model-file and --name go together")
    if not named:
        raise UsageError(
            "nothing to build",
            hint="give --model ID, --all, --thin or --model-file FILE --name NAME",
        )
    models = tuple(catalog.models()) if given.all else tuple(given.model)
    archs = tuple(given.arch or (catalog.targets() if given.all else ()))
    for name in models:
        catalog.model(name)
    for arch in archs:
        catalog.target(arch)
    return Request(
        models,
        archs or (catalog.native_target().arch,),
        given.model_file,
        given.name,
        answers,
        given.thin,
    )


def build(request: Request) -> list[Path]:
    """Build everything that `nox -s build` was asked for."""
    answers = request.options
    bundle.check(answers, request.archs)
    rows: list[tuple[Model | None, StoredModel | None]]
    if request.thin:
        rows = [(None, None)]
    elif request.model_file is not None:
        assert request.name is not None  # the options say so
        model, stored = sessions.from_file(request.model_file, request.name, answers.fetch)
        rows = [(model, stored)]
        answers = replace(answers, repository=None)  # no release has the user's own model
    else:
        rows = [
            (model, ensure.ensure(model, answers.fetch))
            for model in map(catalog.model, request.models)
        ]
    with Engine.connect() as engine:
        return [
            bundle.build_one(Bundle(impl, model, catalog.target(arch)), stored, engine, answers)
            for model, stored in rows
            for arch in request.archs
            for impl in answers.impls
        ]
