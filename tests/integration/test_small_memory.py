"""Bundles where memory is short: they answer, say why they are slow, or say what would fit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks import catalog, images
from tasks.build import sessions as builds
from tasks.build.bundle import Options, build
from tasks.build.sessions import Request
from tasks.engine.engine import Engine, Mount, Output
from tasks.smoke import run as smoke
from tests.integration.conftest import MODEL, TARGET
from tests.support import standin

pytestmark = pytest.mark.integration

MB = 1_000_000
CONTEXT = 2048  # tokens
# Beside what the program counts: what the kernel keeps for the container and its files.
KERNEL = 25 * MB
SLOW = "weights are not repacked, which is slower: a copy of them does not fit"
READ_AGAIN = "it is read again for each token, which is slow"
LONG = "word " * 600  # more than the 512 tokens that are computed at a time
MODEL_ERROR = 3
LIMIT_ERROR = 1

# The most anonymous memory that the program has, as the kernel counts it every 20 ms.
WATCH = """
exec 3<&0; "$@" <&3 > /dev/null 2> /tmp/said & most=0
while kill -0 $! 2> /dev/null; do
    size=$(sed -n 's/^RssAnon:[^0-9]*\\([0-9]*\\).*/\\1/p' /proc/$!/status 2> /dev/null)
    [ "${size:-0}" -gt $most ] && most=$size
    sleep 0.02
done
wait $! && echo $most && cat /tmp/said
"""


@dataclass(frozen=True)
class Machine:
    """Where a bundle is started: a clean container for each start, and a home that stays."""

    engine: Engine
    home: str
    bundle: Path

    def run(self, *argv: str, memory: int | None = None, prompt: str = "Hi", n_ctx: int) -> Output:
        """``argv``, with a workflow on its input that asks ``prompt``."""
        image = images.ensure(catalog.images()["smoke"], TARGET, self.engine).reference
        settings = {"backend": "local", "n_ctx": n_ctx, "max_tokens": 4}
        ask = {"name": "ask", "uses": "llm.call", "with": {"prompt": prompt, "temperature": 0}}
        return self.engine.run(
            image,
            argv,
            stdin=json.dumps({"settings": {"llm": settings}, "nodes": [ask]}).encode(),
            env={"HOME": smoke.HOME, "PATH": "/usr/bin:/bin"},
            mounts=[Mount(self.bundle, self.file, read_only=True), Mount(self.home, smoke.HOME)],
            memory=memory,
            timeout=smoke.START_TIMEOUT,
        )

    @property
    def file(self) -> str:
        return f"/bundle/{self.bundle.name}"

    def answer(self, memory: int | None = None, n_ctx: int = CONTEXT) -> Output:
        """``tea run -v`` with no more than ``memory`` bytes."""
        return self.run(self.file, "run", "-v", "-", memory=memory, n_ctx=n_ctx)


def counted(said: str) -> dict[str, int]:
    """The bytes that the program says a model takes, by what takes them; "" is all."""
    found = re.search(r"memory: ([\d,]+) MB \((.*?)\) of", said)
    assert found is not None, said
    parts = re.findall(r"(\w[\w ]*?) ([\d,]+) MB", found[2])
    return {name: int(size.replace(",", "")) * MB for name, size in [("", found[1]), *parts]}


@pytest.fixture(scope="module", params=catalog.IMPLEMENTATIONS)
def machine(request: pytest.FixtureRequest, engine: Engine) -> Iterator[Machine]:
    (bundle,) = build(MODEL, TARGET.arch, Options(impls=(request.param,)))
    with engine.volume() as home:
        yield Machine(engine, home, bundle)


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of Gemma 3 1B's shape and size."""
    gguf = tmp_path_factory.mktemp("gemma") / "gemma.gguf"
    standin.write(gguf)
    return gguf


@pytest.fixture(scope="module", params=catalog.IMPLEMENTATIONS)
def large(
    request: pytest.FixtureRequest,
    engine: Engine,
    gemma: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Machine]:
    options = Options(impls=(request.param,), dist=tmp_path_factory.mktemp("dist"))
    wanted = Request((), (TARGET.arch,), gemma, "small-memory", options)
    (bundle,) = builds.build(wanted)
    with engine.volume() as home:
        yield Machine(engine, home, bundle)


def holds_to_its_count(machine: Machine) -> None:
    done = machine.run(
        *("sh", "-c", WATCH, "sh", machine.file, "run", "-v", "-"), prompt=LONG, n_ctx=CONTEXT
    )
    assert done.exit_code == 0, done.stderr.decode()
    measured, said = done.stdout.decode().split("\n", 1)
    parts = counted(said)
    assert "repacked weights" in parts
    assert parts[""] == pytest.approx(int(measured) * 1024, rel=0.05)


def test_memory_is_what_was_computed_beforehand(machine: Machine) -> None:
    holds_to_its_count(machine)


def test_a_model_that_fits_without_a_copy_answers_slowly(machine: Machine) -> None:
    parts = counted(machine.answer().stderr.decode())
    least = parts[""] - parts["repacked weights"]
    done = machine.answer(least + KERNEL)
    said = done.stderr.decode()
    assert done.exit_code == 0, said
    assert SLOW in said
    assert READ_AGAIN in said


def test_a_context_that_does_not_fit_is_refused_with_one(machine: Machine) -> None:
    parts = counted(machine.answer().stderr.decode())
    memory = parts[""] - parts["repacked weights"] - parts["cache"] // 2 + KERNEL
    done = machine.answer(memory)
    assert done.exit_code == MODEL_ERROR
    said = done.stderr.decode()
    assert "not enough memory for a context of 2,048 tokens" in said
    fits = re.search(r"a context of ([\d,]+) tokens would fit", said)
    assert fits is not None, said
    assert machine.answer(memory, n_ctx=int(fits[1].replace(",", ""))).exit_code == 0


@pytest.mark.parametrize("kib", [120_000, 250_000])
def test_a_limit_of_addresses_is_the_reason_that_is_given(machine: Machine, kib: int) -> None:
    limited = ("sh", "-c", f'ulimit -v {kib}; exec "$@"', "sh")
    assert machine.run(machine.file, "--version", n_ctx=CONTEXT).exit_code == 0  # unpacks
    done = machine.run(*limited, machine.file, "run", "-", n_ctx=CONTEXT)
    assert done.exit_code == MODEL_ERROR
    assert re.search("cannot allocate memory|insufficient memory", done.stderr.decode().lower())


def test_a_prompt_longer_than_any_context_is_refused_unread(machine: Machine) -> None:
    ask = f"head -c 15000000 /dev/zero | tr '\\0' x | {machine.file} chat -"
    done = machine.run("sh", "-c", ask, n_ctx=CONTEXT)
    assert done.exit_code == LIMIT_ERROR
    assert "more than a context of 8192 tokens can hold" in done.stderr.decode()


@pytest.mark.large
@pytest.mark.parametrize("megabytes", [1150, 700, 400])
def test_gemma_answers_in_small_containers(large: Machine, megabytes: int) -> None:
    done = large.answer(megabytes * MB)
    said = done.stderr.decode()
    assert done.exit_code == 0, said
    assert SLOW in said
    assert READ_AGAIN in said


@pytest.mark.large
def test_gemma_is_refused_where_nothing_is_left(large: Machine) -> None:
    done = large.answer(100 * MB)
    assert done.exit_code == MODEL_ERROR
    assert "not enough memory for a context of 2,048 tokens" in done.stderr.decode()


@pytest.mark.large
def test_gemmas_memory_is_what_was_computed_beforehand(large: Machine) -> None:
    holds_to_its_count(large)
