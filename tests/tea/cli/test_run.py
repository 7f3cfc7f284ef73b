from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from tests.tea.cli.tea_process import start, tea, tea_anew
from tests.tea.llm.api_server import Api, Handler, answer, chat, delta, events, serve

SUM = """\
name: sum
initial_state: {a: 1, "é": x}
nodes:
  - name: add
    uses: template
    with: {template: "{{ state.a + 1 }}"}
    output: total
"""
FAILS = """\
nodes:
  - name: divide
    uses: template
    with: {template: "{{ 1 / state.zero }}"}
"""
WARNS = "observability: {}\n" + SUM
INVALID = "nodes:\n  - name: a\n    uses: templat\n  - nme: b\n"


@pytest.fixture
def api() -> Iterator[Api]:
    with serve() as server:
        yield server


def write(folder: Path, text: str, name: str = "w.yaml") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return name


def asking(api: Api, action: str = "llm.call") -> str:
    return f"""\
settings: {{llm: {{backend: api, api_base: "{api.url}", model: m, api_key: sk-0123456789abcdef}}}}
nodes:
  - name: ask
    uses: {action}
    with: {{prompt: "{{{{ state.question }}}}"}}
    output: {{answer: "{{{{ result.content }}}}"}}
"""


def test_the_final_state_is_the_only_thing_on_stdout(tmp_path: Path) -> None:
    done = tea(tmp_path, "run", write(tmp_path, WARNS), "-i", '{"a": 41, "b": "ü"}')
    assert done.returncode == 0
    assert done.stdout.decode() == ('{\n  "a": 41,\n  "é": "x",\n  "b": "ü",\n  "total": 42\n}\n')
    assert "observability" in done.stderr.decode()


def test_quiet_keeps_warnings_back(tmp_path: Path) -> None:
    assert tea(tmp_path, "run", write(tmp_path, WARNS), "-q").stderr == b""


def test_workflow_and_input_may_come_from_pipe_and_file(tmp_path: Path) -> None:
    write(tmp_path, '{"a": 2}', "input.json")
    done = tea(tmp_path, "run", "-", "-i", "@input.json", stdin=SUM.encode())
    assert json.loads(done.stdout)["total"] == 3


@pytest.mark.parametrize(
    ("option", "text", "words"),
    [
        ("--input", "{", "--input is not JSON"),
        ("--input", "[1]", "--input must be a JSON map"),
        ("--input", '{"a": NaN}', "NaN is not a JSON number"),
        ("--input", "@none.json", "none.json cannot be read"),
        ("--input", "[" * 100_000, "--input is"),
        ("--secrets", "7", "--secrets must be a JSON map"),
        ("--secrets-env", "", "an empty one would take every variable"),
        ("--fail-on-state", "total", "is not KEY=VALUE"),
        ("--output", "none/out.json", "no such folder"),
        ("--output", ".", "a folder"),
    ],
)
def test_a_wrong_option_is_exit_code_2(tmp_path: Path, option: str, text: str, words: str) -> None:
    done = tea(tmp_path, "run", write(tmp_path, SUM), option, text)
    assert (done.returncode, done.stdout) == (2, b"")
    assert words in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


