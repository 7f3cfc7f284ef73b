"""Bills of materials: valid, complete, the same for the same bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasks import catalog
from tasks.base.errors import CatalogError, SbomInvalid
from tasks.release import plan, sbom
from tasks.release.contents import Contents, Package
from tests.support.releases import COMMIT, PACKAGES, artefact, bundle, contents


def bill(tmp_path: Path, model: str | None = "smollm2-135m", arch: str = "x86_64") -> Any:
    of = bundle(model=model, arch=arch)
    out = sbom.write(artefact(tmp_path, of), contents(of))
    text = out.read_text()
    sbom.validate(text, out.name)
    return json.loads(text)


def by_name(found: Any) -> dict[str, Any]:
    return {component["name"]: component for component in found["components"]}


def properties(component: Any) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in component["properties"]}


def test_bill_names_the_file_and_its_digest(tmp_path: Path) -> None:
    found = artefact(tmp_path)
    root = bill(tmp_path)["metadata"]["component"]
    assert root["name"] == root["bom-ref"] == found.name
    assert root["hashes"] == [{"alg": "SHA-256", "content": found.sha256}]
    assert properties(root) == {"tea:implementation": "python", "tea:architecture": "x86_64"}


def test_everything_that_others_made_is_a_component(tmp_path: Path) -> None:
    found = bill(tmp_path)
    names = {package.name for package in PACKAGES}
    assert set(by_name(found)) == names | {"llama.cpp", "smollm2-135m"}
    edges = {entry["ref"]: entry.get("dependsOn", []) for entry in found["dependencies"]}
    refs = {component["bom-ref"] for component in found["components"]}
    assert set(edges[found["metadata"]["component"]["name"]]) == refs


def test_packages_have_their_urls_licences_and_places(tmp_path: Path) -> None:
    found = by_name(bill(tmp_path, arch="aarch64"))
    assert found["libc6"]["purl"] == "pkg:deb/debian/libc6@2.41-12?arch=arm64"
    assert properties(found["libc6"])["tea:licenses"] == "usr/share/licenses/debian-libc6"
    assert properties(found["libc6"])["tea:source"] == "glibc 2.41-12"
    assert found["jinja2"]["purl"] == "pkg:pypi/jinja2@3.1.6"
    assert found["jinja2"]["licenses"] == [{"license": {"id": "BSD-3-Clause"}}]
    assert found["serde"]["licenses"] == [{"expression": "MIT OR Apache-2.0"}]
    fuse = properties(found["libfuse3-dev"])
    assert fuse["tea:part"] == "runtime"
    assert fuse["tea:licenses"] == "usr/share/licenses/runtime/debian-libfuse3-dev"


def test_crates_have_the_digests_of_the_lock(tmp_path: Path) -> None:
    locked = sbom.checksums(sbom.RUST_LOCK)
    (name, version), digest = next(iter(locked.items()))
    of = bundle("rust")
    found = Contents((Package("cargo", name, version, "MIT"),), {}, {})
    text = sbom.write(artefact(tmp_path, of), found).read_text()
    assert by_name(json.loads(text))[name]["hashes"] == [{"alg": "SHA-256", "content": digest}]


def test_llama_cpp_comes_with_the_commit_that_names_its_own(tmp_path: Path) -> None:
    found = by_name(bill(tmp_path))["llama.cpp"]
    commit = found["pedigree"]["commits"][0]
    assert len(commit["uid"]) == 40 and commit["uid"] in commit["url"]
    assert found["hashes"][0]["content"] in sbom.LLAMA_LOCK.read_text()
    assert properties(found)["tea:ggml"]


def test_row_of_an_unlocked_llama_cpp_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = plan.RELEASE.read_text().replace('version = "0.1.161"', 'version = "0.1.160"')
    other = tmp_path / "release.toml"
    other.write_text(text)
    monkeypatch.setattr(sbom, "RELEASE", other)
    with pytest.raises(CatalogError, match="is not the one in docker/llama"):
        bill(tmp_path / "dist")


def test_model_comes_with_digest_terms_and_their_address(tmp_path: Path) -> None:
    row = catalog.model("gemma3-270m")
    found = by_name(bill(tmp_path, "gemma3-270m"))["gemma3-270m"]
    assert found["type"] == "machine-learning-model"
    assert found["hashes"] == [{"alg": "SHA-256", "content": row.sha256}]
    assert found["licenses"] == [{"license": {"name": row.license, "url": row.license_url}}]
    assert found["externalReferences"] == [{"type": "license", "url": row.license_url}]


@pytest.mark.parametrize("model", list(catalog.models()))
def test_bills_of_all_models_are_valid(tmp_path: Path, model: str) -> None:
    assert model in by_name(bill(tmp_path, model))


def test_bundle_without_a_model_has_none_in_its_bill(tmp_path: Path) -> None:
    kinds = {component["type"] for component in bill(tmp_path, None)["components"]}
    assert kinds == {"library"}


def test_same_bundle_gives_the_same_bytes(tmp_path: Path) -> None:
    texts = {sbom.write(artefact(tmp_path / name), contents()).read_bytes() for name in "ab"}
    assert len(texts) == 1
    assert COMMIT.encode() not in texts.pop()


def test_bill_that_is_not_valid_is_refused() -> None:
    with pytest.raises(SbomInvalid, match="x: not valid"):
        sbom.validate('{"bomFormat": "CycloneDX", "specVersion": "1.6", "more": 1}', "x")
