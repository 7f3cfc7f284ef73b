"""Where rows are measured: a clean container with the bundle, its plain tree, and llama-bench."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tasks.base.errors import BenchFailed
from tasks.bench import probe
from tasks.build.parts import Program
from tasks.engine.engine import Container, Engine, Mount
from tasks.fetch.ensure import StoredModel

HOME = "/home/user"
TREE = f"{HOME}/squashfs-root"  # where --appimage-extract puts the plain tree
PYTHON = "/bench/python"  # the Python program's tree, whose interpreter does the measuring
LLAMA_BENCH = "/bench/llama-bench"
TIMEOUT = 1800.0  # seconds that all runs of one plan may take
ANSWER_TOKENS = 128
# At temperature 0 the answer is longer than that.
QUESTION = "Write a long story about a lighthouse keeper and a gull."

# What a program that mounts needs; the runtime calls mount(2) itself as root.
FUSE: dict[str, Any] = {
    "devices": ("/dev/fuse",),
    "cap_add": ("SYS_ADMIN",),
    "security_opt": ("apparmor=unconfined",),
}

# How an AppImage is told to start in another way: it mounts where no copy can be made, and makes a
# copy where there is none.
FIRST_CACHE = f"{HOME}/first"
WAYS = {
    "mounted": (("XDG_CACHE_HOME", "/proc"),),
    "first start": (("XDG_CACHE_HOME", FIRST_CACHE),),
}
LARGE = 500_000_000  # bytes of a model from which on it outweighs the program


@dataclass(frozen=True, slots=True)
class Step:
    """One program to be timed.

    ``busy``: how many processes compute beside it; ``remove``: a folder that is removed before it;
    ``resident``: whether its memory is read at each line that it prints.
    """

    name: str
    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    stdin: str = ""
    cwd: str = HOME
    busy: int = 0
    remove: str = ""
    resident: bool = False

    def renamed(self, name: str, *, busy: int = 0) -> Step:
        """The same program under another name."""
        return replace(self, name=name, busy=busy)

    def plan(self) -> dict[str, Any]:
        """The step as bench_probe.py reads it."""
        return {
            "name": self.name,
            "argv": self.argv,
            "env": dict(self.env),
            "stdin": self.stdin,
            "cwd": self.cwd,
            "busy": self.busy,
            "remove": self.remove,
            "resident": self.resident,
        }


@dataclass(frozen=True, slots=True)
class Timed:
    """What one run of a step did. ``lines``: seconds since its start, and text.

    ``processor``: seconds on all cores; ``resident``: bytes of memory at each line, where asked.
    """

    seconds: float
    lines: tuple[tuple[float, str], ...]
    stderr: str
    peak: int = 0  # bytes of memory that it had at most
    processor: float = 0.0
    resident: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything that the rows of one program are measured with."""

    engine: Engine
    image: str  # the clean container's
    bundle: Path
    program: Program
    interpreter: Path  # the Python program's tree
    model: StoredModel
    runtime: Path
    mksquashfs: tuple[str, ...]  # the command that runs it
    llama_bench: Path | None  # built where rates are measured
    runs: int

    @property
    def large(self) -> bool:
        """Whether the model is one of those that the goals of large models are for."""
        return self.model.size >= LARGE

    def _loader(self, tree: str) -> tuple[str, ...]:
        """A tree's own loader and library path, as AppRun gives them."""
        lib = f"{tree}/usr/lib"
        loader = f"{lib}/{self.program.target.loader}"
        return (loader, "--inhibit-cache", "--library-path", f"{lib}:{lib}/llama")

    def python(self, tree: str = PYTHON) -> tuple[str, ...]:
        """A tree's own interpreter, as AppRun starts it."""
        return (*self._loader(tree), f"{tree}/usr/bin/python3", "-I", "-S", "-X", "utf8")

    def tea(self, place: str, *words: str, stdin: str = "", name: str = "") -> Step:
        """The program: in the AppImage, ``mounted``, ``cached`` or at its ``first start`` ever; or
        in the plain ``tree``.
        """
        program = f"{TREE}/AppRun" if place == "tree" else f"/bundle/{self.bundle.name}"
        remove = FIRST_CACHE if place == "first start" else ""
        return Step(name or place, (program, *words), WAYS.get(place, ()), stdin, remove=remove)

    def answer(
        self,
        place: str,
        *,
        threads: int | None = None,
        tokens: int = ANSWER_TOKENS,
        name: str = "",
    ) -> Step:
        """``tea run --stream`` of one question at temperature 0, the answer cut at ``tokens``."""
        text = workflow(threads, tokens)
        return self.tea(place, "run", "--stream", "-", stdin=text, name=name)

    def whole_answer(self, threads: int) -> Step:
        """The same answer by ``llm.call``, which says it at its end; the log tells the rate."""
        text = workflow(threads, action="llm.call")
        return self.tea("tree", "run", "--verbose", "-", stdin=text, name="whole")

    def bench_of_llama(self, depth: int, threads: int) -> Step:
        """llama.cpp's own measure: as many tokens, after a context of ``depth`` tokens.

        It finds its CPU backend in the current folder, which is where the program's is.
        """
        models = f"{TREE}/usr/share/models/{self.model.path.name}"
        words = ["-m", models, "-p", "0", "-n", str(ANSWER_TOKENS - 1), "-d", str(depth)]
        words += ["-t", str(threads), "-r", "1", "-o", "json"]
        folder = f"{TREE}/usr/lib/llama"
        return Step("llama-bench", (*self._loader(TREE), LLAMA_BENCH, *words), cwd=folder)

    @contextmanager
    def inside(self, **options: Any) -> Iterator[BenchContainer]:
        """A container with the bundle and its plain tree; ``options`` as in Engine.container."""
        with self.engine.volume() as home:
            mounts = [
                Mount(self.bundle, f"/bundle/{self.bundle.name}", read_only=True),
                Mount(Path(probe.__file__), "/bench/probe.py", read_only=True),
                Mount(self.interpreter, PYTHON, read_only=True),
                Mount(home, HOME),
            ]
            if self.llama_bench is not None:
                mounts.append(Mount(self.llama_bench, LLAMA_BENCH, read_only=True))
            env = {"HOME": HOME, "PATH": "/usr/bin:/bin"}
            target = self.program.target
            with self.engine.container(
                self.image, target=target, mounts=mounts, env=env, **options
            ) as container:
                inside = BenchContainer(container, self.python())
                inside.say([f"/bundle/{self.bundle.name}", "--appimage-extract"])
                yield inside


