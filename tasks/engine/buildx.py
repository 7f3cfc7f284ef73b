"""`docker buildx build` as words: its command line, its log line by line, and why it failed."""

from __future__ import annotations

import csv
import io
import re
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tasks.base import console
from tasks.catalog import Target

# What a Dockerfile may read, or BuildKit itself does, where it is set.
PASSED = ("SOURCE_DATE_EPOCH", "BUILDKIT_CACHE_MOUNT_NS")
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
FRESH = ("CCACHE_RECACHE", "FRESH")  # what makes compilers leave their caches alone
NO_SPACE = re.compile(r"no space left on device|don't have enough free space", re.IGNORECASE)
SHOW_EVERY = 5.0  # seconds between two lines of one step's own output
KEPT = 20  # lines of a step's output that an error keeps
WIDTH = 140  # characters of a line that are shown
NAMED = 60  # characters of a step's name in an error

_STEP = re.compile(r"#(\d+) (\[.*)")
_OUTPUT = re.compile(r"#(\d+) \d+\.\d+ (.*)")
_ERROR = re.compile(r"#(\d+) ERROR: (.*)")
_DONE = re.compile(r"#(\d+) (DONE ([\d.]+)s|CACHED)$")
_LABEL = re.compile(r"\[[^\]]*\] ?")

# What is said when the builder has no machine, or the image no build, for a step's platform.
PLATFORM = re.compile(
    r"exec format error|no match for platform|does not match the specified platform"
    r"|multi-platform build is not supported",
    re.IGNORECASE,
)

_HINTS = (
    (
        "network.host is not allowed",
        "the builder must allow the host's network: docker buildx create "
        "--buildkitd-flags '--allow-insecure-entitlement network.host' …",
    ),
    ("exec format error", "the step runs another architecture's code: nox -s host says how"),
    (
        "no match for platform",
        "the base image has no build for the builder's own architecture: choose another builder "
        "with --builder; docker buildx ls lists them and their platforms",
    ),
    (
        "failed to resolve source metadata",
        "the builder finds the base image neither locally nor in its registry; "
        "a fallback image is known to the engine's own builder only",
    ),
    ("unknown flag: ", "the docker command's buildx plugin is too old: 0.10 or newer is needed"),
    ("no builder", "docker buildx ls lists the builders that there are"),
    ("certificate", "name your CA bundle in SSL_CERT_FILE: the build gets it as the secret `ca`"),
)


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What a user may choose about builds; names as in `docker buildx build`.

    Each part of a bundle is a build of its own, and a cache holds the last one that was put there.
    So ``{part}`` in a cache's name stands for the part, such as ``llama-x86_64``.
    """

    builder: str | None = None
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    no_cache: bool = False

    def for_part(self, part: str) -> BuildOptions:
        """The options of one build."""

        def named(caches: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(cache.replace("{part}", part) for cache in caches)

        return replace(self, cache_from=named(self.cache_from), cache_to=named(self.cache_to))


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a build stopped: one line, a remedy (or ""), and the last lines of the failing step."""

    cause: str
    hint: str
    output: tuple[str, ...]
    disk_full: bool
    platform: bool  # the builder cannot do what a step needs


def command(
    dockerfile: Path,
    *,
    context: Path,
    stage: str,
    target: Target,
    args: Mapping[str, str],
    contexts: Mapping[str, str | Path],
    options: BuildOptions,
    environ: Mapping[str, str],
    output: Path | None,
    tag: str | None,
) -> list[str]:
    """The words of the build, ``target``'s own build arguments among them.

    Proxies and PASSED go by name only, so that a password in a proxy's address is
    never shown; buildx takes their values from its environment.
    """
    words = ["docker", "buildx", "build", "--progress", "plain", "--network", "host"]
    # A provenance file would otherwise land in the exported tree; releases make their own.
    words += ["--provenance=false", "--platform", target.platform, "--target", stage]
    words += ["--file", str(dockerfile)]
    for name, value in {**target.build_args, **args}.items():
        words += ["--build-arg", f"{name}={value}"]
    for name in (*PROXIES, *PASSED):
        if environ.get(name):
            words += ["--build-arg", name]
    for name, place in contexts.items():
        words += ["--build-context", f"{name}={place}"]
    if environ.get("SSL_CERT_FILE"):
        words += ["--secret", _fields("id=ca", f"src={environ['SSL_CERT_FILE']}")]
    if options.builder:
        words += ["--builder", options.builder]
    for source in options.cache_from:
        words += ["--cache-from", source]
    for sink in options.cache_to:
        words += ["--cache-to", sink]
    if options.no_cache:
        words.append("--no-cache")
        for name in FRESH:
            words += ["--build-arg", f"{name}=1"]
    if output is not None:
        words += ["--output", _fields("type=local", f"dest={output}")]
    if tag is not None:
        words += ["--tag", tag, "--load"]
    return [*words, str(context)]


