from __future__ import annotations

import os
import tarfile
from pathlib import Path

from tasks import catalog
from tasks.release import licenses
from tests.support.releases import artefact, bundle, contents


def texts(tmp_path: Path) -> dict[str, bytes]:
    bundles = [bundle(), bundle("rust", "gemma3-270m", "aarch64"), bundle(model=None)]
    return licenses.collect((artefact(tmp_path, of), contents(of)) for of in bundles)


def test_programs_and_models_have_folders_of_their_own(tmp_path: Path) -> None:
    names = set(texts(tmp_path))
    assert {
        "LICENSE",
        "programs/python-x86_64/debian-libc6",
        "programs/rust-aarch64/runtime/debian-libfuse3-dev",
        "models/smollm2-135m/terms.txt",
        "models/gemma3-270m/terms.txt",
    } <= names
    assert not any(name.startswith("models/thin") for name in names)


def test_archive_is_in_order_without_a_trace_of_the_builder(tmp_path: Path) -> None:
    found = texts(tmp_path / "dist")
    out = licenses.write(tmp_path, found)
    with tarfile.open(out) as archive:
        entries = archive.getmembers()
        assert len({entry.mtime for entry in entries}) == 1
        assert {(entry.uid, entry.gid, entry.uname, entry.mode) for entry in entries} == {
            (0, 0, "", 0o644)
        }
        names = [entry.name for entry in entries]
        read = {entry.name: archive.extractfile(entry) for entry in entries}
        top = f"tea-licenses-{catalog.version()}"
        assert names == [f"{top}/{name}" for name in sorted(found)]
        file = read[f"{top}/LICENSE"]
        assert file is not None and file.read() == found["LICENSE"]


def test_archive_is_the_same_at_another_time_in_another_order(tmp_path: Path) -> None:
    found = texts(tmp_path / "dist")
    first = licenses.write(tmp_path, found).read_bytes()
    os.utime(tmp_path / "dist")
    again = licenses.write(tmp_path, dict(reversed(found.items())))
    assert again.read_bytes() == first
