"""Runs an AppImage as a stranger's machine would: clean container, nothing installed, no network.

No FUSE, a user without rights, a read-only root, 64 MB of /tmp and a home that survives. Bundles
of another architecture run under QEMU, on every CPU of cpus.toml; what cannot be tried is reported
as that, and never as passed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tasks import catalog, images
from tasks.base import arguments, console
from tasks.base.errors import AppImageError, HostError, SmokeFailed, SmokeNotRun
from tasks.base.files import disk_errors, write_text
from tasks.base.paths import DIST, ROOT
from tasks.build import pack
from tasks.build.pack import AppImage
from tasks.engine.engine import Container, Engine, Mount
from tasks.fetch import ensure
from tasks.host import binfmt
from tasks.smoke import cpus
from tasks.smoke.checks import (
    HOME,
    OWN_EXAMPLE,
    QEMU,
    START_TIMEOUT,
    USER,
    Bundle,
    BundleRunner,
    SmokeCheck,
    answer_check,
    cpu_checks,
    emulated,
    no_model_check,
    own_example_check,
    start_checks,
    workflow_checks,
)
from tasks.smoke.cpus import Cpu

__all__ = ["HOME", "START_TIMEOUT", "USER", "Report", "Request", "SmokeCheck", "run", "run_request"]

EXAMPLES = ROOT / "examples"
PLACE, ALONE = "/bundle", "/alone"  # where a container has the bundle; ALONE, without any model


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one AppImage."""

    file: str
    image: str
    checks: tuple[SmokeCheck, ...]
    not_run: tuple[str, ...] = ()  # CPUs that were asked for, and why it was not tried on them

    @property
    def passed(self) -> bool:
        """Whether every check passed, there was one, and none was left out."""
        return bool(self.checks) and all(check.passed for check in self.checks) and not self.not_run


@dataclass(frozen=True, slots=True)
class Request:
    """What `nox -s smoke` was asked for: no file is all of dist/; None is what ``run`` chooses."""

    files: tuple[Path, ...]
    cpus: tuple[Cpu, ...] | None


@dataclass(frozen=True, slots=True)
class _Trial:
    """How one bundle is tried."""

    bundle: Bundle
    foreign: bool  # not the engine's own architecture
    cpus: tuple[Cpu, ...]
    qemu: Path | None  # for the CPUs of the machine's own architecture
    not_run: tuple[str, ...]


def run(files: Sequence[Path], dist: Path = DIST, chosen: Sequence[Cpu] | None = None) -> None:
    """Try ``files``, or all AppImages of ``dist``; print a table and write a JSON report for each.

    A bundle of the machine's own architecture is tried natively, and under QEMU on those of the
    ``chosen`` CPUs that are of its architecture. One of another architecture is tried on them
    alone, or on all of its architecture when None are chosen.

    Raises:
        AppImageError: no file, or one that is not an AppImage.
        SmokeFailed: a check failed.
        SmokeNotRun: a bundle, or a CPU, could not be tried on this machine.
    """
    found = list(files) or sorted(dist.glob("*.AppImage"))
    if not found:
        raise AppImageError(
            f"{dist}: no AppImage to try", hint="build one first, such as: nox -s quickstart"
        )
    bundles_ = [_identify(pack.read(path)) for path in found]
    failed: list[str] = []
    left_out: list[str] = []
    with Engine.connect() as engine:
        for bundle in bundles_:
            path = bundle.image.path
            try:
                plan = _plan(bundle, engine, chosen)
            except HostError as error:
                left_out.append(f"{path.name} ({error.message})")
                _report_path(path).unlink(missing_ok=True)
                continue
            report = _try(plan, engine)
            _publish(report, path)
            left_out += [f"{path.name} on {why}" for why in report.not_run]
            if not all(check.passed for check in report.checks):
                failed.append(path.name)
    if failed:
        raise SmokeFailed(f"{len(failed)} of {len(found)} bundles failed: {', '.join(failed)}")
    if left_out:
        raise SmokeNotRun(
            f"not tried: {', '.join(left_out)}",
            hint=f"{binfmt.REMEDY}; or try it on a machine of that architecture",
        )


def run_request(request: Request) -> None:
    """``run`` as asked for."""
    run(request.files, chosen=request.cpus)


def _plan(bundle: Bundle, engine: Engine, chosen: Sequence[Cpu] | None) -> _Trial:
    """How to try ``bundle``; ``HostError`` where its architecture cannot be run at all."""
    target = bundle.target
    foreign = target.arch != engine.arch
    known = cpus.of(target)
    wanted = known if chosen is None and foreign else tuple(c for c in chosen or () if c in known)
    if foreign:
        binfmt.require(target, appimages=True)
        entry = binfmt.entry_for(target, binfmt.APPIMAGE)
        qemu = entry.interpreter if entry else None
        wanted = wanted or known[:1]
    else:
        qemu = binfmt.program(target)
    usable, not_run = [], []
    for cpu in wanted:
        try:
            if qemu is None:
                raise HostError(f"qemu-{target.arch}-static is not installed")
            cpu.require(qemu)
            usable.append(cpu)
        except HostError as error:
            not_run.append(f"{cpu.name} ({error.message})")
    return _Trial(bundle, foreign, tuple(usable), None if foreign else qemu, tuple(not_run))


def _report_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}.smoke.json")


