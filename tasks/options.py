"""What may follow ``--`` on the command line of a session."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NoReturn

from tasks import catalog
from tasks.base.errors import UnknownName, UsageError
from tasks.bench import run as bench
from tasks.build import bundle as bundles
from tasks.build import updates
from tasks.build.bundle import BuildRequest
from tasks.checks import reproduce as reproduce_
from tasks.engine.engine import BuildOptions
from tasks.fetch import pins_pr
from tasks.fetch import sessions as models
from tasks.fetch.ensure import FetchOptions
from tasks.host import report as host_
from tasks.release import assemble as release_
from tasks.release import plan as plan_
from tasks.release import publish as publish_
from tasks.smoke import cpus
from tasks.smoke import run as smoke_
from tasks.web import build as web_


class _Parser(argparse.ArgumentParser):
    """Raises instead of leaving the process."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"{self.prog} --help lists the options")

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse all ``words``; an option that there is not comes with the nearest."""
        given, rest = self.parse_known_args(words)
        for word in rest:
            if word.startswith("-"):
                raise UnknownName("option", word.partition("=")[0], self._option_string_actions)
            self.error(f"unexpected argument {word!r}")
        return given


def _parser(session: str) -> _Parser:
    return _Parser(prog=f"nox -s {session} --", allow_abbrev=False)


def build(session: str, words: Sequence[str]) -> BuildRequest:
    """The options of build sessions.

    Raises:
        UsageError: an option that there is not; UnknownName: a model or architecture that there
            is not, with the nearest.
    """
    parser = _parser(session)
    parser.add_argument("--impl", help="python or rust (default: both)")
    _add_build_options(parser)
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


def _add_build_options(parser: argparse.ArgumentParser) -> None:
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
    _add_fetch_options(parser)


def fetch(session: str, words: Sequence[str]) -> FetchOptions:
    """The options of fetch sessions."""
    parser = _parser(session)
    _add_fetch_options(parser)
    return _fetch_options(parser.read(words))


def _add_fetch_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--locked",
        action=argparse.BooleanOptionalAction,
        help="refuse a model whose digest is not written down (default in CI)",
    )
    parser.add_argument("--offline", action="store_true", help="take the store's file, or fail")
    parser.add_argument("--verify", action="store_true", help="hash a stored file again")


def _fetch_options(given: argparse.Namespace) -> FetchOptions:
    options = FetchOptions(verify=given.verify)
    if given.offline:
        options = replace(options, offline=True)
    return options if given.locked is None else replace(options, locked=given.locked)


def pins(words: Sequence[str]) -> Callable[[], None]:
    """What `nox -s pins` is to do: write, only show, or open a change."""
    parser = _parser("pins")
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    ways.add_argument("--propose", action="store_true", help="open a change on GitHub, with gh")
    given = parser.read(words)
    return pins_pr.pins if given.propose else partial(models.pins, check=given.check)


def _request(given: argparse.Namespace, chooses: bool) -> BuildRequest:
    options = replace(_build_options(given), impls=_impls(given.impl))
    if not chooses:
        return BuildRequest((), (), None, None, options)
    choices = {"--model": given.model, "--all": given.all, "--model-file": given.model_file}
    choices["--thin"] = given.thin
    chosen = [name for name, value in choices.items() if value]
    if len(chosen) > 1:
        raise UsageError(f"{' and '.join(chosen)} do not go together", hint="choose one")
    if bool(given.model_file) != bool(given.name):
        raise UsageError("--model-file and --name go together")
    if not chosen:
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
    return BuildRequest(
        models,
        archs or (catalog.native_target().arch,),
        given.model_file,
        given.name,
        options,
        given.thin,
    )


def _build_options(given: argparse.Namespace) -> bundles.Options:
    return bundles.Options(
        repository=(
            updates.known_repository(given.update_repo)
            if given.update_repo
            else updates.repository()
        ),
        runtime=given.runtime,
        dist=_dist(given),
        build=BuildOptions(
            given.builder, tuple(given.cache_from), tuple(given.cache_to), given.no_cache
        ),
        fetch=_fetch_options(given),
    )


def release(words: Sequence[str]) -> release_.Request:
    """What `nox -s release` is to make.

    Raises:
        UsageError: a choice of bundles without --all; UnknownName: a name that there is not.
    """
    parser = _parser("release")
    parser.add_argument("--all", action="store_true", help="build every bundle of the plan first")
    parser.add_argument(
        "--parts-only",
        action="store_true",
        help="delete a bundle once it is split, to save its room",
    )
    _add_choice(parser)
    _add_build_options(parser)
    given = parser.read(words)
    choice = _choice(given)
    if not (given.all or choice.is_all):
        raise UsageError(
            "--model, --impl and --arch say what --all builds, and go with it",
            hint="without --all a release is made of all that lies in dist/",
        )
    return release_.Request(given.all, given.parts_only, choice, _build_options(given))


def plan(words: Sequence[str]) -> plan_.Request:
    """What `nox -s plan` is to print.

    Raises:
        UnknownName: a model, implementation or architecture that there is not, with the nearest.
    """
    parser = _parser("plan")
    _add_choice(parser)
    parser.add_argument("--dist", type=Path, help="folder of the artefacts (default: dist/)")
    parser.add_argument(
        "--json", nargs="?", const="-", metavar="FILE", help="as one line of JSON (default: stdout)"
    )
    given = parser.read(words)
    return plan_.Request(_choice(given), given.json, _dist(given))


def _add_choice(parser: argparse.ArgumentParser) -> None:
    """Options that name some of a release's bundles."""
    for name, what in (("model", f"id of a model, or {catalog.THIN}"), ("impl", "python or rust"),
                       ("arch", "x86_64 or aarch64")):  # fmt: skip
        parser.add_argument(
            f"--{name}", action="append", default=[], help=f"{what} (default: all of the release)"
        )


