"""The package for browsers in a release: found, described, and its locks read."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from tasks.base.errors import ReleaseError
from tasks.release import licenses, plan, provenance, sbom, web
from tasks.release.web import WebPackage

FILES = {
    "package/package.json": b"{}",
    "package/LICENSE": b"MIT",
    "package/dist/index.js": b"code",
    "package/licenses/idb": b"ISC",
}


def packed(dist: Path) -> WebPackage:
    dist.mkdir(exist_ok=True)
    planned = plan.make(plan.Request(dist=dist)).web
    assert planned is not None
    with tarfile.open(dist / planned.file, "w:gz") as archive:
        for name, content in FILES.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    found = web.find(dist, planned)
    assert found is not None
    return found


def test_package_is_found_where_it_was_made(tmp_path: Path) -> None:
    planned = plan.make(plan.Request(dist=tmp_path)).web
    assert web.find(tmp_path, planned) is None
    assert packed(tmp_path).path.name.startswith("tea-wasm-llm-")


def test_a_file_that_is_no_package_is_refused(tmp_path: Path) -> None:
    found = packed(tmp_path)
    found.path.write_bytes(b"no archive")
    with pytest.raises(ReleaseError, match="not a package"):
        web.find(tmp_path, found.plan)


def test_bill_names_what_npm_and_cargo_have_locked(tmp_path: Path) -> None:
    found = packed(tmp_path)
    text = sbom.write_web(found).read_text()
    sbom.validate(text, "x")
    components = {row["purl"]: row for row in json.loads(text)["components"]}
    lock = json.loads(web.NPM_LOCK.read_text())["packages"]
    wllama = lock["node_modules/@wllama/wllama"]
    row = components[f"pkg:npm/%40wllama/wllama@{wllama['version']}"]
    assert row["hashes"][0]["alg"] == "SHA-512" and len(row["hashes"][0]["content"]) == 128
    assert row["licenses"] == [{"license": {"id": "MIT"}}]
    names = {row["name"] for purl, row in components.items() if purl.startswith("pkg:npm/")}
    assert names == {"wllama", "hash-wasm", "idb"}
    assert "node_modules/typescript" in lock
    assert not any(purl.startswith("pkg:npm/typescript@") for purl in components)
    assert any(purl.startswith("pkg:cargo/wasm-bindgen@") for purl in components)
    assert not any(purl.startswith("pkg:cargo/tea-") for purl in components)


def test_npm_packages_are_what_modules_import_and_need(tmp_path: Path) -> None:
    (tmp_path / "ts").mkdir()
    (tmp_path / "ts/a.ts").write_text(
        "import { a } from '@scope/a/esm/index.js';\nconst b = await import(\"b\");\n"
        "import './c.js';\n"
    )
    packages = {
        "": {},
        "node_modules/@scope/a": {"version": "1.0.0", "dependencies": {"d": "^2"}},
        "node_modules/b": {"version": "1.1.0", "integrity": "sha512-AAAA", "license": "MIT"},
        "node_modules/d": {"version": "2.0.0", "dependencies": {"@scope/a": "1"}},
        "node_modules/tool": {"version": "3.0.0"},
    }
    lock = tmp_path / "package-lock.json"
    lock.write_text(json.dumps({"packages": packages}))
    found = list(web.npm(lock, tmp_path / "ts"))
    assert [(each.name, each.version) for each in found] == [
        ("@scope/a", "1.0.0"),
        ("b", "1.1.0"),
        ("d", "2.0.0"),
    ]
    assert (found[1].algorithm, found[1].digest, found[1].license) == ("SHA-512", "000000", "MIT")
    del packages["node_modules/d"]
    lock.write_text(json.dumps({"packages": packages}))
    with pytest.raises(ReleaseError, match="does not have d"):
        list(web.npm(lock, tmp_path / "ts"))


def test_crates_are_those_that_the_package_needs_and_no_others(tmp_path: Path) -> None:
    lock = tmp_path / "Cargo.lock"
    lock.write_text(
        "".join(
            f'[[package]]\nname = "{name}"\nversion = "{version}"\n{rest}\n'
            for name, version, rest in (
                ("root", "0.1.0", 'dependencies = ["a", "b 2.0.0"]'),
                ("a", "1.0.0", f'checksum = "{"a" * 64}"\ndependencies = ["b 1.0.0"]'),
                ("b", "1.0.0", f'checksum = "{"b" * 64}"'),
                ("b", "2.0.0", f'checksum = "{"c" * 64}"\ndependencies = ["a"]'),
                ("b", "3.0.0", f'checksum = "{"d" * 64}"'),
                ("other", "1.0.0", f'checksum = "{"e" * 64}"'),
            )
        )
    )
    found = [(each.name, each.version) for each in web.crates(lock, "root")]
    assert found == [("a", "1.0.0"), ("b", "1.0.0"), ("b", "2.0.0")]


def test_statement_names_the_package_and_its_locks(tmp_path: Path) -> None:
    found = packed(tmp_path)
    line = json.loads(provenance.write_web(found).read_text())
    assert line["subject"] == [{"name": found.path.name, "digest": {"sha256": found.sha256}}]
    rows = line["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert {"rust/Cargo.lock", "web/package-lock.json"} <= {row["name"] for row in rows}


def test_licences_of_the_package_are_collected(tmp_path: Path) -> None:
    texts = licenses.collect([], packed(tmp_path))
    assert set(texts) == {"LICENSE", "web/LICENSE", "web/licenses/idb"}