def passed_before(path: Path) -> bool:
    """Whether the AppImage at ``path``, as it is now, was tried and passed."""
    report = _report_path(path)
    try:
        newer = report.stat().st_mtime_ns > path.stat().st_mtime_ns
        return newer and json.loads(report.read_text(encoding="utf-8"))["passed"] is True
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _publish(report: Report, path: Path) -> None:
    """Print the table, and write the report beside the AppImage ``path``."""
    rows = [
        (
            check.name,
            "passed" if check.passed else "FAILED",
            f"{check.seconds:.2f} s",
            check.detail,
        )
        for check in report.checks
    ]
    rows += [(why.partition(" (")[0], "not run", "", why) for why in report.not_run]
    console.table(f"{report.file} in {report.image}", ("check", "", "time", ""), rows)
    text = json.dumps({**asdict(report), "passed": report.passed}, indent=2)
    with disk_errors(path.parent):
        write_text(_report_path(path), text + "\n")


def _identify(image: AppImage) -> Bundle:
    """Take the bundle's facts from itself and from the record beside it."""
    target = next((row for row in catalog.targets().values() if row.elf == image.arch), None)
    if target is None:
        raise AppImageError(f"{image.path}: is for {image.arch}, which no bundle is")
    record = image.path.with_suffix(".json")
    try:
        facts = json.loads(record.read_text(encoding="utf-8"))
        impl, version = str(facts["implementation"]), str(facts["version"])
        thin = facts["model"] is None
        name = catalog.QUICKSTART if thin else str(facts["model"]["id"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AppImageError(
            f"{record}: no readable record of the bundle ({error})",
            hint="build the bundle again: its record is written beside it",
        ) from error
    model = catalog.models().get(name)
    beside = ensure.ensure(catalog.model(name)).path if thin else None
    return Bundle(
        image,
        target,
        impl,
        version,
        answer=model.smoke_answer if model else "",
        beside=beside,
        own_example=_own_example(model.id) if model else "",
    )


def _own_example(model: str) -> str:
    """The example for ``model`` as a container sees it, or nothing where there is none."""
    inside = OWN_EXAMPLE.format(model=model)
    there = EXAMPLES / inside.removeprefix("/examples/")
    return inside if there.is_file() else ""


def _try(plan: _Trial, engine: Engine) -> Report:
    """All checks of one bundle, in one container."""
    bundle = plan.bundle
    base = images.ensure(catalog.images()["smoke"], bundle.target, engine)
    name = bundle.image.path.name
    with console.stage(f"Try {name} in {base.reference}"), engine.volume() as home:
        mounts = [
            Mount(bundle.image.path, f"{PLACE}/{name}", read_only=True),
            Mount(EXAMPLES, "/examples", read_only=True),
            Mount(home, HOME),
        ]
        if bundle.beside:
            mounts.append(Mount(bundle.beside, f"{PLACE}/{bundle.beside.name}", read_only=True))
            mounts.append(Mount(bundle.image.path, f"{ALONE}/{name}", read_only=True))
        if plan.qemu and plan.cpus:
            mounts.append(Mount(plan.qemu, QEMU, read_only=True))
        with engine.container(
            base.reference,
            target=bundle.target,
            mounts=mounts,
            read_only=True,
            tmpfs={"/tmp": "size=64m"},
        ) as container:
            container.exec(["chown", USER, HOME], timeout=60)
            checks = _checks(plan, container, name)
    return Report(name, base.reference, tuple(checks), plan.not_run)


def _checks(plan: _Trial, container: Container, name: str) -> list[SmokeCheck]:
    """All that the bundle must do once, and what it must do on each CPU."""
    checks: list[SmokeCheck] = []
    file = f"{PLACE}/{name}"
    if not plan.foreign:
        own = BundleRunner(container, file, checks=checks)
        start_checks(own, plan.bundle)
        workflow_checks(own)
        if plan.bundle.beside:
            no_model_check(BundleRunner(container, f"{ALONE}/{name}", checks=checks))
        answer_check(own, plan.bundle)
        own_example_check(own, plan.bundle)
    for index, cpu in enumerate(plan.cpus):
        runner: BundleRunner | None
        if plan.foreign:
            # binfmt_misc gives every program in the container to QEMU, which reads this.
            runner = BundleRunner(container, file, cpu, {"QEMU_CPU": cpu.qemu}, checks)
            if index == 0:
                start_checks(runner, plan.bundle)
                workflow_checks(runner)
                if plan.bundle.beside:
                    alone = BundleRunner(container, f"{ALONE}/{name}", cpu, runner.env, checks)
                    no_model_check(alone)
        else:
            runner = emulated(BundleRunner(container, file, checks=checks), cpu)
        if runner:
            cpu_checks(runner, plan.bundle, cpu)
    return checks


def request(words: Sequence[str]) -> Request:
    """What `nox -s smoke` is to try, and on which CPUs.

    Raises:
        UnknownName: a CPU that there is not, with the nearest.
    """
    parser = arguments.parser("smoke")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument(
        "--cpu",
        action="append",
        metavar="NAME",
        help=f"under QEMU, also natively built ones: all, or {', '.join(cpus.cpus())}",
    )
    given = parser.read(words)
    return Request(tuple(given.files), None if given.cpu is None else cpus.named(given.cpu))
