"""Package archives that the machine already uses, as apt itself reads them from its sources."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.base import process
from tasks.base.errors import CommandFailed, HostError, MissingProgram
from tasks.catalog import FallbackImage

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")  # of the package of that name
_ALIASES = ("stable", "oldstable", "oldoldstable", "testing", "unstable")
_SEPARATOR = "|"  # cannot stand in a URI


@dataclass(frozen=True, slots=True)
class Entry:
    """One component of one suite at one archive."""

    uri: str
    suite: str
    component: str


@dataclass(frozen=True, slots=True)
class Archives:
    """Where Debian's packages come from here. ``security`` is None where none is set up."""

    main: str
    security: str | None


def os_release() -> Mapping[str, str]:
    """Fields of /etc/os-release; empty where there is none."""
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def entries(options: Sequence[str] = ()) -> list[Entry]:
    """All that apt's sources name, one-line and deb822 alike. ``options`` as apt-get takes them.

    Empty on a machine without apt.

    Raises:
        HostError: apt cannot read its own sources.
    """
    fields = _SEPARATOR.join(("$(REPO_URI)", "$(RELEASE)", "$(COMPONENT)"))
    # Without this option only what has been downloaded is listed: nothing on a fresh machine.
    words = ["apt-get", "--no-release-info", *options, "indextargets"]
    words += ["--format", fields, "Created-By: Packages"]
    try:
        lines = process.capture(words).stdout.splitlines()
    except MissingProgram:
        return []
    except CommandFailed as error:
        raise HostError(
            f"apt cannot read its sources: {error.message}", hint="see: sudo apt-get update"
        ) from error
    return list(dict.fromkeys(Entry(*line.split(_SEPARATOR)) for line in lines))


def debian_archives(found: Sequence[Entry], codename: str) -> Archives | None:
    """The archives that a Debian machine of release ``codename`` gets its own packages from.

    Other vendors' archives use the release's name as well; Debian's own has the suite of updates
    beside it, and by custom a path that ends in `debian`.
    """

    def likeness(entry: Entry) -> tuple[bool, bool]:
        beside = Entry(entry.uri, f"{entry.suite}-updates", entry.component)
        return beside in found, entry.uri.rstrip("/").endswith("debian")

    names = (codename, *_ALIASES)
    mains = [entry for entry in found if entry.suite in names and entry.component == "main"]
    if not mains:
        return None
    secure = [entry.uri for entry in found if entry.suite in [f"{name}-security" for name in names]]
    return Archives(max(mains, key=likeness).uri, secure[0] if secure else None)


def sources(fallback: FallbackImage, archives: Archives) -> list[str]:
    """The lines of a sources.list for ``fallback`` at ``archives``."""
    signed = f" [signed-by={KEYRING}]" if KEYRING.exists() else ""
    places = {
        "main": (archives.main, fallback.suite),
        "updates": (archives.main, f"{fallback.suite}-updates"),
        "security": (archives.security, f"{fallback.suite}-security"),
    }
    wanted = [places[name] for name in fallback.archives]
    return [f"deb{signed} {uri} {suite} main" for uri, suite in wanted if uri]
