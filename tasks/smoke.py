"""Runs an AppImage as a stranger's machine would: clean container, nothing installed, no network.

No FUSE, a user without rights, a read-only root, 64 MB of /tmp and a home that survives: what the
bundle does there is judged by its output, not only by its exit code.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tasks import appimage, bundles, catalog, console, images, store
from tasks.appimage import AppImage
from tasks.catalog import ROOT, Target
from tasks.engine import Container, Engine, Mount, Output
from tasks.errors import AppImageError, SmokeFailed, SmokeNotRun, TaskError

EXAMPLES = ROOT / "examples"
USER = "1000:1000"
HOME = "/home/user"
START_TIMEOUT = 120.0  # seconds: the first start may have to unpack 1 GB on a slow disk
ANSWER_TIMEOUT = 600.0
BROKEN = b"name: broken\nnodes:\n  - name: one\n    uses: llm.cal\n"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a bundle must do."""

    name: str
    passed: bool
    detail: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one AppImage."""

    file: str
    image: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed, and there was one."""
        return bool(self.checks) and all(check.passed for check in self.checks)


@dataclass(frozen=True, slots=True)
class _Bundle:
    """An AppImage of ours, and what its name says of it."""

    image: AppImage
    target: Target
    impl: str
    version: str
    answer: str  # text that the model's answer must contain


class _Box:
    """A container that holds one AppImage; every run is recorded as a check."""

    def __init__(self, box: Container, name: str) -> None:
        self._box = box
        self._file = f"/bundle/{name}"
        self.checks: list[Check] = []

    def tea(
        self, *words: str, timeout: float = START_TIMEOUT, stdin: bytes | None = None
    ) -> Output:
        """Run the bundle as its user would."""
        return self._box.exec(
            [self._file, *words],
            env={"HOME": HOME, "PATH": "/usr/bin:/bin"},
            user=USER,
            workdir=HOME,
            stdin=stdin,
            timeout=timeout,
        )

    def cached_files(self) -> str:
        """Every file of the home with its time stamp and inode; none from a container that died."""
        words = ["find", HOME, "-type", "f", "-printf", "%p %T@ %i %s\\n"]
        try:
            listing = self._box.exec(words, user=USER, timeout=60)
        except TaskError:
            return ""
        # The runtime's own marks of use change at every start; unpacked files must not.
        lines = listing.stdout.decode().splitlines()
        return "\n".join(sorted(line for line in lines if "/usr/" in line or "/bundle/" in line))

    def check(self, name: str, run: Callable[[], Output], judge: Callable[[Output], str]) -> None:
        """Run and judge; ``judge`` returns what is wrong, or nothing."""
        try:
            output = run()
        except TaskError as error:
            self.checks.append(Check(name, False, error.message, 0.0))
            return
        wrong = judge(output)
        self.checks.append(Check(name, not wrong, wrong or "ok", round(output.seconds, 2)))


def run(files: Sequence[Path], dist: Path = bundles.DIST) -> None:
    """Try ``files``, or all AppImages of ``dist``; print a table and write a JSON report for each.

    Raises:
        AppImageError: no file, or one that is not an AppImage.
        SmokeFailed: a check failed.
        SmokeNotRun: a bundle is for an architecture that cannot be run here.
    """
    found = list(files) or sorted(dist.glob("*.AppImage"))
    if not found:
        raise AppImageError(
            f"{dist}: no AppImage to try", hint="build one first, such as: nox -s quickstart"
        )
    bundles_ = [_identify(appimage.read(path)) for path in found]
    failed, foreign = [], []
    with Engine.connect() as engine:
        for bundle in bundles_:
            name = bundle.image.path.name
            if bundle.target.arch != engine.arch:
                foreign.append(f"{name} is for {bundle.target.arch}")
                continue
            report = _try(bundle, engine)
            _publish(report, bundle.image.path)
            if not report.passed:
                failed.append(name)
        if failed:
            raise SmokeFailed(f"{len(failed)} of {len(found)} bundles failed: {', '.join(failed)}")
        if foreign:
            raise SmokeNotRun(
                f"not tried: {', '.join(foreign)}; this engine runs {engine.arch}",
                hint="run nox -s smoke on a machine of that architecture",
            )


def _publish(report: Report, path: Path) -> None:
    """Print the table, and write the report beside the AppImage ``path``."""
    rows = [
        (
            check.name,
            "passed" if check.passed else "FAILED",
            f"{check.seconds:.2f} s",
            check.detail,
        )
        for check in report.checks
    ]
    console.table(f"{report.file} in {report.image}", ("check", "", "time", ""), rows)
    text = json.dumps({**asdict(report), "passed": report.passed}, indent=2)
    with store.disk_errors(path.parent):
        store.write_text(path.with_name(f"{path.stem}.smoke.json"), text + "\n")


