"""Publishes dist/ on GitHub through `gh`: a draft until every file is up and verified.

A run that stopped goes on where it was: what the draft already holds, byte for byte, stays. The
release becomes visible by its last step alone.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks import catalog
from tasks.base import arguments, console, process
from tasks.base.errors import CommandFailed, PublishFailed, UsageError
from tasks.base.files import sha256_of
from tasks.base.paths import DIST
from tasks.build import updates
from tasks.build.sessions import folder
from tasks.build.updates import ASSET_LIMIT
from tasks.release.artefacts import MOST_ASSETS, SUMS
from tasks.release.notes import NAME as NOTES

# GitHub gives any other character another name.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LINE = re.compile(r"([0-9a-f]{64}) [ *](\S.*)")


@dataclass(frozen=True, slots=True)
class Request:
    """What `nox -s publish` was asked for."""

    tag: str
    dist: Path = DIST
    added: tuple[tuple[str, Path], ...] = ()  # files that CI made: the name to publish, the file
    attested: bool = False  # every file must have an attestation of this repository
    draft: bool = False  # stop before the release becomes visible


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the release on GitHub; ``sha256`` is None where GitHub does not say."""

    name: str
    size: int
    sha256: str | None
    whole: bool


def run(request: Request) -> None:
    """Publish every file that SHA256SUMS lists, SHA256SUMS itself, and what is ``added``.

    Raises:
        UsageError: the tag is not the version's; a name, size or number of files that GitHub
            does not take; nothing is sent then.
        PublishFailed: a file is not the one that SHA256SUMS promises; the tag is published
            already; a file did not arrive whole, or the draft holds a file of something else.
            The release stays a draft.
        CommandFailed, MissingProgram: `gh` said no, or is not there.
    """
    if request.tag != f"v{catalog.version()}":
        raise UsageError(
            f"tag {request.tag}: the version of this commit is {catalog.version()}",
            hint=f"tag the commit of that version, or publish as v{catalog.version()}",
        )
    files = _files(request)
    if request.attested:
        _require_attestations([name for name in files if name not in dict(request.added)], request)
    there = _draft(request)
    _refuse_strangers(there, files, request.tag)
    missing = [name for name in files if not _is_there(there.get(name), files[name], request)]
    console.note(f"{len(files) - len(missing)} of {len(files)} files are there already")
    failed = _upload(missing, request)
    if failed:
        raise PublishFailed(
            f"not uploaded: {', '.join(failed)}", hint="run it again: it goes on from here"
        )
    _verify(files, request)
    if request.draft:
        console.note(f"{request.tag} is complete and still a draft, as asked")
        return
    process.run(["gh", "release", "edit", request.tag, "--draft=false", "--latest"])
    console.note(f"{request.tag} is published, {len(files)} files")


def _files(request: Request) -> dict[str, str]:
    """The sha256 of every file to publish, by name; those of SHA256SUMS are held to it."""
    promised = read_sums(request.dist / SUMS)
    for name, path in request.added:
        if name in promised or name == SUMS:
            raise UsageError(f"{name}: {SUMS} lists a file of that name", hint="take another")
        _copy(path, request.dist / name)
    names = [*promised, SUMS, *(name for name, _ in request.added)]
    _check_limits(names, request.dist)
    files = {name: sha256_of(request.dist / name) for name in names}
    for name, sha256 in promised.items():
        if files[name] != sha256:
            raise PublishFailed(
                f"{name}: not the file that {SUMS} lists", hint="run again: nox -s release"
            )
    return files


def _copy(path: Path, to: Path) -> None:
    try:
        if not (to.exists() and path.samefile(to)):
            shutil.copyfile(path, to)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error


