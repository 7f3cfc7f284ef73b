"""The Rust bundle beside the Python one: the same model gives the same answers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks import catalog, images
from tasks.base.paths import BUILD, ROOT
from tasks.build import bundle
from tasks.build.bundle import Options
from tasks.build.parts import Builder
from tasks.engine.engine import BuildOptions, Engine
from tasks.fetch.ensure import StoredModel
from tests.integration.conftest import MODEL, TARGET, Stranger, stranger

pytestmark = pytest.mark.integration
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]

PROMPTS = [
    *("What is the capital of France?", "Tell me a joke.", "Name three colours."),
    *("Write a haiku about rain.", "What is 7 times 8?", "Explain gravity in one sentence."),
    *("Wie geht es dir?", "日本の首都は?", "List two prime numbers.", "Who wrote Hamlet?"),
    *("Say hello in Spanish.", "What is photosynthesis?", "Give me a recipe for tea."),
    *("Describe the sea.", "What does 🙂 mean?", "Count to five.", "Translate 'cat' to French."),
    *("Why is the sky blue?", "Finish: once upon a time", "What is Rust?"),
]


def questions(temperature: float) -> dict[str, Any]:
    """A workflow that asks every prompt with a seed, some with a system text or a stop string."""
    nodes = []
    for number, prompt in enumerate(PROMPTS):
        call: dict[str, Any] = {"prompt": prompt, "temperature": temperature}
        call |= {"seed": 1000 + number, "max_tokens": 48}
        call |= {"system": "Answer in one short sentence."} if number % 2 else {}
        call |= {"stop": "."} if number % 5 == 0 else {}
        name = f"answer{number}"
        nodes.append({"name": name, "uses": "llm.call", "with": call, "output": name})
    return {"nodes": nodes}


@pytest.fixture(scope="module")
def rust_bundle() -> Path:
    """The AppImage of the Rust program with the smallest model."""
    (path,) = bundle.build(MODEL, TARGET.arch, Options(impls=("rust",)))
    return path


@pytest.fixture(scope="module")
def rust(engine: Engine, rust_bundle: Path) -> Iterator[Stranger]:
    """A clean container with the Rust bundle."""
    with engine.volume() as home, stranger(engine, home, rust_bundle) as found:
        yield found


def answers(machine: Stranger, temperature: float) -> dict[str, Any]:
    workflow = json.dumps(questions(temperature), ensure_ascii=False).encode()
    done = machine.tea("run", "-", stdin=workflow)
    assert done.exit_code == 0, done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("temperature", [0, 0.8])
def test_both_bundles_give_the_same_tokens_for_the_same_seed(
    clean: Stranger, rust: Stranger, temperature: float
) -> None:
    ours = answers(rust, temperature)
    assert len({each["content"] for each in ours.values()}) >= len(PROMPTS) - 2
    assert ours == answers(clean, temperature)


def shapes(count: int) -> bytes:
    """A workflow that asks for data of the first schemas; an answer that is cut is an error."""
    cases = yaml.safe_load((ROOT / "tests/shapes/schemas.yaml").read_text("utf-8"))
    nodes = []
    for seed, (name, case) in enumerate(list(cases.items())[:count]):
        call = {"prompt": case["prompt"], "schema": case["schema"], "seed": seed}
        call |= {"temperature": 1, "max_tokens": 128}
        node = {"name": name, "uses": "llm.call", "with": call, "output": name}
        nodes.append({**node, "on_error": {"mode": "graceful"}})
    return json.dumps({"nodes": nodes}).encode()


@pytest.mark.parametrize("count", [4, pytest.param(40, marks=pytest.mark.large)])
def test_both_bundles_give_the_same_data_for_the_same_seed(
    clean: Stranger, rust: Stranger, count: int
) -> None:
    ours, theirs = (each.tea("run", "-", stdin=shapes(count)) for each in (rust, clean))
    assert ours.exit_code == 0, ours.stderr.decode()
    found = json.loads(ours.stdout)
    assert sum("data" in answer for answer in found.values()) >= 0.9 * count
    assert found == json.loads(theirs.stdout)


def test_rust_bundle_says_its_implementation_and_backend(rust: Stranger) -> None:
    done = rust.tea("--version", "--impl", "-v")
    lines = done.stdout.decode().splitlines()
    assert lines[0].endswith("(rust)")
    assert lines[1].startswith("CPU backend: libggml-cpu-")


@pytest.fixture(scope="module")
def engine_host(engine: Engine) -> Path:
    """The Rust engine behind standard input and output, for the judge of conformance/."""
    output = BUILD / "rust-engine-host"
    base = images.ensure(catalog.images()["build"], engine.target, engine)
    engine.build(
        ROOT / "docker/rust-check/Dockerfile",
        context=ROOT,
        stage="engine-host",
        target=engine.target,
        args={"BASE": base.reference},
        output=output,
    )
    return output / "engine-host"


@pytest.fixture(scope="module")
def program(rust_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle's ``tea``, started as its runtime does: no shell, and the APPDIR of the test."""
    appdir = BUILD / f"rust-appdir-{TARGET.arch}"
    lib = appdir / "usr/lib"
    script = f"""#!{sys.executable} -IS
import os, sys
os.environ.setdefault("APPDIR", {str(appdir)!r})
os.environ.setdefault("TEA_LIBRARY_PATH", {str(lib / "llama")!r})
loader, libraries = {str(next(lib.glob("ld-linux-*")))!r}, {f"{lib}:{lib}/llama"!r}
words = ["--inhibit-cache", "--library-path", libraries, {str(appdir / "usr/bin/tea")!r}]
os.execv(loader, [loader, *words, *sys.argv[1:]])
"""
    start = tmp_path_factory.mktemp("program") / "tea"
    start.write_text(script)
    start.chmod(0o755)
    return start


def test_the_rust_program_passes_the_tests_of_the_python_one(
    program: Path, engine_host: Path
) -> None:
    """tests/tea/rust, and every case, on the bundle's own program."""
    programs = {"TEA_RUST_PROGRAM": str(program), "TEA_RUST_HOST": str(engine_host)}
    done = subprocess.run(
        [*PYTEST, "tests/tea/rust", "tests/conformance/test_conformance_cases.py"],
        cwd=ROOT,
        env={**os.environ, "TEA_ENGINES": "rust", **programs},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None and int(passed[1]) > 1500


def test_the_decode_loop_is_right_with_a_model(engine: Engine, model: StoredModel) -> None:
    """The Rust tests that are ignored where there is neither llama.cpp nor a model."""
    builder = Builder.on(engine, TARGET, BuildOptions())
    output = BUILD / "rust-computed"
    engine.build(
        ROOT / "docker/rust-check/Dockerfile",
        context=ROOT,
        stage="computed-results",
        target=engine.target,
        args={"BASE": builder.base.reference},
        contexts={"llama": builder.llama(), "model": model.path.parent},
        output=output,
    )
    passed = re.search(
        r"^test result: ok\. (\d+) passed", (output / "computed.txt").read_text(), re.M
    )
    assert passed is not None and int(passed[1]) >= 4


def test_rust_bundle_costs_little_beside_its_model(rust_bundle: Path) -> None:
    record = json.loads(rust_bundle.with_suffix(".json").read_text())
    assert record["size_without_model"] <= 13.5e6
