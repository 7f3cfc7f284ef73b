"""A release of real bundles: what is in the files, and that they do what they promise.

The bundles are those that the other tests build; they are given other names in another folder.
"""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tasks import catalog
from tasks.base.errors import ReleaseIncomplete
from tasks.base.paths import ROOT
from tasks.build.bundle import Options, build
from tasks.fetch.ensure import FetchOptions, StoredModel
from tasks.release import assemble, sbom
from tasks.release.assemble import Limits, Request
from tasks.release.plan import Choice
from tests.integration.conftest import MODEL, TARGET

pytestmark = pytest.mark.integration

PARTS = Limits(asset=100_000_000, part=40_000_000)  # bytes: the model alone takes 98 million


@dataclass(frozen=True)
class Made:
    """A folder with a release in it, and the bundles that it was made from."""

    dist: Path
    python: Path
    rust: Path

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(words, cwd=self.dist, capture_output=True, text=True, check=False)

    def listed(self) -> list[str]:
        lines = (self.dist / "SHA256SUMS").read_text().splitlines()
        return [line.split("  ")[1] for line in lines]

    def bill(self, file: Path) -> dict[str, Any]:
        """The bill of materials by the names of its components."""
        text = (self.dist / f"{file.name}.cdx.json").read_text()
        sbom.validate(text, file.name)
        return {row["name"]: row for row in json.loads(text)["components"]}

    def again(self, limits: Limits | None = None, *, parts_only: bool = False) -> dict[str, bytes]:
        """Make it once more; returns the files, those that are only linked left out."""
        assemble.run(Request(parts_only=parts_only, options=Options(dist=self.dist)), limits)
        return {
            path.name: path.read_bytes()
            for path in self.dist.iterdir()
            if path.name[0] != "." and path.suffix not in (".AppImage", ".json", ".zsync")
        }


@pytest.fixture(scope="module")
def made(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    (rust,) = build(MODEL, TARGET.arch, Options(impls=("rust",)))
    dist = tmp_path_factory.mktemp("dist")
    for path in (bundle, rust):
        os.link(path, dist / path.name)
        os.link(path.with_suffix(".json"), (dist / path.name).with_suffix(".json"))
    assemble.run(Request(options=Options(dist=dist)))
    return Made(dist, dist / bundle.name, dist / rust.name)


def test_sha256sum_takes_the_list(made: Made) -> None:
    done = made.run("sha256sum", "-c", "--strict", "SHA256SUMS")
    assert done.returncode == 0
    assert done.stdout.count(": OK\n") == len(made.listed()) == 9


def test_every_file_of_a_bundle_is_listed(made: Made) -> None:
    for path in (made.python, made.rust):
        names = {path.name, f"{path.name}.zsync", f"{path.name}.cdx.json"}
        assert {*names, f"{path.name}.intoto.jsonl"} <= set(made.listed())


def test_bill_of_the_python_bundle_has_all_that_others_made(made: Made, model: StoredModel) -> None:
    found = made.bill(made.python)
    assert {"libc6", "jinja2", "llama-cpp-python", "libfuse3-dev", "libsquashfuse-dev",
            "libzstd-dev", "llama.cpp"} <= set(found)  # fmt: skip
    others = [row.get("purl", "") for name, row in found.items() if name != "llama.cpp"]
    assert not any(purl.startswith("pkg:cargo/") for purl in others)
    assert found[MODEL.id]["hashes"] == [{"alg": "SHA-256", "content": model.sha256}]
    locked = (ROOT / "docker/python/requirements.txt").read_text()
    for name, row in found.items():
        if row.get("purl", "").startswith("pkg:pypi/") and name != "llama-cpp-python":
            assert f"{name}=={row['version']}" in locked.lower().replace("_", "-"), name


def test_bill_of_the_rust_bundle_has_all_that_others_made(made: Made) -> None:
    found = made.bill(made.rust)
    assert {"libc6", "minijinja", "libstd-rust-web-dev", "libfuse3-dev", "llama.cpp"} <= set(found)
    crates = [row for row in found.values() if row.get("purl", "").startswith("pkg:cargo/")]
    assert len(crates) > 20
    assert all(row["hashes"] and row["licenses"] for row in crates)


def test_provenance_is_about_the_file_and_signed_by_nobody(made: Made) -> None:
    line = json.loads((made.dist / f"{made.rust.name}.intoto.jsonl").read_text())
    digest = line["subject"][0]["digest"]["sha256"]
    assert f"{digest}  {made.rust.name}\n" in (made.dist / "SHA256SUMS").read_text()
    record = json.loads(made.rust.with_suffix(".json").read_text())
    definition = line["predicate"]["buildDefinition"]
    assert definition["internalParameters"]["inputs"] == record["inputs"]
    if "GITHUB_RUN_ID" not in os.environ:
        assert line["predicate"]["runDetails"]["builder"]["id"] == "urn:tea-bundles:unsigned"


def test_all_licences_are_in_the_archive(made: Made) -> None:
    with tarfile.open(made.dist / f"tea-licenses-{catalog.version()}.tar.xz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for impl in ("python", "rust"):
        place = f"programs/{impl}-{TARGET.arch}"
        assert {f"{place}/debian-libc6", f"{place}/llama.cpp"} <= names
        assert f"{place}/runtime/debian-libfuse3-dev" in names
    assert f"models/{MODEL.id}/apache-2.0.txt" in names


def test_notes_have_both_bundles(made: Made) -> None:
    text = (made.dist / "RELEASE_NOTES.md").read_text()
    for path in (made.python, made.rust):
        assert f"| `{path.name}` | {MODEL.title} |" in text


def test_bundle_in_parts_is_joined_to_the_very_file_and_runs(made: Made) -> None:
    before = made.again()
    whole = {path: path.read_bytes() for path in (made.python, made.rust)}
    try:
        made.again(PARTS, parts_only=True)
        assert made.rust.name not in made.listed()
        assert f"{made.rust.name}.part03" in made.listed()
        assert not any(path.exists() for path in whole)
        assert made.run("sha256sum", "-c", "--strict", "SHA256SUMS").returncode == 0
        for path, content in whole.items():
            assert made.run("sh", f"{path.name}.join.sh").returncode == 0
            assert path.read_bytes() == content
        version = made.run(str(made.rust), "--appimage-version")
        assert version.returncode == 0
    finally:
        for path, content in whole.items():
            path.unlink(missing_ok=True)  # it may be another name of the bundle in dist/
            path.write_bytes(content)
            path.chmod(0o755)
    # The same bundles give the same bytes, and nothing of the parts is left.
    assert made.again() == before


def test_list_of_an_earlier_release_is_gone_when_a_bundle_fails(tmp_path: Path) -> None:
    sums = tmp_path / "SHA256SUMS"
    sums.touch()
    choice = Choice(("gemma3-1b",), ("rust",), (TARGET.arch,))
    fetch = FetchOptions(root=tmp_path / "models", offline=True)
    with pytest.raises(ReleaseIncomplete, match=f"rust-gemma3-1b-{TARGET.arch}"):
        assemble.run(
            Request(build=True, choice=choice, options=Options(dist=tmp_path, fetch=fetch))
        )
    assert not sums.exists()