def test_a_file_that_is_not_utf8_is_refused_by_its_place(tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_bytes(b"nodes: \xff")
    done = tea(tmp_path, "run", "w.yaml")
    assert done.returncode == 2
    assert b"w.yaml is not UTF-8: byte 7" in done.stderr


def test_an_invalid_file_is_exit_code_2_with_every_problem(tmp_path: Path) -> None:
    done = tea(tmp_path, "run", write(tmp_path, INVALID))
    assert (done.returncode, done.stdout) == (2, b"")
    lines = done.stderr.decode().splitlines()
    assert any(line.startswith("w.yaml:3:") and "templat" in line for line in lines)
    assert any(line.startswith("w.yaml:4:") and "nme" in line for line in lines)


def test_a_failed_workflow_is_exit_code_1_and_keeps_its_state(tmp_path: Path) -> None:
    done = tea(tmp_path, "run", write(tmp_path, FAILS), "-i", '{"zero": 0}', "-o", "out.json")
    assert (done.returncode, done.stdout) == (1, b"")
    assert "node divide" in done.stderr.decode()
    state = json.loads((tmp_path / "out.json").read_text())
    assert state["zero"] == 0
    assert state["__error__"]["node"] == "divide"


def test_the_state_goes_to_a_file_whole(tmp_path: Path) -> None:
    done = tea(tmp_path, "run", write(tmp_path, SUM), "-o", "out.json")
    assert (done.returncode, done.stdout) == (0, b"")
    assert json.loads((tmp_path / "out.json").read_text("utf-8"))["total"] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.json", "w.yaml"]


@pytest.mark.parametrize(
    ("condition", "code"),
    [("total=2", 1), ("total=3", 0), ("é=x", 1), ("none=", 0), ("list=[1, true]", 1), ("t=a=b", 1)],
)
def test_a_named_value_in_the_final_state_fails_the_run(
    tmp_path: Path, condition: str, code: int
) -> None:
    given = '{"list": [1, true], "t": "a=b"}'
    done = tea(tmp_path, "run", write(tmp_path, SUM), "-i", given, "--fail-on-state", condition)
    assert done.returncode == code
    assert json.loads(done.stdout)["total"] == 2


def test_secrets_are_given_and_stay_out_of_the_state(
    tmp_path: Path,
) -> None:
    text = """\
nodes:
  - name: a
    uses: template
    with: {template: "{{ secrets.api_key == 'from-variable' and secrets.other == 'from-option' }}"}
    output: seen
  - name: b
    uses: template
    with: {template: "key: {{ secrets.api_key }}"}
    output: leaked
"""
    done = tea(
        tmp_path, "run", write(tmp_path, text), "--secrets-env", "MY_",
        "--secrets", '{"api_key": "from-option", "other": "from-option"}',
        MY_API_KEY="from-variable",
    )  # fmt: skip
    state = json.loads(done.stdout)
    assert state["seen"] is True
    assert "from-variable" not in done.stdout.decode()


def test_a_stream_is_one_event_a_line(tmp_path: Path, api: Api) -> None:
    api.scripts = [events(delta("Pa"), delta("ris"), delta(None, "stop"), "data: [DONE]\n")]
    done = tea(
        tmp_path, "run", write(tmp_path, asking(api, "llm.stream")), "--stream",
        "-i", '{"question": "Capital?"}',
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [line["type"] for line in lines]
    assert (kinds[0], set(kinds[1:-2]), kinds[-2:]) == (
        "start",
        {"token"},
        ["node_complete", "complete"],
    )
    assert "".join(line.get("text", "") for line in lines) == "Paris"
    assert lines[-1]["state"] == {"question": "Capital?", "answer": "Paris"}


def test_a_failure_is_an_event_of_the_stream_too(tmp_path: Path, api: Api) -> None:
    api.scripts = [answer({"error": {"message": "no"}}, 400)]
    done = tea(tmp_path, "run", write(tmp_path, asking(api)), "--stream", "-i", '{"question": "x"}')
    assert done.returncode == 1
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["type"] == "error"
    assert last["error"]["type"] == "ApiError"
    assert "sk-0123456789abcdef" not in (done.stdout + done.stderr).decode()
    assert b"answered 400: no" in done.stderr


def test_an_unusable_model_is_exit_code_3(tmp_path: Path, api: Api) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"not a model")
    file = write(tmp_path, asking(api))
    done = tea(
        tmp_path, "run", file, "--backend", "local", "--gguf", "bad.gguf",
        "-i", '{"question": "x"}',
    )  # fmt: skip
    assert done.returncode == 3
    assert b"bad.gguf is not a GGUF file" in done.stderr
    assert api.requests == []


@pytest.mark.parametrize("background", [False, True], ids=["plain", "as scripts start with &"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_ends_with_the_code_of_its_signal(
    tmp_path: Path, api: Api, number: signal.Signals, code: int, background: bool
) -> None:
    started: Future[int] = Future()

    def endless(handler: Handler) -> None:
        # The program may ask before ``start`` has returned.
        os.kill(started.result(20), number)
        handler.rfile.read(1)

    api.scripts = [endless]
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN if background else signal.SIG_DFL)
    try:
        process = start(tmp_path, "run", write(tmp_path, asking(api)), "-i", '{"question": "x"}')
    finally:
        signal.signal(signal.SIGINT, usual)
    started.set_result(process.pid)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (code, b"", b"")


def test_a_reader_that_leaves_ends_the_run_quietly(tmp_path: Path, api: Api) -> None:
    pieces = [delta(f"piece {number} ") for number in range(2000)]
    api.scripts = [events(*pieces, delta(None, "stop"))]
    file = write(tmp_path, asking(api, "llm.stream"))
    process = start(tmp_path, "run", file, "--stream", "-i", '{"question": "x"}')
    assert process.stdout is not None
    assert process.stderr is not None
    assert json.loads(process.stdout.readline())["type"] == "start"
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(20) == 141
    process.stderr.close()


@pytest.mark.parametrize("locale", ["C", "POSIX", "de_DE.ISO-8859-1"])
def test_the_locale_changes_nothing_about_utf8(tmp_path: Path, api: Api, locale: str) -> None:
    api.scripts = [answer(chat("Grüße"))]
    file = write(tmp_path, asking(api))
    done = tea_anew(
        tmp_path, "run", file, "-i", '{"question": "Für é?"}',
        LC_ALL=locale, PYTHONUTF8="0", PYTHONCOERCECLOCALE="0",
    )  # fmt: skip
    assert json.loads(done.stdout.decode("utf-8")) == {"question": "Für é?", "answer": "Grüße"}
    assert api.requests[0]["body"]["messages"][0]["content"] == "Für é?"


def test_files_are_reached_below_the_allowed_folders_only(tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    home.mkdir()
    other.mkdir()
    (other / "note.txt").write_text("hello")
    text = f"""\
nodes:
  - name: read
    uses: file.read
    with: {{path: "{other / "note.txt"}"}}
"""
    file = write(home, text)
    assert tea(home, "run", file).returncode == 1
    done = tea(home, "run", file, "--allow-path", str(other))
    assert json.loads(done.stdout)["content"] == "hello"


def test_validate_prints_all_problems_of_all_files(tmp_path: Path) -> None:
    bad, good = write(tmp_path, INVALID, "bad.yaml"), write(tmp_path, WARNS, "good.yaml")
    done = tea(tmp_path, "validate", bad, good)
    assert done.returncode == 2
    lines = done.stdout.decode().splitlines()
    assert sum(line.startswith("bad.yaml:") for line in lines) >= 2
    assert any(line.startswith("good.yaml:1:1: warning:") for line in lines)
    assert done.stderr.decode() == "good.yaml: valid\n"


def test_validate_can_answer_in_json(tmp_path: Path) -> None:
    bad, good = write(tmp_path, INVALID, "bad.yaml"), write(tmp_path, SUM, "good.yaml")
    done = tea(tmp_path, "validate", "--json", bad, good)
    first, second = json.loads(done.stdout)
    assert (done.returncode, first["valid"], second["valid"]) == (2, False, True)
    assert second == {"file": "good.yaml", "valid": True, "problems": []}
    assert {"file", "line", "column", "severity", "message", "hint"} == set(first["problems"][0])


def test_branches_ask_an_api_at_the_same_time(tmp_path: Path, api: Api) -> None:
    together = threading.Barrier(3)  # broken where one request waits for another's answer

    def meet(handler: Handler) -> None:
        together.wait(timeout=10)
        answer(chat("yes"))(handler)

    api.scripts = [meet]
    file = write(
        tmp_path,
        f"""\
settings: {{llm: {{backend: api, api_base: "{api.url}", model: m}}}}
nodes:
  - name: each
    type: dynamic_parallel
    items: [a, b, c]
    max_concurrency: 3
    action: {{uses: llm.call, with: {{prompt: "{{{{ item }}}}"}}, output: said}}
""",
    )
    done = tea(tmp_path, "run", file)
    results = json.loads(done.stdout)["parallel_results"]
    assert [result["state"]["item"] for result in results] == ["a", "b", "c"]
    assert [result["state"]["said"]["content"] for result in results] == ["yes"] * 3
