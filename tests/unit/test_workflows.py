"""The workflows call sessions, with words that these take, and nothing else does any work."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tasks.base.paths import ROOT
from tests.support import workflows
from tests.support.workflows import Step
from tests.unit.test_documents import read, sessions

STEPS = [step for path in workflows.FILES for step in workflows.steps(path)]
JOBS = [
    (path.name, name, job)
    for path in workflows.FILES
    for name, job in workflows.load(path)["jobs"].items()
]
SETUP = "$/.github/actions/setup"  # the workflow's own repository and commit
# What may be used beside sessions: to get the sources, Python, files of earlier jobs, signatures.
ACTIONS = {
    "actions/checkout",
    "actions/setup-python",
    "actions/cache",
    "actions/upload-artifact",
    "actions/download-artifact",
    "actions/attest",
}


def called(step: Step, tmp_path: Path) -> list[list[str]]:
    """The words of each call of nox in the step, as the shell of the runner splits them."""
    program = tmp_path / "nox"
    program.write_text('#!/bin/sh\nprintf "%s\\0" "$@" >>"$CALLS"\nprintf "\\n" >>"$CALLS"\n')
    program.chmod(0o755)
    calls = tmp_path / "calls"
    known = {"GITHUB_OUTPUT": str(tmp_path / "output"), "GITHUB_REF_NAME": "v0.1.0"}
    env = {**known, **step.env, "PATH": f"{tmp_path}:{os.environ['PATH']}", "CALLS": str(calls)}
    (tmp_path / "plan.json").write_text("{}")  # what the real session would have left
    command = ["bash", "-euo", "pipefail", "-c", step.script]
    subprocess.run(command, cwd=tmp_path, env=env, check=True, timeout=10, capture_output=True)
    return [line.split("\0")[:-1] for line in calls.read_text().splitlines()]


def test_workflows_were_found() -> None:
    assert {path.name for path in workflows.FILES} == {"ci.yml", "pins.yml", "release.yml"}
    assert len(STEPS) > 40


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.id)
def test_step_calls_a_session_that_takes_its_words(step: Step, tmp_path: Path) -> None:
    calls = called(step, tmp_path)
    assert len(calls) == 1
    first, session, *rest = calls[0]
    assert first == "-s"
    assert session in sessions()
    if not rest:
        return
    assert rest[0] == "--"
    read(session, rest[1:])


@pytest.mark.parametrize(("file", "name", "job"), JOBS, ids=[f"{row[0]}: {row[1]}" for row in JOBS])
def test_job_may_little_and_ends_in_time(file: str, name: str, job: Mapping[str, Any]) -> None:
    assert workflows.load(workflows.FOLDER / file)["permissions"] == {}
    writes = {key for key, value in job["permissions"].items() if value != "read"}
    if (file, name) not in {("release.yml", "release"), ("pins.yml", "pins")}:
        assert not writes
    if "uses" not in job:
        assert job["timeout-minutes"] <= 180


@pytest.mark.parametrize("path", workflows.FILES, ids=lambda path: path.name)
def test_workflow_is_one_run_at_a_time(path: Path) -> None:
    group = workflows.load(path)["concurrency"]
    # A release that has begun to upload is not to be stopped by the next push.
    assert group["cancel-in-progress"] is (path.name == "ci.yml")


USES = [
    (path.name, line.strip())
    for path in (*workflows.FILES, *workflows.ACTIONS)
    for line in path.read_text(encoding="utf-8").splitlines()
    if re.match(r"\s*(- )?uses: (?![.$]/)", line)
]


@pytest.mark.parametrize(("file", "line"), USES, ids=[f"{file}: {line}" for file, line in USES])
def test_action_is_pinned_by_commit_with_its_version(file: str, line: str) -> None:
    found = re.fullmatch(r"uses: ([\w/-]+)@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)
    assert found and found[1] in ACTIONS


def test_action_has_one_version_in_all_workflows() -> None:
    pins: dict[str, set[str]] = {}
    for _, line in USES:
        name, _, version = line.removeprefix("uses: ").partition("@")
        pins.setdefault(name, set()).add(version)
    assert all(len(versions) == 1 for versions in pins.values()), pins


def test_job_that_calls_sessions_sets_them_up_in_the_one_way() -> None:
    for file, name, job in JOBS:
        uses = [step.get("uses", "") for step in job.get("steps", [])]
        assert "uses" in job or uses[1] == SETUP, f"{file}: {name}"
    (action,) = workflows.ACTIONS
    assert action == ROOT / SETUP.removeprefix("$/") / "action.yml"
    (run,) = (step["run"] for step in workflows.load(action)["runs"]["steps"] if "run" in step)
    # By the hashes of its lock file: nothing is installed by its version alone.
    assert run == "./nox --version"
    assert "--require-hashes" in (ROOT / "nox").read_text(encoding="utf-8")


def test_checkouts_leave_no_token_behind() -> None:
    for file, name, job in JOBS:
        for step in job.get("steps", []):
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False, f"{file}: {name}"


def test_release_takes_its_matrix_from_the_plan() -> None:
    text = (workflows.FOLDER / "release.yml").read_text(encoding="utf-8")
    plan = workflows.planned()
    for bundle in plan["bundles"]:
        assert bundle["id"] not in text
        assert bundle["file"] not in text
        assert not re.search(rf"\b{bundle['model']}\b", text)
    assert "actions/cache" not in text
    assert "cache: pip" not in text
    made = {step.job for step in STEPS if step.job.startswith("bundle (") and step.name == "Build"}
    assert made == {f"bundle ({bundle['id']})" for bundle in plan["bundles"]}
    runners = {step.job: step.runner for step in STEPS if step.workflow == "release.yml"}
    for bundle in plan["bundles"]:
        assert runners[f"bundle ({bundle['id']})"] == bundle["runner"]


def test_last_job_of_a_release_waits_for_all_others() -> None:
    jobs = workflows.load(workflows.FOLDER / "release.yml")["jobs"]
    assert set(jobs["release"]["needs"]) == set(jobs) - {"release"}