def _choice(given: argparse.Namespace) -> plan_.Choice:
    return plan_.Choice(
        tuple(name if name == catalog.THIN else catalog.model(name).id for name in given.model),
        tuple(known_impl(name) for name in given.impl),
        tuple(catalog.target(name).arch for name in given.arch),
    )


def _dist(given: argparse.Namespace) -> Path:
    return given.dist.absolute() if given.dist else bundles.DIST


def known_impl(name: str) -> str:
    """``name``, or ``UnknownName`` with the nearest."""
    if name not in catalog.IMPLEMENTATIONS:
        raise UnknownName("implementation", name, catalog.IMPLEMENTATIONS)
    return name


def smoke(words: Sequence[str]) -> smoke_.Request:
    """What `nox -s smoke` is to try, and on which CPUs.

    Raises:
        UnknownName: a CPU that there is not, with the nearest.
    """
    parser = _parser("smoke")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument(
        "--cpu",
        action="append",
        metavar="NAME",
        help=f"under QEMU, also natively built ones: all, or {', '.join(cpus.cpus())}",
    )
    given = parser.read(words)
    return smoke_.Request(tuple(given.files), None if given.cpu is None else cpus.named(given.cpu))


def host(words: Sequence[str]) -> host_.Request:
    """What `nox -s host` may change."""
    parser = _parser("host")
    parser.add_argument("--install", action="store_true", help="install what is missing")
    parser.add_argument(
        "--room",
        type=int,
        default=0,
        metavar="GB",
        help="have so much disk free: on GitHub's machines by deleting toolchains",
    )
    given = parser.read(words)
    if given.room < 0:
        raise UsageError("--room must be 0 or more")
    return host_.Request(given.install, given.room * host_.GB)


