"""Builds and tries every bundle of a plan, one by one; one that fails does not stop the others.

A second run goes on where the first one stopped: stages that are done are skipped, and what passed
its smoke test is not tried again until it changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from tasks import catalog
from tasks.base import console
from tasks.base.errors import FetchError, ReleaseIncomplete, TaskError
from tasks.build import sessions
from tasks.build.bundle import Options
from tasks.catalog import THIN
from tasks.release.plan import Job
from tasks.smoke import run as smoke


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one bundle. ``built`` and ``smoke`` are words for the summary."""

    job: Job
    built: str
    smoke: str = ""
    error: str = ""


def build_all(jobs: Iterable[Job], options: Options) -> None:
    """Build and try the bundles of ``jobs``, and print what became of each.

    Raises:
        ReleaseIncomplete: one or more failed; the others are there.
    """
    outcomes = each(jobs, lambda job: _build(job, options), lambda job: _try(job, options))
    rows = [(one.job.id, one.built, one.smoke, one.error) for one in outcomes]
    console.table("Bundles of the release", ("bundle", "build", "smoke test", ""), rows)
    failed = [one.job.id for one in outcomes if one.error]
    if failed:
        raise ReleaseIncomplete(
            f"{len(failed)} of {len(outcomes)} bundles failed: {', '.join(failed)}",
            hint="mend the cause and run it again: it goes on from here",
        )


def each(
    jobs: Iterable[Job], build: Callable[[Job], str], check: Callable[[Job], str]
) -> list[Outcome]:
    """Do both for every job, whatever becomes of the others.

    A model that could not be had is not asked for again: its other bundles fail at once.
    """
    outcomes = []
    lost: dict[str, str] = {}
    for job in jobs:
        if job.model in lost:
            outcomes.append(Outcome(job, "FAILED", error=lost[job.model]))
            continue
        built = "FAILED"
        try:
            built = build(job)
            outcomes.append(Outcome(job, built, check(job)))
        except TaskError as error:
            console.warn(f"{job.id}: {error.message}")
            if isinstance(error, FetchError):
                lost[job.model] = error.message
            tried = "" if built == "FAILED" else "FAILED"
            outcomes.append(Outcome(job, built, tried, error.message))
    return outcomes


def _build(job: Job, options: Options) -> str:
    path = options.dist / job.file
    before = path.stat().st_mtime_ns if path.exists() else None
    thin = job.model == THIN
    sessions.build(
        sessions.Request(
            models=() if thin else (job.model,),
            archs=(job.arch,),
            model_file=None,
            name=None,
            options=replace(options, impls=(job.impl,)),
            thin=thin,
        )
    )
    return "there" if path.stat().st_mtime_ns == before else "built"


def _try(job: Job, options: Options) -> str:
    """Try what this machine runs natively; the others are tried on machines of their own."""
    if job.arch != catalog.native_target().arch:
        return "not run: another architecture"
    path = options.dist / job.file
    if smoke.passed_before(path):
        return "passed before"
    smoke.run([path])
    return "passed"
