"""Where a bundle's next version will be."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tasks import catalog
from tasks.base.errors import UsageError
from tasks.build import updates
from tasks.catalog import Bundle

BUNDLE = Bundle("rust", catalog.model("gemma3-1b"), catalog.target("aarch64"))


def test_update_information_names_the_newest_release() -> None:
    assert updates.update_information(BUNDLE, "owner/name") == (
        "gh-releases-zsync|owner|name|latest|tea-rust-llm-gemma3-1b-*-aarch64.AppImage.zsync"
    )


def test_without_a_repository_there_is_none() -> None:
    assert updates.update_information(BUNDLE, None) == ""


def test_a_bundle_that_is_published_in_parts_has_none() -> None:
    assert updates.update_information(BUNDLE, "owner/name", updates.ASSET_LIMIT) == ""
    assert updates.update_information(BUNDLE, "owner/name", updates.ASSET_LIMIT - 1)


REMOTES = {
    "https://github.com/owner/name": "owner/name",
    "https://github.com/owner/name.git": "owner/name",
    "https://github.com/owner/name.github.io/": "owner/name.github.io",
    "git@github.com:owner/name.git": "owner/name",
    "ssh://git@github.com/owner/name.git": "owner/name",
    "https://user:secret@github.com/owner/name": None,
    "https://example.org/owner/name": None,
    "https://github.com/owner": None,
    "/srv/git/name.git": None,
    "": None,
}


@pytest.mark.parametrize("remote", REMOTES)
def test_repository_of_a_checkout_is_its_remote_s_on_github(remote: str, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    if remote:
        words = ["git", "-C", tmp_path, "remote", "add", "origin", remote]
        subprocess.run([str(word) for word in words], check=True)
    assert updates._origin(tmp_path) == REMOTES[remote]


def test_folder_in_another_checkout_has_no_repository(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    remote = ["remote", "add", "origin", "https://github.com/owner/name"]
    subprocess.run(["git", "-C", tmp_path, *remote], check=True)
    (tmp_path / "inside").mkdir()
    assert updates._origin(tmp_path / "inside") is None


def test_ci_s_repository_goes_before_the_checkout_s() -> None:
    assert updates.repository({"GITHUB_REPOSITORY": "owner/name"}) == "owner/name"


@pytest.mark.parametrize("name", ["owner", "owner/", "/name", "a/b/c", "a b/c", "a|b/c", "../b"])
def test_repository_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="expected OWNER/NAME"):
        updates.repository({"GITHUB_REPOSITORY": name})
