"""Release notes: what the records say, in words and commands that work."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tasks import catalog
from tasks.base import git
from tasks.release import notes, split
from tests.support.releases import artefact, bundle

AUTHOR = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]


def text_of(tmp_path: Path, **options: object) -> str:
    found = artefact(tmp_path)
    return notes.write(tmp_path, [found], {}, []).read_text()


def test_table_has_a_row_for_every_bundle(tmp_path: Path) -> None:
    found = [artefact(tmp_path, bundle(impl)) for impl in ("python", "rust")]
    text = notes.write(tmp_path, found, {}, []).read_text()
    for one in found:
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{one.name}`")]
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert len(cells) == 6
        assert cells[1] == "SmolLM2 135M Instruct, Q4_1"
        assert cells[3] == "0.3 GB, 0.2 GB at the least"
        assert cells[4] == "8,192 tokens"
        assert "Apache-2.0" in cells[5] and catalog.model("smollm2-135m").license_url in cells[5]


def test_bundle_without_a_model_says_so(tmp_path: Path) -> None:
    found = artefact(tmp_path, bundle(model=None))
    text = notes.write(tmp_path, [found], {}, []).read_text()
    assert f"| `{found.name}` | none: takes the one beside it |" in text


def test_notes_name_the_licences_of_the_models_once(tmp_path: Path) -> None:
    found = [artefact(tmp_path, bundle(impl, "gemma3-270m")) for impl in ("python", "rust")]
    text = notes.write(tmp_path, found, {}, []).read_text()
    assert text.count("- gemma3-270m: LicenseRef-Gemma, <https://ai.google.dev/gemma/terms>") == 1
    assert notes.licenses_name() in text


def test_lines_that_join_the_parts_do_it(tmp_path: Path) -> None:
    found = artefact(tmp_path, content=bytes(range(256)) * 16)
    parts = split.split(found, 3000, 1000)
    whole = found.path.read_bytes()
    text = notes.write(tmp_path, [found], {found.name: parts}, []).read_text()
    assert f"in {len(parts) - 1} parts" in text
    for start in ("sh tea-", "cat tea-"):
        found.path.unlink()
        (line,) = [line for line in text.splitlines() if line.startswith(start)]
        done = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert found.path.read_bytes() == whole


def test_notes_say_how_to_check_and_that_nothing_may_be_signed(tmp_path: Path) -> None:
    text = text_of(tmp_path)
    assert "sha256sum -c --ignore-missing SHA256SUMS" in text
    assert "gh attestation verify" in text
    assert "nothing is signed" in text


def test_changes_are_the_changelogs_section_of_the_version(tmp_path: Path) -> None:
    log = tmp_path / "CHANGELOG.md"
    log.write_text(
        "# Changes\n\n## [2.0.0] - 2026-01-02\n\n### Added\n- two\n\n## [1.0.0]\n- one\n\n"
        "[2.0.0]: https://example.org\n"
    )
    assert notes.changelog_section("2.0.0", log) == "### Added\n- two"
    assert notes.changelog_section("1.0.0", log) == "- one"
    assert notes.changelog_section("0.1.0", log) == ""
    assert notes.changelog_section("1.0.0", tmp_path / "none") == ""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    run_git(root, "init", "--quiet")
    for subject in ("Begin", "Go on"):
        run_git(root, "commit", "--quiet", "--allow-empty", "-m", subject)
    return root


def run_git(root: Path, *words: str) -> str:
    argv = ["git", *AUTHOR, *words]
    done = subprocess.run(argv, cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_commits_since_the_last_tag_are_listed_the_newest_first(repository: Path) -> None:
    assert git.last_tag(repository) is None
    run_git(repository, "tag", "v1")
    for subject in ("Add one", "Add two"):
        run_git(repository, "commit", "--quiet", "--allow-empty", "-m", subject)
    run_git(repository, "tag", "v2")  # the release that is being made
    assert git.last_tag(repository) == "v1"
    assert git.subjects("v1", repository) == ["Add two", "Add one"]


def test_commit_with_changes_on_it_is_marked(repository: Path) -> None:
    assert git.commit(repository) == run_git(repository, "rev-parse", "HEAD")
    (repository / "file").write_text("text")
    assert not str(git.commit(repository)).endswith("-modified")  # git does not track it
    run_git(repository, "add", "file")
    assert str(git.commit(repository)).endswith("-modified")


def test_no_commit_is_known_outside_a_work_tree(tmp_path: Path) -> None:
    assert git.commit(tmp_path) is None
    assert git.last_tag(tmp_path) is None