class BenchContainer:
    """One container to measure in."""

    def __init__(self, container: Container, python: Sequence[str]) -> None:
        self._container = container
        self._python = tuple(python)

    def say(self, argv: Sequence[str]) -> str:
        """Run a program, not timed, and return its output."""
        done = self._container.exec(argv, workdir=HOME, timeout=TIMEOUT)
        if done.exit_code:
            text = (done.stderr or done.stdout).decode(errors="replace").strip()
            raise BenchFailed(f"{argv[0]} ended with exit code {done.exit_code}: {text}")
        return done.stdout.decode(errors="replace")

    def python(self, code: str) -> str:
        """What ``code`` prints, run by the interpreter that measures."""
        return self.say([*self._python, "-c", code]).strip()

    def measure(self, steps: Sequence[Step], runs: int) -> dict[str, list[Timed]]:
        """Run ``steps`` in turns, ``runs`` times after one to warm up; results by step.

        Raises:
            BenchFailed: a step ended with an error.
        """
        plan = json.dumps({"runs": runs, "steps": [step.plan() for step in steps]})
        done = self._container.exec(
            [*self._python, "/bench/probe.py"], stdin=plan.encode(), timeout=TIMEOUT
        )
        if done.exit_code:
            raise BenchFailed(done.stderr.decode(errors="replace").strip())
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return {step.name: [_result(run[step.name]) for run in found] for step in steps}