def _identify(image: AppImage) -> _Bundle:
    """Take the bundle's facts from itself and from the record beside it."""
    target = next((row for row in catalog.targets().values() if row.elf == image.arch), None)
    if target is None:
        raise AppImageError(f"{image.path}: is for {image.arch}, which no bundle is")
    record = image.path.with_suffix(".json")
    try:
        facts = json.loads(record.read_text(encoding="utf-8"))
        impl, version = str(facts["implementation"]), str(facts["version"])
        model = catalog.models().get(str(facts["model"]["id"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AppImageError(
            f"{record}: no readable record of the bundle ({error})",
            hint="build the bundle again: its record is written beside it",
        ) from error
    return _Bundle(image, target, impl, version, model.smoke_answer if model else "")


def _try(bundle: _Bundle, engine: Engine) -> Report:
    """All checks of one bundle, in one container."""
    base = images.ensure(catalog.images()["smoke"], bundle.target, engine)
    name = bundle.image.path.name
    with console.stage(f"Try {name} in {base.reference}"), engine.volume() as home:
        mounts = [
            Mount(bundle.image.path, f"/bundle/{name}", read_only=True),
            Mount(EXAMPLES, "/examples", read_only=True),
            Mount(home, HOME),
        ]
        with engine.container(
            base.reference,
            target=bundle.target,
            mounts=mounts,
            read_only=True,
            tmpfs={"/tmp": "size=64m"},
        ) as box:
            box.exec(["chown", USER, HOME], timeout=60)
            trial = _Box(box, name)
            _start_checks(trial, bundle)
            _answer_checks(trial, bundle)
    return Report(name, base.reference, tuple(trial.checks))


def _start_checks(box: _Box, bundle: _Bundle) -> None:
    """It starts, says what it is, and unpacks itself once."""
    version = f"tea {bundle.version}\n"
    box.check("--version", lambda: box.tea("--version"), lambda output: _said(output, version))
    before = box.cached_files()
    box.check("--impl", lambda: box.tea("--impl"), lambda output: _said(output, f"{bundle.impl}\n"))

    def unpacked_again(output: Output) -> str:
        if not before:
            return "the first start left no files in the cache"
        after = "" if box.cached_files() == before else "the second start wrote files again"
        return _said(output, version) or after

    box.check("second start unpacks nothing", lambda: box.tea("--version"), unpacked_again)


def _answer_checks(box: _Box, bundle: _Bundle) -> None:
    """It accepts the example, refuses a broken one, and answers."""
    example = "/examples/llm/local-chat.yaml"
    box.check(
        "validate", lambda: box.tea("validate", example), lambda output: _exit_code(output, 0)
    )
    box.check(
        "a broken workflow is refused",
        lambda: box.tea("run", "-", stdin=BROKEN),
        lambda output: _exit_code(output, 2) or _contains(output.stderr, "llm.call"),
    )
    box.check(
        "the model answers",
        lambda: box.tea("run", example, timeout=ANSWER_TIMEOUT),
        lambda output: _answered(output, bundle.answer),
    )


def _exit_code(output: Output, expected: int) -> str:
    if output.exit_code == expected:
        return ""
    return f"exit code {output.exit_code}, expected {expected}: {_tail(output.stderr)}"


def _said(output: Output, expected: str) -> str:
    wrong = _exit_code(output, 0)
    if wrong or output.stdout.decode(errors="replace") == expected:
        return wrong
    return f"said {output.stdout.decode(errors='replace')!r}, expected {expected!r}"


def _contains(text: bytes, expected: str) -> str:
    return "" if expected in text.decode(errors="replace") else f"says nothing of {expected!r}"


def _answered(output: Output, expected: str) -> str:
    """The final state is JSON, and its answer is text that holds ``expected``."""
    wrong = _exit_code(output, 0)
    if wrong:
        return wrong
    try:
        answer = json.loads(output.stdout)["answer"]
    except (ValueError, KeyError, TypeError) as error:
        return f"no answer in its output ({error!r}): {_tail(output.stdout)}"
    if not isinstance(answer, str) or not answer.strip():
        return f"the answer is empty: {answer!r}"
    console.note(f"answer: {answer.strip()}")
    return "" if expected in answer else f"{answer!r} does not contain {expected!r}"


def _tail(text: bytes) -> str:
    lines = text.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no output"
