"""Provenance: the shape that in-toto and SLSA ask for, and only what is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fastjsonschema  # type: ignore[import-untyped]
import pytest

from tasks.release import artefacts, plan, provenance, split
from tasks.release.plan import Choice, Job
from tests.support.releases import COMMIT, artefact, bundle, put

DIGEST = {
    "type": "object",
    "minProperties": 1,
    "propertyNames": {"enum": ["sha256", "gitCommit"]},
    "additionalProperties": {"type": "string", "pattern": "^([0-9a-f]{64}|[0-9a-f]{40})$"},
}
# Of the in-toto attestation framework (Statement v1, ResourceDescriptor) and SLSA (Provenance v1).
DESCRIPTOR = {
    "type": "object",
    "required": ["digest"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "uri": {"type": "string", "pattern": r"^[a-z][a-z+]*:\S+$"},
        "digest": DIGEST,
        "annotations": {"type": "object"},
    },
}
SCHEMA = {
    "type": "object",
    "required": ["_type", "subject", "predicateType", "predicate"],
    "additionalProperties": False,
    "properties": {
        "_type": {"const": "https://in-toto.io/Statement/v1"},
        "predicateType": {"const": "https://slsa.dev/provenance/v1"},
        "subject": {
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": {**DESCRIPTOR, "required": ["name", "digest"]},
        },
        "predicate": {
            "type": "object",
            "required": ["buildDefinition", "runDetails"],
            "additionalProperties": False,
            "properties": {
                "buildDefinition": {
                    "type": "object",
                    "required": ["buildType", "externalParameters"],
                    "additionalProperties": False,
                    "properties": {
                        "buildType": {"type": "string", "pattern": r"^[a-z]+:\S+$"},
                        "externalParameters": {"type": "object", "minProperties": 1},
                        "internalParameters": {"type": "object"},
                        "resolvedDependencies": {"type": "array", "items": DESCRIPTOR},
                    },
                },
                "runDetails": {
                    "type": "object",
                    "required": ["builder"],
                    "additionalProperties": False,
                    "properties": {
                        "builder": {
                            "type": "object",
                            "required": ["id"],
                            "properties": {"id": {"type": "string", "pattern": r"^[a-z]+:\S+$"}},
                        },
                        "metadata": {
                            "type": "object",
                            "properties": {"invocationId": {"type": "string"}},
                        },
                    },
                },
            },
        },
    },
}
valid = fastjsonschema.compile(SCHEMA)
GITHUB = {
    "GITHUB_REPOSITORY": "owner/name",
    "GITHUB_WORKFLOW_REF": "owner/name/.github/workflows/release.yml@refs/tags/v1",
    "GITHUB_RUN_ID": "7",
    "GITHUB_RUN_ATTEMPT": "2",
}


def job() -> Job:
    choice = Choice(("smollm2-135m",), ("python",), ("x86_64",))
    (found,) = plan.make(plan.Request(choice)).bundles
    return found


def statement(tmp_path: Path, environ: dict[str, str] | None = None, **options: Any) -> Any:
    found = artefact(tmp_path)
    line = provenance.render(found, options.get("job", job()), [], environ or {})
    assert "\n" not in line
    return valid(json.loads(line))


def dependencies(found: Any) -> dict[str, Any]:
    rows = found["predicate"]["buildDefinition"]["resolvedDependencies"]
    return {row["name"]: row for row in rows}


def test_statement_is_about_the_file(tmp_path: Path) -> None:
    found = artefact(tmp_path)
    assert statement(tmp_path)["subject"] == [
        {"name": found.name, "digest": {"sha256": found.sha256}}
    ]


def test_statement_is_about_the_parts_too(tmp_path: Path) -> None:
    found = artefact(tmp_path, content=bytes(4000))
    *parts, _ = split.split(found, 3000, 2000)
    out = provenance.write(found, job(), parts)
    assert out.name == f"{found.name}.intoto.jsonl"
    said = valid(json.loads(out.read_text()))
    assert [row["name"] for row in said["subject"]] == [found.name, *(p.name for p in parts)]


def test_statement_says_what_was_typed_and_what_went_in(tmp_path: Path) -> None:
    found = statement(tmp_path)
    definition = found["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["command"] == ["nox", "-s", *job().session]
    assert definition["internalParameters"]["inputs"] == {"program": "a" * 64}
    rows = dependencies(found)
    assert rows["sources"]["digest"] == {"gitCommit": COMMIT}
    assert rows["base image"]["digest"] == {"sha256": "b" * 64}
    assert rows["SmolLM2-135M-Instruct.Q4_1.gguf"]["digest"]["sha256"].startswith("b179c9523d0e")
    assert "docker/llama/Cargo.lock" in rows


def test_commit_with_changes_is_not_the_whole_truth(tmp_path: Path) -> None:
    put(tmp_path, bundle(), commit=f"{COMMIT}-modified")
    (found,) = artefacts.find(tmp_path)
    line = provenance.render(found, job(), [], {})
    sources = dependencies(valid(json.loads(line)))["sources"]
    assert sources["digest"] == {"gitCommit": COMMIT}
    assert sources["annotations"] == {"modified": True}


def test_nobody_vouches_for_a_build_outside_ci(tmp_path: Path) -> None:
    details = statement(tmp_path)["predicate"]["runDetails"]
    assert details == {"builder": {"id": "urn:tea-bundles:unsigned"}}


def test_workflow_is_the_builder_in_ci(tmp_path: Path) -> None:
    found = statement(tmp_path, GITHUB)
    details = found["predicate"]["runDetails"]
    assert details["builder"]["id"] == f"https://github.com/{GITHUB['GITHUB_WORKFLOW_REF']}"
    assert details["metadata"]["invocationId"].endswith("owner/name/actions/runs/7/attempts/2")
    assert dependencies(found)["sources"]["uri"] == "git+https://github.com/owner/name"


def test_statement_about_a_model_of_the_users_own_is_valid(tmp_path: Path) -> None:
    assert statement(tmp_path, job=None)["predicate"]["buildDefinition"]["externalParameters"]


def test_same_bundle_gives_the_same_line(tmp_path: Path) -> None:
    lines = {provenance.render(artefact(tmp_path / name), job(), [], {}) for name in "ab"}
    assert len(lines) == 1


@pytest.mark.parametrize("lost", ["GITHUB_WORKFLOW_REF", "GITHUB_RUN_ID"])
def test_half_an_identity_is_none(tmp_path: Path, lost: str) -> None:
    environ = {name: value for name, value in GITHUB.items() if name != lost}
    details = statement(tmp_path, environ)["predicate"]["runDetails"]
    assert details["builder"]["id"] == "urn:tea-bundles:unsigned"