def publish(words: Sequence[str]) -> publish_.Request:
    """What `nox -s publish` is to publish."""
    parser = _parser("publish")
    parser.add_argument("--tag", required=True, help="tag of the release, v and the version")
    parser.add_argument("--dist", type=Path, help="folder of the artefacts (default: dist/)")
    parser.add_argument(
        "--add",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="also publish FILE, as NAME: a signature that was made of SHA256SUMS",
    )
    parser.add_argument(
        "--attested", action="store_true", help="refuse a file without an attestation on GitHub"
    )
    parser.add_argument("--draft", action="store_true", help="leave the release a draft")
    given = parser.read(words)
    pairs = [word.partition("=") for word in given.add]
    for name, _, file in pairs:
        if not name or not file:
            raise UsageError(f"--add {name}: expected NAME=FILE")
    return publish_.Request(
        tag=given.tag,
        dist=given.dist.absolute() if given.dist else bundles.DIST,
        added=tuple((name, Path(file)) for name, _, file in pairs),
        attested=given.attested,
        draft=given.draft,
    )


def rust(words: Sequence[str]) -> bool:
    """Whether `nox -s rust` asks for known faults of the dependencies, which needs GitHub."""
    parser = _parser("rust")
    parser.add_argument(
        "--advisories", action="store_true", help="ask the RustSec database at GitHub too"
    )
    return bool(parser.read(words).advisories)


def bench_request(words: Sequence[str]) -> bench.Request:
    """What `nox -s bench` is to measure, and how often.

    Raises:
        UnknownName: a group of rows that there is not, with the nearest.
    """
    parser = _parser("bench")
    parser.add_argument(
        "--rows", nargs="+", default=[], metavar="GROUP", help=f"of: {', '.join(bench.GROUPS)}"
    )
    parser.add_argument("--runs", type=int, default=5, help="how often each is run (default: 5)")
    given = parser.read(words)
    if given.runs < 1:
        raise UsageError("--runs must be 1 or more")
    return bench.Request(bench.known_groups(given.rows), given.runs)


def reproduce(words: Sequence[str]) -> reproduce_.Request:
    """What `nox -s reproduce` is to build twice.

    Raises:
        UnknownName: a model, an architecture or an implementation that there is not.
    """
    parser = _parser("reproduce")
    parser.add_argument("--model", default=catalog.QUICKSTART, help="id of a model")
    parser.add_argument("--impl", help="python or rust (default: both)")
    parser.add_argument("--arch", action="append", default=[], help="x86_64 or aarch64")
    parser.add_argument("--all-stages", action="store_true", help="compile llama.cpp too")
    given = parser.read(words)
    archs = tuple(catalog.target(arch).arch for arch in given.arch or catalog.targets())
    return reproduce_.Request(
        catalog.model(given.model).id, _impls(given.impl), archs, given.all_stages
    )


def web(words: Sequence[str]) -> web_.Request:
    """What `nox -s web` is to do after the build."""
    parser = _parser("web")
    parser.add_argument(
        "--serve",
        nargs="?",
        type=int,
        const=8080,
        metavar="PORT",
        help="serve the site on the loopback, at 8080 or PORT (0: any that is free)",
    )
    return web_.Request(port=parser.read(words).serve)


def _impls(name: str | None) -> tuple[str, ...]:
    return (known_impl(name),) if name else catalog.IMPLEMENTATIONS


def none(session: str, words: Sequence[str]) -> None:
    """Refuse anything after ``--`` of a session that takes nothing."""
    _parser(session).read(words)


def sessions(words: Sequence[str], known: Collection[str]) -> None:
    """Refuse the name of a session that there is not, with the nearest; ``words`` are nox's own.

    nox refuses it too, but names no other and has an exit code that means something else here.
    """
    parser = _Parser(add_help=False, allow_abbrev=False)
    names = ("-s", "-e", "--session", "--sessions")
    parser.add_argument(*names, dest="names", nargs="*", action="extend", default=[])
    own = words[: words.index("--")] if "--" in words else words
    for name in parser.parse_known_args(own)[0].names:
        if name not in known:
            raise UnknownName("session", name, known)
