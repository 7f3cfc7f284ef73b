# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "nox==2026.10.20",
#   "pip>=25",
#   "cyclonedx-python-lib[json-validation]==11.12.0",
#   "docker==7.2.0",
#   "huggingface_hub==2.4.0",
#   "pyelftools==0.33",
#   "rich==15.0.0",
#   "socksio==1.0.0",
#   "tenacity==9.2.1",
#   "tomli-w==1.2.0",
# ]
# ///
"""Sessions of the TEA bundles. `nox -l` lists them; what follows `--` goes to the session."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import nox

sys.path.insert(0, str(Path(__file__).parent))

from tasks import catalog
from tasks.base import arguments, console
from tasks.bench import run as bench
from tasks.build import bundle
from tasks.build import sessions as builds
from tasks.catalog import Model
from tasks.checks import checks, reproduce
from tasks.fetch import pins_pr
from tasks.fetch import sessions as models
from tasks.host import report
from tasks.release import assemble, plan, publish
from tasks.smoke import run as smoke
from tasks.spec import generate
from tasks.web import build as web

nox.needs_version = ">=2026.10"
nox.options.sessions = ["unit"]
nox.options.default_venv_backend = "uv|virtualenv"

# Sessions that run the task suite itself, in the environment of this file.
task = partial(nox.session, python=False)


def reported(function: Callable[[nox.Session], None]) -> Callable[[nox.Session], None]:
    """Errors of the task suite end the run with their text and exit code."""
    return console.reported(function)


@task(tags=["start"])
@reported
def quickstart(session: nox.Session) -> None:
    """From a bare machine to an answer: prepare the host, build the smallest bundle, try it."""
    arguments.none("quickstart", session.posargs)
    report.prepare(install=True)
    model, arch = catalog.model(catalog.QUICKSTART), catalog.native_target().arch
    smoke.run(bundle.build(model, arch, bundle.Options(impls=catalog.IMPLEMENTATIONS[:1])))


@task(tags=["start"])
@reported
def host(session: nox.Session) -> None:
    """Say what the machine has and lacks; `-- --install` installs it, `--room GB` makes room."""
    report.session(report.request(session.posargs))


def _build_sessions(model: Model, arch: str) -> None:
    name = f"build-{model.id}-{arch}"

    @task(name=name, tags=["build"])
    @reported
    def build_one(session: nox.Session) -> None:
        bundle.build(model, arch, builds.request(name, session.posargs).options)

    build_one.__doc__ = f"Build the AppImages of {model.title} for {arch}."


def _fetch_session(model: Model) -> None:
    name = f"fetch-{model.id}"

    @task(name=name, tags=["fetch"])
    @reported
    def fetch_one(session: nox.Session) -> None:
        models.get(model.id, models.request(name, session.posargs))

    fetch_one.__doc__ = f"Fetch {model.title} into the model store."


for _model in console.reported(catalog.models)().values():
    _fetch_session(_model)
    for _arch in console.reported(catalog.targets)():
        _build_sessions(_model, _arch)


@task(tags=["build"])
@reported
def build(session: nox.Session) -> None:
    """Build what `-- --model ID --arch ARCH`, `--all` or `--model-file FILE --name NAME` say."""
    builds.build(builds.request("build", session.posargs))


@task(name="reproduce", tags=["check"])
@reported
def build_twice(session: nox.Session) -> None:
    """Build the committed sources twice, as differently as can be, and compare the AppImages."""
    reproduce.run(reproduce.request(session.posargs))


@task(name="smoke", tags=["build"])
@reported
def try_bundles(session: nox.Session) -> None:
    """Try AppImages in clean containers: all of dist/, or `-- FILE…`; `--cpu NAME` under QEMU."""
    smoke.run_request(smoke.request(session.posargs))


@task(name="plan", tags=["release"])
@reported
def show_plan(session: nox.Session) -> None:
    """Print what a tag would make, and from what; `-- --json` for the workflow's matrix."""
    plan.show(plan.request(session.posargs))


@task(tags=["release"])
@reported
def release(session: nox.Session) -> None:
    """Checksums, bills of materials, provenance, notes over dist/; `-- --all` builds all first."""
    assemble.run(assemble.request(session.posargs))


@task(name="models", tags=["fetch"])
@reported
def show_models(session: nox.Session) -> None:
    """Print the model table, with what is in the store."""
    arguments.none("models", session.posargs)
    models.show()


@task(tags=["fetch"])
@reported
def pins(session: nox.Session) -> None:
    """Refresh the models' digests from the Hub; `-- --check` only shows, `--propose` asks."""
    pins_pr.request(session.posargs)()


@task(name="publish", tags=["release"])
@reported
def publish_release(session: nox.Session) -> None:
    """Publish what SHA256SUMS lists, as `-- --tag vVERSION`: a draft until all is verified."""
    publish.run(publish.request(session.posargs))


@nox.session(tags=["check"], reuse_venv=True)
def unit(session: nox.Session) -> None:
    """Unit and conformance tests: seconds, no Docker."""
    checks.unit(session)


@nox.session(tags=["check"], reuse_venv=True)
def lint(session: nox.Session) -> None:
    """Format, lint and types of Python, C, shell scripts and workflows."""
    checks.lint(session)


@task(name="generate", tags=["check"])
@reported
def generate_files(session: nox.Session) -> None:
    """Write what spec/ gives: constants of the engines, tables of documents, editors' schema."""
    arguments.none("generate", session.posargs)
    generate.write()


@task(name="bench", tags=["check"])
@reported
def measure(session: nox.Session) -> None:
    """Measure speed and size against cp, curl, llama-bench and the plain folder."""
    bench.run(bench.request(session.posargs))


@task(tags=["check"])
@reported
def rust(session: nox.Session) -> None:
    """Format, lint, tests and dependencies of the Rust program; `-- --advisories` asks GitHub."""
    checks.rust(advisories=checks.advisories(session.posargs))


@task(name="web", tags=["build"])
@reported
def build_web(session: nox.Session) -> None:
    """Build and check the browser package and its site; `-- --serve [PORT]` serves the site."""
    web.run(web.request(session.posargs))


@nox.session(tags=["check"], reuse_venv=True)
def workflow(session: nox.Session) -> None:
    """Run the steps of .github/workflows/ci.yml on this machine, one after another."""
    checks.workflow(session)


@nox.session(tags=["check"], reuse_venv=True)
def integration(session: nox.Session) -> None:
    """Build, smoke and break real bundles on a real engine."""
    checks.integration(session)


@task(tags=["check"])
def tests(session: nox.Session) -> None:
    """Everything that CI checks; with `-- --large`, also what needs gigabytes."""
    session.notify("lint")
    session.notify("unit")
    session.notify("rust")
    session.notify("web")
    session.notify("integration", session.posargs)


console.reported(arguments.sessions)(sys.argv[1:], nox.registry.get())
