"""Both programs side by side: the same results, exit codes, places and options."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.tea.cli import tea_process

FILES = {
    "good.yaml": "nodes:\n  - {name: a, uses: template, with: {template: 'x é'}, output: t}\n",
    "bad.yaml": "settings: {llm: {temprature: 1, top_k: -1}}\n"
    "nodes:\n  - {name: a, uses: llm.cal, with: {promt: x}}\n",
    "warns.yaml": "observability: {}\nnodes:\n  - name: a\n",
    "asks.yaml": "nodes:\n  - {name: a, uses: llm.call, with: {prompt: x}}\n",
    "fails.yaml": "nodes:\n  - {name: a, uses: json.parse, with: {text: '{'}}\n",
    "no.gguf": "GGUX\x03",
    "cut.gguf": "GGUF\x03\x00\x00\x00",
    "models/a.gguf": "",
    "models/b.gguf": "",
}

LINES = [
    *("", "-v", "foo", "runn", "x.yaml", "--foo", "-x", "--version run", "-vv"),
    *("run", "run x", "run x y", "run x -i", "run x -i [1]", "run x -i @nope", "run -x f"),
    *("run x --bakend y", "run --stream=3 x", "run x -o /nope/x", "run x -q -q -vq", "run /"),
    *("run a --fail-on-state x", "run x --secrets-env=", "run -- -x", "run -", "run -vq"),
    *("run good.yaml", "run good.yaml --stream", "run good.yaml -v", "run good.yaml -i {}"),
    *("run good.yaml --fail-on-state t=y", "run good.yaml --fail-on-state", "run bad.yaml"),
    *("run warns.yaml", "run warns.yaml -q", "run asks.yaml", "run asks.yaml --backend api"),
    *("run asks.yaml --backend local", "run asks.yaml --gguf nope", "run asks.yaml --gguf no.gguf"),
    *("run asks.yaml --gguf models", "validate", "validate good.yaml bad.yaml warns.yaml"),
    *("validate --json bad.yaml good.yaml warns.yaml", "validate -q good.yaml warns.yaml"),
    *("validate /nope bad.yaml", "validate --jsn f", "chat", "chat a b", "chat hi", "chat -1"),
    *("chat --temperature x", "chat --temperature 5", "chat --temperature -1 hi", "chat -- -x"),
    *("chat -- x --max-tokens 4", "run -o x -- w -q", "chat -", "chat --forget"),
    *("chat --seed 1.5 hi", "chat --seed -1 hi", "chat --seed= hi", "chat hi --model="),
    *("chat --max-tokens 9 --max-tokens 0 hi", "chat hi --backend api", "chat hi --api-base foo"),
    *("chat hi --api-base http://u:p@127.0.0.1:9/v1", "model", "model --gguf nope"),
    *("model --gguf models", "model --gguf cut.gguf", "model --gguf no.gguf", "model x"),
]


def run(home: Path, command: list[str]) -> tuple[int, str, str]:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=tea_process.environment(home),
        cwd=home,
        timeout=tea_process.DEADLINE,
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with files that are right and wrong in several ways."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


PLACES = re.compile(r"\b\w+\.yaml:\d+:\d+(?=:)")


@pytest.mark.parametrize("line", LINES)
def test_both_programs_end_the_same(program: Path, home: Path, line: str) -> None:
    """The words on stderr are each program's own; files, places and the result are not."""
    code, out, err = run(home, [str(program), *line.split()])
    theirs = run(home, tea_process.command(*line.split()))
    assert (code, PLACES.findall(err), bool(err)) == (
        theirs[0],
        PLACES.findall(theirs[2]),
        bool(theirs[2]),
    )
    assert facts(out) == facts(theirs[1])


def facts(out: str) -> object:
    """What standard output says, without the words of messages."""
    try:
        return without_words(json.loads(out))
    except ValueError:
        return PLACES.findall(out) or out


def without_words(value: Any) -> Any:
    if isinstance(value, list):
        return [without_words(item) for item in value]
    if isinstance(value, dict):
        words = ("message", "hint")
        return {key: without_words(item) for key, item in value.items() if key not in words}
    return value


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("run x --backend y", ["--backend", "y", "local", "api", "auto"]),
        ("run x --bakend y", ["--bakend", "--backend"]),
        ("run x -i", ["--input"]),
        ("run", ["FILE"]),
        ("runn x", ["runn", "run"]),
        ("x.yaml", ["x.yaml", "tea run x.yaml"]),
        ("chat --seed 1.5 hi", ["--seed", "1.5"]),
        ("chat --temperature 5", ["--temperature", "2"]),
    ],
)
def test_both_programs_name_what_is_wrong(
    program: Path, home: Path, line: str, words: list[str]
) -> None:
    for command in ([str(program)], tea_process.command()):
        code, out, err = run(home, [*command, *line.split()])
        assert (code, out) == (2, "")
        assert [word for word in words if word not in err] == []


@pytest.mark.parametrize("command", ["", "run", "validate", "chat", "model"])
def test_both_programs_offer_the_same_options(program: Path, home: Path, command: str) -> None:
    # Python's own versions lay help texts out differently.
    def offered(text: str) -> set[str]:
        return set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", text))

    words = [*command.split(), "--help"]
    ours = run(home, [str(program), *words])
    theirs = run(home, tea_process.command(*words))
    assert (ours[0], ours[2]) == (theirs[0], theirs[2]) == (0, "")
    assert offered(ours[1]) == offered(theirs[1])
    assert {"-h", "--help"} <= offered(ours[1])
