import re
import sys
from collections.abc import Iterator

import pytest

from tasks.base import console
from tasks.base.errors import DiskFull, TaskError


@pytest.mark.parametrize(
    ("value", "expected"),
    [("", False), ("0", False), ("false", False), ("False", False), ("1", True), ("true", True)],
)
def test_ci_is_on_for_any_value_that_does_not_say_no(value: str, expected: bool) -> None:
    assert console.in_ci({"CI": value}) is expected


def test_ci_is_off_when_not_set() -> None:
    assert console.in_ci({}) is False


def test_plain_progress_has_rate_and_time_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    times: Iterator[float] = iter([0.0, 1.0, 5.0, 6.0, 10.0])
    with console.transfer("file", 100_000_000, clock=lambda: next(times)) as advance:
        for _ in range(4):
            advance(10_000_000)
    lines = [line.strip() for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        "file: 20 of 100 MB, 4.0 MB/s, 20 s left",
        "file: 40 of 100 MB, 4.0 MB/s, 15 s left",
    ]


def test_a_resumed_transfer_s_rate_is_without_old_bytes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    times: Iterator[float] = iter([0.0, 5.0])
    with console.transfer("f", 100_000_000, done=80_000_000, clock=lambda: next(times)) as advance:
        advance(10_000_000)
    assert "f: 90 of 100 MB, 2.0 MB/s, 5 s left" in capsys.readouterr().err


def test_text_that_looks_like_markup_is_printed_as_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console.note("[red]x[/red] [1/2]")
    assert "[red]x[/red] [1/2]" in capsys.readouterr().err


def test_without_a_terminal_a_table_keeps_cells_on_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console.table("t", ("a", "b"), [("x" * 100, "y" * 100)])
    assert re.search("x{100} +y{100}", capsys.readouterr().out)


def test_without_a_terminal_the_answer_is_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    assert console.confirmed("go on?")


@pytest.mark.parametrize(
    ("answer", "expected"), [("", True), ("y", True), ("YES", True), ("n", False), ("what", False)]
)
def test_on_a_terminal_only_yes_and_return_mean_yes(
    monkeypatch: pytest.MonkeyPatch, answer: str, expected: bool
) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(console, "in_ci", lambda: False)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(console.err, "input", lambda prompt: answer)
    assert console.confirmed("go on?") is expected


def failing(error: BaseException) -> int:
    @console.reported
    def session() -> None:
        raise error

    with pytest.raises(SystemExit) as caught:
        session()
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_an_error_ends_a_session_with_its_code_and_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert failing(DiskFull("/d [x]", None, None)) == DiskFull.exit_code
    text = capsys.readouterr().err
    assert "error: /d [x]: no space left" in text
    assert "→ free some space" in text
    assert "Traceback" not in text


def test_ctrl_c_ends_a_session_with_130() -> None:
    assert failing(KeyboardInterrupt()) == 130


def test_an_error_of_our_own_making_is_not_hidden() -> None:
    @console.reported
    def session() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        session()


def test_a_session_that_ends_well_gives_its_value() -> None:
    assert console.reported(lambda: 5)() == 5


def test_a_stage_that_fails_is_not_said_to_be_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TaskError), console.stage("Work"):
        raise TaskError("no")
    text = capsys.readouterr().err
    assert "==> Work" in text
    assert "done" not in text
