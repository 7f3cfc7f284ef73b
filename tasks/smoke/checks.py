"""What is asked of a bundle in a clean container, and how its answers are judged.

What a bundle does is judged by its output, not only by its exit code. Under QEMU everything is
asked that is asked of the machine's own programs, with more time, and with a shorter question.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tasks.base import console
from tasks.base.errors import TaskError
from tasks.build.pack import AppImage
from tasks.catalog import Target
from tasks.engine.engine import Container, Output
from tasks.smoke.cpus import Cpu

USER = "1000:1000"
HOME = "/home/user"
QEMU = "/qemu"  # where a runner has QEMU, when the machine's own programs run on another CPU
START_TIMEOUT = 120.0  # seconds: the first start may have to unpack 1 GB on a slow disk
ANSWER_TIMEOUT = 600.0
SLOWER = 5.0  # times: how much longer a program may take under QEMU
LARGE = 500_000_000  # bytes of a bundle whose model says only a few tokens under QEMU
TOKENS, FEW_TOKENS = 16, 4
BROKEN = b"name: broken\nnodes:\n  - name: one\n    uses: llm.cal\n"
EXAMPLE = "/examples/llm/local-chat.yaml"
OWN_EXAMPLE = "/examples/llm/local-chat-{model}.yaml"  # a model may have one beside it

# The question of the example, with a small context and a short answer.
_SHORT = """\
name: short-answer
settings:
  llm: {backend: local, n_ctx: 512, max_tokens: %d}
nodes:
  - name: ask
    uses: llm.call
    with:
      system: Answer in one short sentence.
      prompt: "What is the capital of France?"
      temperature: 0
    output:
      answer: "{{ result.content }}"
"""

# Arguments: the AppImage, a new folder, QEMU's name of a CPU. The program's loader gives way to a
# script that runs it under QEMU; AppRun stays as it is, and finds no difference.
_EMULATE = f"""\
set -eu
mkdir "$2"
cd "$2"
"$1" --appimage-extract >/dev/null
cd squashfs-root/usr/lib
for loader in ld-linux-*; do break; done
mv "$loader" loader
printf '#!/bin/sh\\nexec {QEMU} -cpu %s "%s" "$@"\\n' "$3" "$PWD/loader" >"$loader"
chmod 755 "$loader"
"""


@dataclass(frozen=True, slots=True)
class SmokeCheck:
    """One thing that a bundle must do."""

    name: str
    passed: bool
    detail: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Bundle:
    """An AppImage of ours, and what its name says of it."""

    image: AppImage
    target: Target
    impl: str
    version: str
    answer: str  # text that the model's answer must contain
    beside: Path | None = None  # the model to put beside one that has none of its own
    own_example: str = ""  # the example that is written for its model, where there is one


@dataclass(frozen=True, slots=True)
class BundleRunner:
    """A container that holds one bundle; every run is recorded in ``checks``.

    ``cpu`` is the one that QEMU stands in for, or None for the machine's own.
    """

    container: Container
    file: str
    cpu: Cpu | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    checks: list[SmokeCheck] = field(default_factory=list)

    @property
    def _factor(self) -> float:
        return SLOWER if self.cpu else 1.0

    def tea(
        self, *words: str, timeout: float = START_TIMEOUT, stdin: bytes | None = None
    ) -> Output:
        """Run the bundle as its user would."""
        return self.run([self.file, *words], timeout=timeout, stdin=stdin)

    def run(self, argv: list[str], *, timeout: float, stdin: bytes | None = None) -> Output:
        """Run any program as the bundle's user."""
        return self.container.exec(
            argv,
            env={"HOME": HOME, "PATH": "/usr/bin:/bin", **self.env},
            user=USER,
            workdir=HOME,
            stdin=stdin,
            timeout=timeout * self._factor,
        )

    def cached_files(self) -> str:
        """Every file of the home with its time stamp and inode; none from a container that died."""
        words = ["find", HOME, "-type", "f", "-printf", "%p %T@ %i %s\\n"]
        try:
            listing = self.run(words, timeout=60)
        except TaskError:
            return ""
        # The runtime's own marks of use change at every start; unpacked files must not.
        lines = listing.stdout.decode().splitlines()
        return "\n".join(sorted(line for line in lines if "/usr/" in line or "/bundle/" in line))

    def check(self, name: str, run: Callable[[], Output], judge: Callable[[Output], str]) -> bool:
        """Run and judge; ``judge`` returns what is wrong, or nothing. Returns whether it passed."""
        title = f"{self.cpu.name}: {name}" if self.cpu else name
        try:
            output = run()
        except TaskError as error:
            self.checks.append(SmokeCheck(title, False, error.message, 0.0))
            return False
        wrong = judge(output)
        self.checks.append(SmokeCheck(title, not wrong, wrong or "ok", round(output.seconds, 2)))
        return not wrong


