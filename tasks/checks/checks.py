"""The checks of the sources: what `nox -s lint`, `unit` and `integration` run."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

import nox

from tasks import catalog, images
from tasks.base import arguments, console
from tasks.base.errors import CommandFailed, TaskError
from tasks.base.paths import BUILD, ROOT
from tasks.engine.engine import Engine, Mount
from tasks.host import report
from tasks.images import Base
from tasks.spec import generate

SCRIPTS = (
    "nox",
    "appdir/AppRun",
    ".ci/run",
    "rust/tea-cli/bindings.sh",
    "tasks/catalog/data/join.sh",
    "docker/apt/install",
)
REQUIREMENTS = "requirements/dev.txt"
GITHUB = ".github"


def _install(session: nox.Session) -> None:
    session.install("--require-hashes", "--requirement", REQUIREMENTS)


def unit(session: nox.Session) -> None:
    """Unit and conformance tests, on all processors."""
    _install(session)
    # Hundreds of programs are started: what the first has compiled is there for all others.
    compiled = {"PYTHONPYCACHEPREFIX": str(BUILD / "pycache"), "PYTHONDONTWRITEBYTECODE": ""}
    words = ("-n", "auto", "-q", "-m", "not integration", *session.posargs)
    session.run("pytest", *words, env=compiled)


def lint(session: nox.Session) -> None:
    """ruff, mypy, the packages' order, what is generated, checkers of workflows, shell and C."""
    _install(session)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy", "noxfile.py", "tasks", "tests", "python/src")
    session.run("lint-imports", "--no-logo")
    console.reported(generate.check)()
    _workflows(session)
    console.reported(_in_containers)()


def workflow(session: nox.Session) -> None:
    """The steps of ci.yml, as tests, in the order written; each takes as long as in CI."""
    _install(session)
    session.run("pytest", "-q", "-s", "-m", "workflow", "--workflow", *session.posargs)


def _workflows(session: nox.Session) -> None:
    """What GitHub is told: of the right shape, and with no more rights than it needs."""
    files = [str(path) for path in sorted((ROOT / GITHUB).glob("workflows/*.yml"))]
    # The schemas are those that the checker brings; nothing is asked of GitHub.
    session.run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *files)
    actions = [str(path) for path in sorted((ROOT / GITHUB).glob("actions/*/action.yml"))]
    session.run("check-jsonschema", "--builtin-schema", "vendor.github-actions", *actions)
    dependabot = f"{GITHUB}/dependabot.yml"
    session.run("check-jsonschema", "--builtin-schema", "vendor.dependabot", dependabot)
    session.run("zizmor", "--offline", "--quiet", "--persona", "pedantic", GITHUB)


def integration(session: nox.Session) -> None:
    """Tests that need the engine; prepares the machine first."""
    console.reported(report.prepare)(install=True)
    _install(session)
    session.run("pytest", "-q", "-m", "integration", *session.posargs)


def rust(*, advisories: bool = False) -> None:
    """Format, clippy, tests and dependencies of the Rust program, with Debian's own compiler.

    ``advisories``: also ask the RustSec database, at GitHub, for known faults of the dependencies.
    """
    report.prepare(install=True)
    output = BUILD / "rust-check"
    with Engine.connect() as engine:
        base = images.ensure(catalog.images()["build"], engine.target, engine)

        def check(stage: str, output: Path | None, **args: str) -> None:
            engine.build(
                ROOT / "docker/rust-check/Dockerfile",
                context=ROOT,
                stage=stage,
                target=engine.target,
                args={"BASE": base.reference, **args},
                output=output,
            )

        with console.stage("Check the Rust program"):
            check("export", output)
        if advisories:
            with console.stage("Ask for known faults of its dependencies"):
                check("advisories", None, ASKED=str(int(time.time())))
    results = re.findall(
        r"^test result: ok\. (\d+) passed", (output / "tests.txt").read_text(), re.MULTILINE
    )
    console.note((output / "deny.txt").read_text().splitlines()[-1])
    console.note(f"{sum(map(int, results))} tests of the Rust program passed")
    console.note(f"conformance: {(output / 'cases.txt').read_text().splitlines()[-1]}")


def _in_containers() -> None:
    """The checkers that are Debian packages."""
    report.prepare(install=True)
    with Engine.connect() as engine:
        base = images.ensure(catalog.images()["build"], engine.target, engine)
        _shellcheck(engine)
        _read_c(engine, base)


def _read_c(engine: Engine, base: Base) -> None:
    """Have cppcheck and gcc's analyzer read the runtime's sources."""
    try:
        with console.stage("Read the runtime's C"):
            engine.build(
                ROOT / "docker/runtime/Dockerfile",
                context=ROOT,
                stage="check",
                target=engine.target,
                args={"BASE": base.reference},
            )
    except CommandFailed as error:
        raise TaskError(f"{error.message}\n{error.output}") from error


def _shellcheck(engine: Engine) -> None:
    """Run shellcheck in a container, on every shell script of the project."""
    done = engine.run(
        images.tools("lint", engine),
        ["shellcheck", "--", *SCRIPTS],
        mounts=[Mount(ROOT, "/src", read_only=True)],
        workdir="/src",
        timeout=120,
    )
    if done.exit_code:
        raise TaskError(f"shellcheck found faults:\n{done.stdout.decode()}{done.stderr.decode()}")


def advisories(words: Sequence[str]) -> bool:
    """Whether `nox -s rust` asks for known faults of the dependencies, which needs GitHub."""
    parser = arguments.parser("rust")
    parser.add_argument(
        "--advisories", action="store_true", help="ask the RustSec database at GitHub too"
    )
    return bool(parser.read(words).advisories)
