"""The plan: its contents follow from the tables, and its JSON keeps the documented shape."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tasks import catalog
from tasks.base import toml_table
from tasks.base.errors import CatalogError, UnknownName
from tasks.base.paths import ROOT
from tasks.build import sessions as builds
from tasks.fetch import ensure
from tasks.fetch.ensure import FetchOptions
from tasks.release import plan
from tasks.release.plan import Choice, Request

RELEASED = ("gemma3-1b", "phi4-mini", "gemma3n-e4b")


@pytest.fixture
def offline(tmp_path: Path) -> FetchOptions:
    """An empty store, and no network."""
    return FetchOptions(root=tmp_path / "models", offline=True, locked=True)


def made(tmp_path: Path, offline: FetchOptions, choice: Choice | None = None) -> plan.Plan:
    return plan.make(Request(choice or Choice(), dist=tmp_path / "dist"), offline)


def test_a_tag_makes_twelve_bundles_and_the_web_package(
    tmp_path: Path, offline: FetchOptions
) -> None:
    found = made(tmp_path, offline)
    assert {(job.impl, job.model, job.arch) for job in found.bundles} == {
        (impl, model, arch)
        for impl in ("python", "rust")
        for model in (*RELEASED, "thin")
        for arch in ("x86_64", "aarch64")
    }
    assert len(found.bundles) == len({job.id for job in found.bundles}) == 12 + 4
    assert found.web is not None
    assert found.web.file.endswith(f"{catalog.version()}.tgz")


def test_every_bundle_is_made_on_a_runner_of_its_architecture(
    tmp_path: Path, offline: FetchOptions
) -> None:
    for job in made(tmp_path, offline).bundles:
        assert job.runner == catalog.target(job.arch).runner
    assert len({row.runner for row in catalog.targets().values()}) == len(catalog.targets())


def test_sessions_of_the_plan_are_ones_that_build_that_bundle(
    tmp_path: Path, offline: FetchOptions
) -> None:
    for job in made(tmp_path, offline).bundles:
        name, dashes, *words = job.session
        request = builds.request(name, words)
        assert dashes == "--"
        assert request.options.impls == (job.impl,)
        if job.model == "thin":
            assert (name, request.thin, request.archs) == ("build", True, (job.arch,))
        else:
            assert name == f"build-{job.model}-{job.arch}"
        assert not any(" " in word for word in (*job.session, *job.smoke))


def test_what_a_choice_names_is_planned_alone(tmp_path: Path, offline: FetchOptions) -> None:
    found = made(tmp_path, offline, Choice(("smollm2-135m",), ("rust",)))
    assert [job.id for job in found.bundles] == [
        "rust-smollm2-135m-x86_64",
        "rust-smollm2-135m-aarch64",
    ]
    assert found.web is None


def test_a_name_that_no_table_has_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName) as caught:
        plan.request(["--model", "gemma3-1"])
    assert "gemma3-1b" in caught.value.hint


@pytest.mark.parametrize(("size", "parts"), [
    (1, 1), (2_147_483_647, 1), (2_147_483_648, 2), (4_000_000_000, 2), (4_000_000_001, 3),
])  # fmt: skip
def test_a_file_is_split_when_an_asset_cannot_hold_it(size: int, parts: int) -> None:
    assert plan.parts_of(size) == parts


def test_the_largest_model_is_split_and_the_others_are_not(
    tmp_path: Path, offline: FetchOptions
) -> None:
    split = {job.model for job in made(tmp_path, offline).bundles if job.split}
    assert split == {"gemma3n-e4b"}


def test_a_bundle_without_a_model_has_none_among_its_inputs(
    tmp_path: Path, offline: FetchOptions
) -> None:
    jobs = made(tmp_path, offline, Choice(("thin",))).bundles
    assert len(jobs) == 4
    assert all(job.inputs["model"] is None and job.size < 50e6 for job in jobs)


def test_a_finished_bundle_is_measured(tmp_path: Path, offline: FetchOptions) -> None:
    choice = Choice(("smollm2-135m",), ("python",), ("x86_64",))
    (before,) = made(tmp_path, offline, choice).bundles
    assert (before.exact, before.cached.bundle) == (False, False)
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / before.file).write_bytes(b"12345")
    assert not made(tmp_path, offline, choice).bundles[0].cached.bundle  # it has no record
    (tmp_path / "dist" / before.file).with_suffix(".json").write_text("{}")
    (after,) = made(tmp_path, offline, choice).bundles
    assert (after.size, after.exact, after.cached.bundle) == (5, True, True)


def test_inputs_carry_the_digests_that_are_written_down(
    tmp_path: Path, offline: FetchOptions
) -> None:
    (job,) = made(tmp_path, offline, Choice(("smollm2-135m",), ("rust",), ("aarch64",))).bundles
    assert job.inputs["model"]["sha256"] == catalog.model("smollm2-135m").sha256
    assert job.inputs["base_image"]["digest"] == catalog.images()["build"].digest
    assert set(job.inputs["locks"]) == {"rust/Cargo.lock", "docker/llama/Cargo.lock"}
    assert ensure.stored(catalog.model("smollm2-135m"), offline) is None
    assert not job.cached.model


def test_json_is_one_line_with_the_keys_that_the_document_lists(
    tmp_path: Path, offline: FetchOptions
) -> None:
    text = plan.as_json(made(tmp_path, offline))
    assert "\n" not in text
    document = (ROOT / "docs/plan.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`[^|]*) \|", document, re.M))))
    facts = json.loads(text)
    assert listed == set(facts) | set(facts["bundles"][0])
    assert all(set(job) == set(facts["bundles"][0]) for job in facts["bundles"])


def test_job_that_publishes_has_room_for_all_bundles(tmp_path: Path, offline: FetchOptions) -> None:
    whole = made(tmp_path, offline)
    size = sum(job.size for job in whole.bundles) + max(job.size for job in whole.bundles)
    assert size <= whole.disk_gb * 10**9 <= size + 4 * 10**9


def test_plan_goes_to_a_file_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "plan.json"
    plan.show(plan.request(["--json", str(file), "--model", "smollm2-135m"]))
    assert len(json.loads(file.read_text())["bundles"]) == 4
    assert capsys.readouterr().out == ""
    assert list(tmp_path.iterdir()) == [file]


def test_plan_goes_to_stdout_alone(capsys: pytest.CaptureFixture[str]) -> None:
    plan.show(plan.request(["--json", "--model", "smollm2-135m", "--arch", "x86_64"]))
    assert len(json.loads(capsys.readouterr().out)["bundles"]) == 2


def test_table_names_every_artefact(capsys: pytest.CaptureFixture[str]) -> None:
    plan.show(plan.request([]))
    said = capsys.readouterr().out
    for job in plan.make(Request()).bundles:
        assert re.search(rf"{re.escape(job.file)} +{job.runner} ", said)


def test_release_is_true_or_false_in_a_row() -> None:
    row = toml_table.TomlRow("models.toml: x", {"release": "yes"})
    with pytest.raises(CatalogError, match=r"models.toml: x.release: expected true or false"):
        row.flag("release")
