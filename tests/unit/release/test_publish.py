"""A release is visible when every byte of it is there, and not before."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tasks import catalog
from tasks.base.errors import CommandFailed, MissingProgram, PublishFailed, UsageError
from tasks.build.updates import ASSET_LIMIT
from tasks.release import publish
from tasks.release.artefacts import SUMS
from tasks.release.notes import NAME as NOTES
from tests.support.gh import GitHub

TAG = f"v{catalog.version()}"
FILES = {"tea-a.AppImage": b"first bundle", "tea-b.AppImage": b"second", "tea-b.cdx.json": b"{}"}


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """What `nox -s release` leaves, in small."""
    folder = tmp_path / "dist"
    folder.mkdir()
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    (folder / "left-over.txt").write_text("no file of the release")
    (folder / NOTES).write_text("What is new")
    write_sums(folder)
    return folder


def write_sums(folder: Path, names: tuple[str, ...] = tuple(FILES)) -> None:
    lines = [
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}" for name in names
    ]
    (folder / SUMS).write_text("\n".join(lines) + "\n")


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GitHub:
    found = GitHub.start(tmp_path / "gh")
    monkeypatch.setenv("PATH", found.path)
    monkeypatch.setenv("GITHUB_REPOSITORY", "owner/project")
    return found


@pytest.fixture
def request_(dist: Path) -> publish.Request:
    return publish.Request(TAG, dist)


def published(github: GitHub) -> bool:
    release = github.read()["release"]
    return release is not None and not release["isDraft"]


def uploads(github: GitHub) -> list[str]:
    return [Path(call[3]).name for call in github.calls if call[:2] == ["release", "upload"]]


def test_release_has_the_listed_files_and_their_list(
    github: GitHub, request_: publish.Request
) -> None:
    publish.run(request_)
    assert published(github)
    assert set(github.read()["release"]["assets"]) == {*FILES, SUMS}
    for name, data in FILES.items():
        assert github.asset(name).read_bytes() == data
    assert github.read()["release"]["notes"] == "What is new"
    assert github.calls[-1] == ["release", "edit", TAG, "--draft=false", "--latest"]
    create = next(call for call in github.calls if call[:2] == ["release", "create"])
    assert "--draft" in create and "--verify-tag" in create


def test_files_of_ci_are_published_by_the_name_that_is_given(
    github: GitHub, request_: publish.Request, tmp_path: Path
) -> None:
    signature = tmp_path / "attestation.json"
    signature.write_text("{}")
    publish.run(replace(request_, added=(("SHA256SUMS.sigstore.json", signature),), attested=True))
    assert github.asset("SHA256SUMS.sigstore.json").read_text() == "{}"
    verified = [Path(call[2]).name for call in github.calls if call[0] == "attestation"]
    assert verified == [*FILES, SUMS]


def test_file_without_an_attestation_keeps_everything_back(
    github: GitHub, request_: publish.Request
) -> None:
    github.write({**github.read(), "unattested": ["tea-b.AppImage"]})
    with pytest.raises(CommandFailed, match="no attestations found"):
        publish.run(replace(request_, attested=True))
    assert github.read()["release"] is None


def test_draft_that_is_asked_for_stays_one(github: GitHub, request_: publish.Request) -> None:
    publish.run(replace(request_, draft=True))
    assert not published(github)
    assert len(uploads(github)) == len(FILES) + 1


@pytest.mark.parametrize("digests", [True, False], ids=["digests told", "files downloaded again"])
def test_failed_upload_keeps_no_other_back(
    digests: bool, github: GitHub, request_: publish.Request
) -> None:
    github.write({**github.read(), "digests": digests})
    github.fault("tea-a.AppImage", "fail")
    with pytest.raises(PublishFailed, match=r"not uploaded: tea-a\.AppImage"):
        publish.run(request_)
    assert not published(github)
    assert set(github.read()["release"]["assets"]) == {*FILES, SUMS} - {"tea-a.AppImage"}
    before = len(uploads(github))
    publish.run(request_)
    assert uploads(github)[before:] == ["tea-a.AppImage"]
    assert published(github)


@pytest.mark.parametrize("digests", [True, False], ids=["digests told", "files downloaded again"])
def test_file_that_did_not_arrive_whole_is_found_and_sent_again(
    digests: bool, github: GitHub, request_: publish.Request
) -> None:
    github.write({**github.read(), "digests": digests})
    github.fault("tea-b.AppImage", "cut")
    with pytest.raises(PublishFailed, match=r"other bytes than were sent: tea-b\.AppImage"):
        publish.run(request_)
    assert not published(github)
    publish.run(request_)
    assert published(github)
    assert uploads(github)[-1] == "tea-b.AppImage"


def test_wrong_bytes_of_the_right_length_are_found(
    github: GitHub, request_: publish.Request
) -> None:
    github.write({**github.read(), "digests": False})
    publish.run(replace(request_, draft=True))
    github.asset("tea-b.AppImage").write_bytes(b"sEcond")
    publish.run(request_)
    assert github.asset("tea-b.AppImage").read_bytes() == b"second"
    assert published(github)


def test_upload_that_github_has_not_finished_counts_as_missing(
    github: GitHub, request_: publish.Request
) -> None:
    publish.run(replace(request_, draft=True))
    state = github.read()
    state["release"]["assets"]["tea-a.AppImage"]["state"] = "starter"
    github.write(state)
    publish.run(request_)
    assert uploads(github)[-1] == "tea-a.AppImage"


def test_release_that_people_see_is_never_replaced(
    github: GitHub, request_: publish.Request
) -> None:
    publish.run(request_)
    before = len(uploads(github))
    with pytest.raises(PublishFailed, match="published already"):
        publish.run(request_)
    assert len(uploads(github)) == before


def test_draft_with_a_file_of_something_else_is_left_alone(
    github: GitHub, request_: publish.Request
) -> None:
    publish.run(replace(request_, draft=True))
    write_sums(request_.dist, ("tea-a.AppImage",))
    with pytest.raises(PublishFailed, match=r"other files: tea-b\.AppImage, tea-b\.cdx\.json"):
        publish.run(request_)
    assert not published(github)


def wrong_tag(request: publish.Request) -> publish.Request:
    return replace(request, tag="v99.0.0")


def changed_file(request: publish.Request) -> publish.Request:
    (request.dist / "tea-a.AppImage").write_bytes(b"other")
    return request


def missing_file(request: publish.Request) -> publish.Request:
    (request.dist / "tea-a.AppImage").unlink()
    return request


def no_list(request: publish.Request) -> publish.Request:
    (request.dist / SUMS).unlink()
    return request


def broken_list(request: publish.Request) -> publish.Request:
    (request.dist / SUMS).write_text("not a line of sha256sum\n")
    return request


def odd_name(request: publish.Request) -> publish.Request:
    (request.dist / "tea c.AppImage").write_bytes(b"third")
    write_sums(request.dist, (*FILES, "tea c.AppImage"))
    return request


def too_large(request: publish.Request) -> publish.Request:
    with (request.dist / "tea-large.AppImage").open("wb") as file:
        file.truncate(ASSET_LIMIT)
    lines = (request.dist / SUMS).read_text()
    zeros = "0" * 64  # its size is refused before its digest is looked at
    (request.dist / SUMS).write_text(f"{lines}{zeros}  tea-large.AppImage\n")
    return request


def name_twice(request: publish.Request) -> publish.Request:
    return replace(request, added=(("tea-a.AppImage", request.dist / "left-over.txt"),))


REFUSED: list[tuple[Callable[[publish.Request], publish.Request], type[Exception], str]] = [
    (wrong_tag, UsageError, "the version of this commit is"),
    (changed_file, PublishFailed, "not the file that SHA256SUMS lists"),
    (missing_file, PublishFailed, "tea-a.AppImage: No such file"),
    (no_list, PublishFailed, "SHA256SUMS: cannot be read"),
    (broken_list, PublishFailed, "SHA256SUMS:1: not a line of sha256sum"),
    (odd_name, UsageError, "GitHub would rename it"),
    (too_large, UsageError, "2,147,483,648 bytes"),
    (name_twice, UsageError, "lists a file of that name"),
]


@pytest.mark.parametrize(
    ("spoil", "kind", "says"), REFUSED, ids=[row[0].__name__ for row in REFUSED]
)
def test_what_cannot_end_well_is_refused_before_github_is_asked(
    spoil: Callable[[publish.Request], publish.Request],
    kind: type[Exception],
    says: str,
    github: GitHub,
    request_: publish.Request,
) -> None:
    with pytest.raises(kind, match=says):
        publish.run(spoil(request_))
    assert github.calls == []


def test_machine_without_gh_is_told_what_to_install(
    request_: publish.Request, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingProgram) as caught:
        publish.run(request_)
    assert "gh auth login" in caught.value.hint


def test_options_are_read() -> None:
    words = ["--tag", "v1", "--dist", "/d", "--add", "a.json=/f=1", "--attested", "--draft"]
    expected = publish.Request("v1", Path("/d"), (("a.json", Path("/f=1")),), True, True)
    assert publish.request(words) == expected
    with pytest.raises(UsageError, match="expected NAME=FILE"):
        publish.request(["--tag", "v1", "--add", "a.json"])
    with pytest.raises(UsageError, match="--tag"):
        publish.request([])
