"""Finished bundles as a release finds them: a file that reads as an AppImage, and its record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tasks import catalog
from tasks.build import pack
from tasks.catalog import Bundle
from tasks.release import artefacts
from tasks.release.artefacts import Artefact
from tasks.release.contents import Contents, Package
from tests.support.packing import RUNTIME, squashfs

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PACKAGES = (
    Package("deb", "libc6", "2.41-12", source="glibc 2.41-12"),
    Package("pypi", "jinja2", "3.1.6", "BSD-3-Clause"),
    Package("cargo", "serde", "1.0.228", "MIT OR Apache-2.0"),
    Package("deb", "libfuse3-dev", "3.17.2-3", source="fuse3 3.17.2-3", part="runtime"),
)
NOTICES = {
    "llama.cpp": b"MIT",
    "debian-libc6": b"LGPL",
    "model/terms.txt": b"terms",
    "runtime/debian-libfuse3-dev": b"LGPL",
}


def bundle(
    impl: str = "python", model: str | None = "smollm2-135m", arch: str = "x86_64"
) -> Bundle:
    """A bundle of the tables; ``model`` None is a thin one."""
    return Bundle(impl, catalog.model(model) if model else None, catalog.target(arch))


def put(dist: Path, of: Bundle, content: bytes = b"content", **record: Any) -> Path:
    """Write an AppImage and its record, as a build leaves them; ``record`` overrides keys of it."""
    dist.mkdir(exist_ok=True)
    path = dist / of.file_name(catalog.version())
    path.write_bytes(RUNTIME + squashfs(content))
    facts = {
        "file": path.name,
        "version": catalog.version(),
        "implementation": of.impl,
        "architecture": of.target.arch,
        "model": of.model
        and {
            "id": of.model.id,
            "file": of.model.file,
            "sha256": of.model.sha256 or "f" * 64,
            "size": 98_362_432,
            "source": of.model.sources[0].label,
            "revision": None,
            "license": of.model.license,
            "license_url": of.model.license_url,
            "context": of.model.context,
        },
        "size": path.stat().st_size,
        "content": pack.read(path).digest,
        "update_information": "",
        "commit": COMMIT,
        "memory": {
            "repacked": 99_975_168,
            "cache": 188_743_680,
            "compute": 39_518_208,
            "program": 21_178_745,
        },
        "inputs": {"program": "a" * 64},
        "base_image": {"reference": "debian:x", "origin": "stand-in", "id": "sha256:" + "b" * 64},
        **record,
    }
    path.with_suffix(".json").write_text(json.dumps(facts), encoding="utf-8")
    return path


def artefact(dist: Path, of: Bundle | None = None, content: bytes = b"content") -> Artefact:
    """One finished bundle, found again."""
    path = put(dist, of or bundle(), content)
    return next(found for found in artefacts.find(dist) if found.path == path)


def contents(of: Bundle | None = None) -> Contents:
    """What is read out of a bundle."""
    model = (of or bundle()).model
    facts = {"title": model.title, "license_url": model.license_url} if model else {}
    return Contents(PACKAGES, NOTICES, facts)
