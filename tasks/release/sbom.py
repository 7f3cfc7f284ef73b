"""The bill of materials of one artefact: CycloneDX JSON, held to its schema.

Everything in it is read from the artefact, its record and the lock files. The same artefact gives
the same bytes: the serial number follows from its sha256, the time is that of its files.
"""

from __future__ import annotations

import re
import tomllib
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import (
    ExternalReference,
    ExternalReferenceType,
    HashAlgorithm,
    HashType,
    Property,
    XsUri,
)
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Commit, Component, ComponentType, Pedigree
from cyclonedx.model.license import DisjunctiveLicense, License
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from tasks import catalog
from tasks.base import files
from tasks.base.errors import CatalogError, SbomInvalid
from tasks.base.files import EPOCH
from tasks.base.paths import ROOT
from tasks.base.toml_table import read_tables
from tasks.release.artefacts import Artefact
from tasks.release.contents import Contents, Package
from tasks.release.plan import RELEASE
from tasks.release.web import WebPackage

LLAMA_LOCK = ROOT / "docker/llama/Cargo.lock"
RUST_LOCK = ROOT / "rust/Cargo.lock"
SUFFIX = ".cdx.json"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_ADDRESS = re.compile(r"https://\S+")


def write(artefact: Artefact, contents: Contents) -> Path:
    """Write the bill of ``artefact`` beside it.

    Raises:
        SbomInvalid: it is not what the schema asks for; nothing is written.
        CatalogError: release.toml describes another llama.cpp than the one that is locked.
    """
    components = [_package(package, artefact) for package in contents.packages]
    components.append(_llama())
    if artefact.model is not None:
        components.append(_model(artefact.model, contents.bundle))
    root = Component(
        name=artefact.name,
        version=catalog.version(),
        type=ComponentType.APPLICATION,
        bom_ref=artefact.name,
        licenses=_licenses("MIT"),
        hashes=_sha256(artefact.sha256),
        properties=_properties(implementation=artefact.impl, architecture=artefact.arch),
    )
    return publish(root, components, artefact.sha256, artefact.beside(SUFFIX))


def write_web(package: WebPackage) -> Path:
    """Write the bill of the package for browsers beside it; raises ``SbomInvalid``."""
    components = []
    for each in package.dependencies:
        scope, _, name = each.name.rpartition("/")
        purl = PackageURL(each.kind, scope or None, name, each.version)
        digests = []
        if each.digest is not None:
            digests.append(HashType(alg=HashAlgorithm(each.algorithm), content=each.digest))
        components.append(
            Component(
                name=name,
                group=scope or None,
                version=each.version,
                type=ComponentType.LIBRARY,
                bom_ref=str(purl),
                purl=purl,
                licenses=_licenses(each.license),
                hashes=digests,
            )
        )
    root = Component(
        name=package.path.name,
        version=catalog.version(),
        type=ComponentType.LIBRARY,
        bom_ref=package.path.name,
        licenses=_licenses("MIT"),
        hashes=_sha256(package.sha256),
    )
    return publish(root, components, package.sha256, package.beside(SUFFIX))


def publish(root: Component, components: Iterable[Component], sha256: str, out: Path) -> Path:
    """Write the bill of ``root``, whose digest is ``sha256``, to ``out``, once it is valid."""
    bom = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"sha256:{sha256}"),
        metadata=BomMetaData(component=root, timestamp=datetime.fromtimestamp(EPOCH, UTC)),
    )
    parts = list(components)
    for component in parts:
        bom.components.add(component)
    bom.register_dependency(root, parts)
    text = JsonV1Dot6(bom).output_as_string(indent=2)
    validate(text, out.name)
    with files.disk_errors(out.parent):
        files.write_text(out, text + "\n")
    return out


def validate(text: str, name: str) -> None:
    """Hold a bill to the strict schema of CycloneDX 1.6; raises ``SbomInvalid``."""
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if wrong is not None:
        first = str(wrong.data).splitlines()[0]
        raise SbomInvalid(
            f"{name}: not valid: {first}", hint="it is a mistake of ours: please report it"
        )