def start_checks(runner: BundleRunner, bundle: Bundle) -> None:
    """It starts, says what it is, and unpacks itself once."""
    version = f"tea {bundle.version}\n"
    runner.check(
        "--version", lambda: runner.tea("--version"), lambda output: _said(output, version)
    )
    before = runner.cached_files()
    runner.check(
        "--impl", lambda: runner.tea("--impl"), lambda output: _said(output, f"{bundle.impl}\n")
    )

    def unpacked_again(output: Output) -> str:
        if not before:
            return "the first start left no files in the cache"
        after = "" if runner.cached_files() == before else "the second start wrote files again"
        return _said(output, version) or after

    runner.check("second start unpacks nothing", lambda: runner.tea("--version"), unpacked_again)


def workflow_checks(runner: BundleRunner) -> None:
    """It accepts the example and refuses a broken one."""
    runner.check(
        "validate", lambda: runner.tea("validate", EXAMPLE), lambda output: _exit_code(output, 0)
    )
    runner.check(
        "a broken workflow is refused",
        lambda: runner.tea("run", "-", stdin=BROKEN),
        lambda output: _exit_code(output, 2) or _contains(output.stderr, "llm.call"),
    )


def no_model_check(runner: BundleRunner) -> None:
    """Without a model in it or beside it, it says so, and what to do."""
    runner.check(
        "without a model it says what to do",
        lambda: runner.tea("run", EXAMPLE),
        lambda output: (
            _exit_code(output, 3)
            or _contains(output.stderr, "no model found")
            or _contains(output.stderr, "beside the AppImage")
        ),
    )


def answer_check(runner: BundleRunner, bundle: Bundle) -> None:
    """It answers the example's question."""
    runner.check(
        "the model answers",
        lambda: runner.tea("run", EXAMPLE, timeout=ANSWER_TIMEOUT),
        lambda output: _answered(output, bundle.answer),
    )


def own_example_check(runner: BundleRunner, bundle: Bundle) -> None:
    """It answers the question of the example that is written for its model, where there is one."""
    if bundle.own_example:
        runner.check(
            "the model answers its own example",
            lambda: runner.tea("run", bundle.own_example, timeout=ANSWER_TIMEOUT),
            lambda output: _answered(output, bundle.answer),
        )


def cpu_checks(runner: BundleRunner, bundle: Bundle, cpu: Cpu) -> None:
    """It chooses the right CPU backend, and answers with it."""
    large = bundle.image.path.stat().st_size >= LARGE
    question = (_SHORT % (FEW_TOKENS if large else TOKENS)).encode()
    expected = "" if large else bundle.answer  # a few tokens may not get that far
    runner.check(
        f"chooses {cpu.backend}",
        lambda: runner.tea("--version", "-v"),
        lambda output: (
            _exit_code(output, 0) or _contains(output.stdout, f"CPU backend: {cpu.backend}\n")
        ),
    )
    runner.check(
        "the model answers",
        lambda: runner.tea("run", "-", stdin=question, timeout=ANSWER_TIMEOUT),
        lambda output: _answered(output, expected),
    )


def emulated(runner: BundleRunner, cpu: Cpu) -> BundleRunner | None:
    """A runner whose bundle runs on ``cpu`` under the QEMU at ``QEMU``; None when it got none.

    For programs of the machine's own architecture, which binfmt_misc must leave alone.
    """
    folder = f"{HOME}/{cpu.name}"
    # The runtime, which is passed by, would tell where the AppImage lies.
    env = {**runner.env, "APPIMAGE": runner.file}
    other = BundleRunner(
        runner.container, f"{folder}/squashfs-root/AppRun", cpu, env, runner.checks
    )
    words = ["sh", "-c", _EMULATE, "sh", runner.file, folder, cpu.qemu]
    made = other.check(
        "unpacked for QEMU",
        lambda: other.run(words, timeout=START_TIMEOUT),
        lambda output: _exit_code(output, 0),
    )
    return other if made else None


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
    said = text.decode(errors="replace")
    return "" if expected in said else f"says nothing of {expected.strip()!r}: {said.strip()!r}"


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
    """The last line that is not indented: a cause comes before its indented remedy."""
    lines = [line for line in text.decode(errors="replace").splitlines() if line.strip()]
    causes = [line for line in lines if not line[0].isspace()]
    return (causes or lines or ["no output"])[-1].strip()
