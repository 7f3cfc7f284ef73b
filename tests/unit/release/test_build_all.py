"""All bundles of a plan: one that fails loses no other, and what is done is not done again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.base.errors import BuildError, SmokeFailed, TaskError, Unreachable, UsageError
from tasks.release import assemble, build_all, plan
from tasks.release.plan import Choice, Job
from tasks.smoke import run as smoke

JOBS = plan.make(plan.Request(Choice(("smollm2-135m", "gemma3-1b")))).bundles


def failing(errors: dict[str, TaskError], ran: list[str]) -> Callable[[Job], str]:
    """A step that notes its jobs, and raises for some."""

    def step(job: Job) -> str:
        ran.append(job.id)
        if job.id in errors:
            raise errors[job.id]
        return "done"

    return step


def test_a_bundle_that_fails_does_not_lose_the_others() -> None:
    built: list[str] = []
    tried: list[str] = []
    wrong = JOBS[1].id
    build = failing({wrong: BuildError("needs libx")}, built)
    outcomes = build_all.each(JOBS, build, failing({}, tried))
    assert built == [job.id for job in JOBS]
    assert tried == [job.id for job in JOBS if job.id != wrong]
    assert [one.job.id for one in outcomes if one.error] == [wrong]
    assert (outcomes[1].built, outcomes[1].smoke) == ("FAILED", "")
    assert outcomes[1].error == "needs libx"


def test_a_bundle_that_fails_its_smoke_test_was_built() -> None:
    wrong = JOBS[0].id
    check = failing({wrong: SmokeFailed("no answer")}, [])
    outcomes = build_all.each(JOBS, failing({}, []), check)
    assert (outcomes[0].built, outcomes[0].smoke) == ("done", "FAILED")
    assert not any(one.error for one in outcomes[1:])


def test_a_model_that_cannot_be_had_is_asked_for_once() -> None:
    built: list[str] = []
    first = next(job for job in JOBS if job.model == "gemma3-1b")
    build = failing({first.id: Unreachable("no answer")}, built)
    outcomes = build_all.each(JOBS, build, failing({}, []))
    assert [job.id for job in JOBS if job.model == "gemma3-1b" and job.id in built] == [first.id]
    assert {one.job.model for one in outcomes if one.error} == {"gemma3-1b"}
    assert len([one for one in outcomes if one.error]) == 4


def test_ctrl_c_ends_it_at_once() -> None:
    def build(job: Job) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_all.each(JOBS, build, failing({}, []))


@pytest.mark.parametrize(("passed", "age", "known"), [
    (True, 1, True), (True, -1, False), (False, 1, False), (None, 1, False),
])  # fmt: skip
def test_a_smoke_test_is_of_one_file(
    tmp_path: Path, passed: bool | None, age: int, known: bool
) -> None:
    file = tmp_path / "a.AppImage"
    file.touch()
    report = tmp_path / "a.smoke.json"
    report.write_text(json.dumps({"passed": passed}) if passed is not None else "{")
    when = file.stat().st_mtime_ns + age * 10**9
    os.utime(report, ns=(when, when))
    assert smoke.passed_before(file) is known


def test_a_file_without_a_report_has_not_been_tried(tmp_path: Path) -> None:
    assert not smoke.passed_before(tmp_path / "a.AppImage")


def test_a_choice_of_bundles_goes_with_all() -> None:
    found = assemble.request(["--all", "--model", "smollm2-135m", "--arch", "x86_64"])
    assert (found.build, found.choice) == (True, Choice(("smollm2-135m",), (), ("x86_64",)))
    with pytest.raises(UsageError, match="go with it"):
        assemble.request(["--model", "smollm2-135m"])
    assert not assemble.request([]).build


def test_options_of_builds_reach_the_release(tmp_path: Path) -> None:
    words = ["--all", "--dist", str(tmp_path), "--builder", "far", "--locked"]
    found = assemble.request(words).options
    assert (found.dist, found.build.builder, found.fetch.locked) == (tmp_path, "far", True)
