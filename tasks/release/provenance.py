"""Where a bundle came from: an in-toto statement with SLSA's provenance, one line of JSON.

Nobody signs it here: it is what the build says of itself, and a bare statement without an
envelope shows that. Where CI has an identity, `actions/attest` signs for the same files.

Sources: in-toto attestation framework, Statement v1; SLSA, Provenance v1.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks import catalog
from tasks.base import files, git
from tasks.base.files import EPOCH
from tasks.build import updates
from tasks.release.artefacts import Artefact
from tasks.release.plan import Job
from tasks.release.web import WebPackage

SUFFIX = ".intoto.jsonl"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:tea-bundles:session:v1"  # docs/artefacts.md describes it
UNSIGNED = "urn:tea-bundles:unsigned"  # the builder, where nobody vouches for one


def write(artefact: Artefact, job: Job | None, parts: Iterable[Path]) -> Path:
    """Write the statement about ``artefact`` and its ``parts`` beside it.

    ``job`` is its place in the plan; None for a model that no table has.
    """
    return _publish(artefact.beside(SUFFIX), render(artefact, job, parts))


def write_web(package: WebPackage) -> Path:
    """Write the statement about the package for browsers beside it."""
    repository = updates.repository()
    line = _statement(
        subjects=[(package.path.name, package.sha256)],
        external={
            "command": ["nox", "-s", *package.plan.session],
            "version": catalog.version(),
        },
        internal={},
        dependencies=[
            *_sources(git.commit(), repository),
            *_locks(package.plan.inputs["locks"]),
        ],
        environ=os.environ,
    )
    return _publish(package.beside(SUFFIX), line)


def _publish(out: Path, line: str) -> Path:
    with files.disk_errors(out.parent):
        files.write_text(out, line + "\n")
    return out


def render(
    artefact: Artefact,
    job: Job | None,
    parts: Iterable[Path],
    environ: Mapping[str, str] = os.environ,
) -> str:
    """The statement's one line."""
    record = artefact.record
    return _statement(
        subjects=[
            (artefact.name, artefact.sha256),
            *((part.name, files.sha256_of(part)) for part in parts),
        ],
        external={
            "command": ["nox", "-s", *job.session] if job else ["nox", "-s", "build"],
            "implementation": artefact.impl,
            "architecture": artefact.arch,
            "model": artefact.model["id"] if artefact.model else None,
            "version": record["version"],
        },
        internal={
            "SOURCE_DATE_EPOCH": EPOCH,
            "content": record["content"],
            "inputs": record["inputs"],
        },
        dependencies=_dependencies(record, job, updates.repository(environ)),
        environ=environ,
    )


def _statement(
    subjects: Iterable[tuple[str, str]],
    external: Mapping[str, Any],
    internal: Mapping[str, Any],
    dependencies: Sequence[Mapping[str, Any]],
    environ: Mapping[str, str],
) -> str:
    repository = updates.repository(environ)
    statement = {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in subjects],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": external,
                "internalParameters": internal,
                "resolvedDependencies": dependencies,
            },
            "runDetails": _run_details(repository, environ),
        },
    }
    return json.dumps(statement, separators=(",", ":"))


def _dependencies(
    record: Mapping[str, Any], job: Job | None, repository: str | None
) -> list[dict[str, Any]]:
    """Everything that went in and has a digest."""
    found = _sources(record.get("commit"), repository)
    base = record["base_image"]
    found.append(
        {
            "name": "base image",
            "uri": f"docker://{base['reference']}",
            "digest": {"sha256": str(base["id"]).removeprefix("sha256:")},
            "annotations": {"origin": base["origin"]},
        }
    )
    if model := record["model"]:
        annotations = {"source": model["source"], "revision": model["revision"]}
        found.append(
            {
                "name": model["file"],
                "digest": {"sha256": model["sha256"]},
                "annotations": {key: value for key, value in annotations.items() if value},
            }
        )
    return found + _locks(job.inputs["locks"] if job else {})


def _sources(commit: str | None, repository: str | None) -> list[dict[str, Any]]:
    if commit is None:
        return []
    number, _, modified = commit.partition("-")
    sources: dict[str, Any] = {"name": "sources", "digest": {"gitCommit": number}}
    if repository:
        sources["uri"] = f"git+https://github.com/{repository}"
    if modified:  # the commit is not the whole truth
        sources["annotations"] = {"modified": True}
    return [sources]


def _locks(locks: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in locks.items()]


def _run_details(repository: str | None, environ: Mapping[str, str]) -> dict[str, Any]:
    """Who ran the build: GitHub's workflow, or nobody who could be named."""
    workflow, run = environ.get("GITHUB_WORKFLOW_REF"), environ.get("GITHUB_RUN_ID")
    if not (workflow and run and repository):
        return {"builder": {"id": UNSIGNED}}
    attempt = environ.get("GITHUB_RUN_ATTEMPT", "1")
    return {
        "builder": {"id": f"https://github.com/{workflow}"},
        "metadata": {
            "invocationId": f"https://github.com/{repository}/actions/runs/{run}/attempts/{attempt}"
        },
    }
