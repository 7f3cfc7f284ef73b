import os
import sys
from pathlib import Path

import pytest

from tasks.base import process
from tasks.base.errors import CommandFailed, MissingProgram
from tasks.base.paths import ROOT


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_failure_carries_the_exit_code_and_the_last_line() -> None:
    with pytest.raises(CommandFailed) as caught:
        process.run(python("print('first'); print('the cause'); print(); raise SystemExit(7)"))
    assert caught.value.returncode == 7
    assert caught.value.message.endswith("stopped with exit code 7: the cause")
    assert caught.value.output.splitlines()[0] == "first"


def test_an_error_keeps_no_more_than_the_tail_of_a_long_output() -> None:
    with pytest.raises(CommandFailed) as caught:
        process.run(python("for i in range(500): print(i)\nraise SystemExit(1)"), quiet=True)
    assert caught.value.output.splitlines() == [str(n) for n in range(500 - process.TAIL, 500)]


def test_stderr_and_stdout_reach_the_reader_in_their_order() -> None:
    lines: list[str] = []
    code = "import sys; print('a', flush=True); print('b', file=sys.stderr, flush=True); print('c')"
    process.run(python(code), on_line=lines.append)
    assert lines == ["a", "b", "c"]


def test_a_reader_of_lines_keeps_them_from_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    process.run(python("print('x' + 'yz')"), on_line=lambda line: None)
    assert "xyz" not in capfd.readouterr().err


def test_a_quiet_command_shows_its_output_only_when_it_fails(
    capfd: pytest.CaptureFixture[str],
) -> None:
    process.run(python("print('o' + 'k')"), quiet=True)
    assert "ok" not in capfd.readouterr().err
    with pytest.raises(CommandFailed):
        process.run(python("print('no' + 'pe'); raise SystemExit(1)"), quiet=True)
    assert "nope" in capfd.readouterr().err


def test_undecodable_output_is_no_error() -> None:
    code = "import sys; sys.stdout.buffer.write(b'a\\xffb')"
    assert process.capture(python(code)).stdout == "a\ufffdb"


def test_a_missing_program_is_named_with_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(MissingProgram, match="mmdebstrap: not installed") as caught:
        process.capture(["mmdebstrap"], env={"PATH": str(tmp_path)})
    assert "package mmdebstrap" in caught.value.hint
    with pytest.raises(MissingProgram, match="docker: not installed"):
        process.exchange(["docker"], env={"PATH": str(tmp_path)}, stdin=None, timeout=60)


def test_a_missing_folder_is_not_taken_for_a_missing_program(tmp_path: Path) -> None:
    with pytest.raises(MissingProgram, match="no such folder"):
        process.run(python("pass"), cwd=tmp_path / "nowhere")


def test_given_variables_are_laid_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "kept")
    code = "import os; print(os.environ['KEPT'], os.environ['ADDED'])"
    assert process.capture(python(code), env={"ADDED": "added"}).stdout == "kept added\n"
    assert "ADDED" not in os.environ


def test_a_program_that_gives_no_answer_in_time_is_an_error() -> None:
    with pytest.raises(CommandFailed, match=r"gave no answer in 0\.2 s") as caught:
        process.capture(python("import time; time.sleep(60)"), timeout=0.2)
    assert caught.value.returncode == 124


def test_an_unchecked_failure_is_returned() -> None:
    result = process.capture(python("raise SystemExit(3)"), check=False)
    assert result.returncode == 3


def test_standard_input_is_what_is_given_or_empty() -> None:
    code = "import sys; print(repr(sys.stdin.read()))"
    assert process.capture(python(code), stdin="text").stdout == "'text'\n"
    assert process.capture(python(code)).stdout == "''\n"


def test_bytes_go_in_and_out_as_they_are() -> None:
    code = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()); sys.exit(3)"
    given = b"\xff\r\n\0"
    done = process.exchange([sys.executable, "-c", code], env={}, stdin=given, timeout=60)
    assert (done.returncode, done.stdout) == (3, given)


def test_only_this_module_starts_programs() -> None:
    """``bench.probe`` runs alone, in a container."""
    starters = {
        str(file.relative_to(ROOT))
        for file in (ROOT / "tasks").rglob("*.py")
        if "import subprocess" in file.read_text()
    }
    assert starters == {"tasks/base/process.py", "tasks/bench/probe.py"}