def _result(facts: dict[str, Any]) -> Timed:
    lines = tuple((moment, text) for moment, text in facts["lines"])
    return Timed(
        facts["seconds"],
        lines,
        facts["stderr"],
        facts["peak"],
        facts["processor"],
        tuple(facts["resident"]),
    )


def workflow(
    threads: int | None,
    tokens: int = ANSWER_TOKENS,
    action: str = "llm.stream",
    settings: Mapping[str, str] | None = None,
) -> str:
    """One question to the local model; ``threads`` None: nothing told. ``settings``: of the llm."""
    more = dict(settings or {})
    if threads is not None:
        more["n_threads"] = str(threads)
    told = "".join(f"    {name}: {value}\n" for name, value in more.items())
    return (
        "name: bench\n"
        f"settings:\n  llm:\n    backend: local\n    max_tokens: {tokens}\n{told}"
        "nodes:\n"
        "  - name: tell\n"
        f"    uses: {action}\n"
        f"    with:\n      prompt: {QUESTION}\n      temperature: 0\n"
        "    output:\n"
        '      usage: "{{ result.usage }}"\n'
        '      place: "{{ env.APPDIR }}"\n'
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """What a streamed answer tells of its speed. Times in seconds since the program's start."""

    first: float  # the first piece of text
    done: float  # the last token was there
    prompt_tokens: int
    tokens: int
    place: str  # the AppDir that it ran in

    @property
    def rate(self) -> float:
        """Tokens per second, without load, prompt and the first token, which the prompt gives."""
        return (self.tokens - 1) / (self.done - self.first)

    @classmethod
    def of(cls, result: Timed, tokens: int = ANSWER_TOKENS) -> Answer:
        """Read the events.

        Raises:
            BenchFailed: the answer was shorter than asked for, so that rates would not compare.
        """
        events = [(moment, json.loads(text)) for moment, text in result.lines]
        first = next((moment for moment, event in events if event["type"] == "token"), None)
        done = next((item for item in events if item[1]["type"] == "node_complete"), None)
        if first is None or done is None:
            raise BenchFailed("the model gave no answer", hint=result.stderr[-200:])
        update = done[1]["update"]
        usage = update["usage"]
        if usage["completion_tokens"] != tokens:
            raise BenchFailed(
                f"the answer has {usage['completion_tokens']} tokens, {tokens} are needed",
                hint="its model no longer answers the question at that length; choose another one",
            )
        return cls(first, done[0], usage["prompt_tokens"], tokens, str(update["place"]))


def bench_rate(result: Timed) -> float:
    """Tokens per second as llama-bench says."""
    facts = json.loads("".join(text for _, text in result.lines))
    return float(facts[0]["avg_ts"])


def logged_rate(result: Timed, tokens: int = ANSWER_TOKENS) -> float:
    """Tokens per second as the program's log says, without the first, which the prompt gives.

    Raises:
        BenchFailed: the answer was shorter than asked for.
    """
    found = re.search(rf"answer: {tokens} tokens(?: \([^)]*\))?, ([\d.]+) a second", result.stderr)
    if found is None:
        raise BenchFailed(f"no answer of {tokens} tokens", hint=result.stderr[-200:])
    return float(found[1]) * (tokens - 1) / tokens


def logged_answers(result: Timed) -> list[tuple[int, float]]:
    """Tokens and seconds of each answer, as the program's log says."""
    pattern = r"answer: (\d+) tokens(?: \([^)]*\))?, ([\d.]+) a second"
    found = re.findall(pattern, result.stderr)
    return [(int(tokens), int(tokens) / float(rate)) for tokens, rate in found if float(rate)]


def cpu_backend(text: str) -> str:
    """The CPU backend that a log names last."""
    found = re.findall(r"libggml-cpu-[\w.]+\.so", text)
    return str(found[-1]) if found else "none"