def _fields(*fields: str) -> str:
    """A list as buildx reads it: CSV, so that a path may hold a comma."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(fields)
    return line.getvalue()


@dataclass
class _Step:
    name: str
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT))
    shown: float = 0.0  # when its output was last shown
    error: str = ""


class Log:
    """BuildKit's plain log, read line by line.

    Shows each step once when it starts, its newest output every few seconds, and how long it
    took; keeps what ``failure`` needs.
    """

    def __init__(
        self,
        show: Callable[[str], None] = console.note,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._show = show
        self._clock = clock
        self._steps: dict[str, _Step] = {}
        self._failed: _Step | None = None
        self._last_error = ""
        self._no_space = False

    def line(self, text: str) -> None:
        """Take the next line."""
        if NO_SPACE.search(text):
            self._no_space = True
        if found := _STEP.match(text):
            self._begin(found[1], found[2])
        elif found := _OUTPUT.match(text):
            self._said(found[1], found[2])
        elif found := _ERROR.match(text):
            step = self._steps.setdefault(found[1], _Step("build"))
            step.error = found[2]
            self._failed = step
        elif found := _DONE.match(text):
            self._end(found[1], found[3])
        elif text.startswith(("ERROR: ", "unknown flag: ")):
            self._last_error = text.removeprefix("ERROR: ").removeprefix("failed to solve: ")

    def failure(self, dockerfile: Path) -> Failure:
        """What to tell the user after the build of ``dockerfile`` has failed."""
        step = self._failed
        cause = self._last_error or "no output"
        output: tuple[str, ...] = ()
        if step is not None:
            output = tuple(step.tail)
            said = next((line.strip() for line in reversed(output) if line.strip()), "")
            # "process … did not complete" repeats a whole script; its last words say more.
            ended = re.search(r"exit code: \d+", step.error)
            cause = f"{said} ({ended[0]})" if ended and said else self._last_error or step.error
            if not _is_internal(step.name):
                cause = f"step {_short(step.name, NAMED)}: {cause}"
        text = "\n".join((cause, self._last_error, *output))
        hint = next((hint for mark, hint in _HINTS if mark in text), "")
        platform = PLATFORM.search(text) is not None
        return Failure(
            f"{'/'.join(dockerfile.parts[-2:])}: {cause}",
            hint,
            output,
            self._no_space,
            platform,
        )

    def _begin(self, number: str, name: str) -> None:
        if number in self._steps:
            return
        self._steps[number] = _Step(name, shown=self._clock())
        if not _is_internal(name):
            self._show(_short(name))

    def _said(self, number: str, text: str) -> None:
        step = self._steps.setdefault(number, _Step("build"))
        step.tail.append(text)
        now = self._clock()
        if now - step.shown >= SHOW_EVERY and text.strip():
            step.shown = now
            self._show(_short(f"{_label(step.name)}{text.strip()}"))

    def _end(self, number: str, seconds: str | None) -> None:
        step = self._steps.get(number)
        if step is None or _is_internal(step.name):
            return
        if seconds is None:
            self._show(f"{_label(step.name)}unchanged, taken from the build cache")
        elif float(seconds) >= SHOW_EVERY:
            self._show(f"{_label(step.name)}done in {seconds} s")


def _is_internal(name: str) -> bool:
    return name.startswith("[internal]")


def _label(name: str) -> str:
    found = _LABEL.match(name)
    return found[0] if found else ""


def _short(text: str, width: int = WIDTH) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def matches(text: str, marks: Sequence[str]) -> bool:
    """Whether ``text`` holds one of ``marks``, whatever the case."""
    lower = text.lower()
    return any(mark in lower for mark in marks)