def read_sums(path: Path) -> dict[str, str]:
    """The digests of a file as sha256sum writes it, by name.

    Raises:
        PublishFailed: it is not there, or has a line of another form.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PublishFailed(f"{path}: cannot be read", hint="run first: nox -s release") from error
    found = {}
    for number, line in enumerate(lines, start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise PublishFailed(
                f"{path}:{number}: not a line of sha256sum", hint="run again: nox -s release"
            )
        found[match[2]] = match[1]
    return found


def _check_limits(names: Sequence[str], dist: Path) -> None:
    """Refuse before the first byte is sent what would abort the release in the middle."""
    if len(names) > MOST_ASSETS:
        raise UsageError(f"{len(names):,} files; a release holds {MOST_ASSETS:,}")
    for name in names:
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{name!r}: GitHub would rename it", hint="letters, digits, dots, - and _ only"
            )
        try:
            size = (dist / name).stat().st_size
        except OSError as error:
            raise PublishFailed(
                f"{dist / name}: {error.strerror}", hint="run again: nox -s release"
            ) from error
        if size >= ASSET_LIMIT:
            raise UsageError(
                f"{name}: {size:,} bytes; a file of a release has fewer than {ASSET_LIMIT:,}",
                hint="nox -s release splits it",
            )


def _require_attestations(names: Sequence[str], request: Request) -> None:
    repository = updates.repository()
    if repository is None:
        raise UsageError(
            "--attested: nothing tells of which repository",
            hint="set GITHUB_REPOSITORY=OWNER/NAME, as GitHub's workflows do",
        )
    for name in names:
        path = request.dist / name
        process.capture(["gh", "attestation", "verify", path, "--repo", repository])
    console.note("every file has its attestation")


def _draft(request: Request) -> dict[str, Asset]:
    """The files of the draft of the tag, which is made where there is none."""
    found = _view(request.tag)
    if found is None:
        notes = request.dist / NOTES
        words = ["gh", "release", "create", request.tag, "--draft", "--verify-tag"]
        words += ["--title", f"TEA bundles {catalog.version()}", "--notes-file", str(notes)]
        process.run(words)
        return {}
    if not found["isDraft"]:
        raise PublishFailed(
            f"{request.tag} is published already",
            hint="what people may have downloaded is never replaced: make a new version",
        )
    return _assets(found)


def _view(tag: str) -> dict[str, object] | None:
    """What GitHub says of the release of ``tag``, drafts among them; None where there is none."""
    words = ["gh", "release", "view", tag, "--json", "isDraft,assets"]
    try:
        answer = process.capture(words).stdout
    except CommandFailed as error:
        if "release not found" in error.output:
            return None
        raise
    found: dict[str, object] = json.loads(answer)
    return found


def _assets(view: Mapping[str, object]) -> dict[str, Asset]:
    rows = view["assets"]
    assert isinstance(rows, list)
    return {
        row["name"]: Asset(
            name=row["name"],
            size=row["size"],
            sha256=str(row.get("digest") or "").removeprefix("sha256:") or None,
            whole=row.get("state", "uploaded") == "uploaded",
        )
        for row in rows
    }


def _refuse_strangers(there: Mapping[str, Asset], files: Mapping[str, str], tag: str) -> None:
    strangers = sorted(there.keys() - files.keys())
    if strangers:
        raise PublishFailed(
            f"the draft of {tag} holds other files: {', '.join(strangers)}",
            hint=f"delete them, or the whole draft: gh release delete {tag}",
        )


def _is_there(asset: Asset | None, sha256: str, request: Request) -> bool:
    """Whether GitHub has the very bytes; asked of GitHub, or downloaded where it does not say."""
    if asset is None or not asset.whole:
        return False
    if asset.size != (request.dist / asset.name).stat().st_size:
        return False
    return (asset.sha256 or _downloaded(asset.name, request)) == sha256


def _downloaded(name: str, request: Request) -> str:
    """The sha256 of what a user would get."""
    with tempfile.TemporaryDirectory(prefix=".publish-", dir=request.dist) as folder:
        path = Path(folder) / name
        words = ["gh", "release", "download", request.tag, "--pattern", name]
        process.capture([*words, "--output", path])
        return sha256_of(path)


def _upload(names: Sequence[str], request: Request) -> list[str]:
    """Send the files one by one; returns those that failed, which keep none of the others back."""
    failed = []
    for name in names:
        size = (request.dist / name).stat().st_size
        with console.stage(f"Upload {name}, {size / 1e6:,.1f} MB"):
            try:
                path = request.dist / name
                process.run(["gh", "release", "upload", request.tag, path, "--clobber"])
            except CommandFailed as error:
                console.warn(error.message)
                failed.append(name)
    return failed


def _verify(files: Mapping[str, str], request: Request) -> None:
    view = _view(request.tag)
    there = _assets(view) if view else {}
    wrong = [name for name in files if not _is_there(there.get(name), files[name], request)]
    if wrong:
        raise PublishFailed(
            f"GitHub holds other bytes than were sent: {', '.join(wrong)}",
            hint="the release is still a draft; run it again: these are sent again",
        )
    _refuse_strangers(there, files, request.tag)
    console.note(f"all {len(files)} files on GitHub are the ones of {request.dist.name}/")


def request(words: Sequence[str]) -> Request:
    """What `nox -s publish` is to publish."""
    parser = arguments.parser("publish")
    parser.add_argument("--tag", required=True, help="tag of the release, v and the version")
    parser.add_argument("--dist", type=Path, help="folder of the artefacts (default: dist/)")
    parser.add_argument(
        "--add",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="also publish FILE, as NAME: a signature that was made of SHA256SUMS",
    )
    parser.add_argument(
        "--attested", action="store_true", help="refuse a file without an attestation on GitHub"
    )
    parser.add_argument("--draft", action="store_true", help="leave the release a draft")
    given = parser.read(words)
    pairs = [word.partition("=") for word in given.add]
    for name, _, file in pairs:
        if not name or not file:
            raise UsageError(f"--add {name}: expected NAME=FILE")
    return Request(
        tag=given.tag,
        dist=folder(given),
        added=tuple((name, Path(file)) for name, _, file in pairs),
        attested=given.attested,
        draft=given.draft,
    )