def _package(package: Package, artefact: Artefact) -> Component:
    purl = PackageURL(package.kind, None, package.name, package.version)
    facts = {"part": package.part}
    checksum = None
    if package.kind == "deb":
        debian = catalog.target(artefact.arch).debian
        purl = PackageURL("deb", "debian", package.name, package.version, {"arch": debian})
        facts["source"] = package.source
        facts["licenses"] = f"usr/share/licenses/{package.notice}"
    elif package.kind == "cargo":
        checksum = checksums(RUST_LOCK).get((package.name, package.version))
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.LIBRARY,
        bom_ref=f"{package.part}:{purl}",
        purl=purl,
        licenses=_licenses(package.license),
        hashes=_sha256(checksum),
        properties=_properties(**facts),
    )


def _llama() -> Component:
    """llama.cpp, which comes as a crate."""
    row = read_tables(RELEASE)["llama-cpp"]
    crate, version = row.text("crate"), row.text("version")
    repository = row.text("repository", _ADDRESS, "an https address")
    commit = row.text("commit", _COMMIT, "a commit of 40 hexadecimal digits")
    ggml, terms = row.text("ggml"), row.text("license")
    row.end()
    checksum = checksums(LLAMA_LOCK).get((crate, version))
    if checksum is None:
        raise CatalogError(
            f"release.toml: llama-cpp: {crate} {version} is not the one in docker/llama/Cargo.lock",
            hint="take version, commit and ggml from the crate that is locked",
        )
    purl = PackageURL("cargo", None, crate, version)
    source = Commit(
        uid=commit,
        url=XsUri(f"{repository}/tree/{commit}/llama-cpp-sys-2"),
        message="The submodule llama.cpp here names llama.cpp's own commit.",
    )
    return Component(
        name="llama.cpp",
        version=f"{crate}-{version}",
        type=ComponentType.LIBRARY,
        bom_ref=f"program:{purl}",
        purl=purl,
        licenses=_licenses(terms),
        hashes=_sha256(checksum),
        pedigree=Pedigree(commits=[source]),
        properties=_properties(ggml=ggml, licenses="usr/share/licenses/llama.cpp"),
    )


def _model(model: Mapping[str, object], bundle: Mapping[str, object]) -> Component:
    """The model, as the record and the bundle's own description say."""
    name, url = str(model["id"]), str(bundle.get("license_url") or "")
    references = [
        ExternalReference(type=ExternalReferenceType.LICENSE, url=XsUri(url)) if url else None
    ]
    return Component(
        name=name,
        version=str(model["sha256"])[:12],
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"model:{name}",
        description=str(bundle.get("title") or name),
        licenses=[_model_license(str(model["license"]), url)],
        hashes=_sha256(str(model["sha256"])),
        external_references=[reference for reference in references if reference],
        properties=_properties(
            file=str(model["file"]),
            size=str(model["size"]),
            source=str(model["source"]),
            licenses="usr/share/licenses/model",
        ),
    )


def _model_license(words: str, url: str) -> License:
    """Terms that are no SPDX licence keep their own name and address."""
    address = XsUri(url) if url else None
    if words.startswith("LicenseRef-"):
        return DisjunctiveLicense(name=words, url=address)
    return LicenseFactory().make_from_string(words, license_url=address)


def checksums(lock: Path) -> dict[tuple[str, str], str]:
    """The sha256 of every crate in a Cargo.lock that comes from a registry."""
    packages = tomllib.loads(lock.read_text(encoding="utf-8"))["package"]
    return {(row["name"], row["version"]): row["checksum"] for row in packages if "checksum" in row}


def _licenses(words: str) -> list[License]:
    """An SPDX licence or expression, or the words as they are; none for no words."""
    return [LicenseFactory().make_from_string(words)] if words else []


def _sha256(digest: str | None) -> list[HashType]:
    return [HashType(alg=HashAlgorithm.SHA_256, content=digest)] if digest else []


def _properties(**facts: str) -> list[Property]:
    return [Property(name=f"tea:{name}", value=value) for name, value in facts.items() if value]
