from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tea.cli.tea_process import Terminal, tea, tea_in_shell
from tests.tea.llm.api_server import Api, Handler, Script, answer, chat, delta, events, serve


@pytest.fixture
def api() -> Iterator[Api]:
    with serve() as server:
        yield server


@pytest.fixture
def terminal(tmp_path: Path, api: Api) -> Iterator[Terminal]:
    made = Terminal(tmp_path, "chat", *options(api), "--system", "Be brief.")
    yield made
    made.kill()


def options(api: Api) -> list[str]:
    return ["--backend", "api", "--api-base", api.url, "--model", "m"]


def says(*pieces: str) -> Script:
    return events(*map(delta, pieces), delta(None, "stop"), "data: [DONE]\n")


def messages(api: Api) -> list[tuple[str, str]]:
    """Return the latest request's conversation."""
    return [(each["role"], each["content"]) for each in api.requests[-1]["body"]["messages"]]


def test_one_question_gets_one_answer(tmp_path: Path, api: Api) -> None:
    api.scripts = [says("Pa", "ris")]
    done = tea(
        tmp_path, "chat", "Capital?", *options(api), "--system", "Be brief.", "--temperature", "0",
        "--max-tokens", "5", "--seed", "3",
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, b"Paris\n", b"")
    assert messages(api) == [("system", "Be brief."), ("user", "Capital?")]
    body = api.requests[0]["body"]
    assert (body["temperature"], body["max_tokens"], body["seed"]) == (0, 5, 3)


def test_piped_input_is_the_question(tmp_path: Path, api: Api) -> None:
    api.scripts = [answer(chat("ok"))]
    done = tea(tmp_path, "chat", *options(api), stdin="Erste Zeile\nzweite: é\n".encode())
    assert (done.returncode, done.stdout) == (0, b"ok\n")
    assert messages(api) == [("user", "Erste Zeile\nzweite: é")]


def test_piped_input_follows_the_question(tmp_path: Path, api: Api) -> None:
    api.scripts = [answer(chat("ok"))]
    assert tea(tmp_path, "chat", "Sum it up:", *options(api), stdin=b"one\ntwo\n").stdout == b"ok\n"
    assert messages(api) == [("user", "Sum it up:\n\none\ntwo")]
    assert tea(tmp_path, "chat", "-", *options(api), stdin=b"one\n").stdout == b"ok\n"
    assert messages(api) == [("user", "one")]


def test_a_dash_reads_what_is_typed(tmp_path: Path, api: Api) -> None:
    api.scripts = [answer(chat("ok"))]
    terminal = Terminal(tmp_path, "chat", "-", *options(api))
    try:
        terminal.type("typed\n\x04")
        terminal.read_until("ok")
        assert terminal.wait() == 0
    finally:
        terminal.kill()
    assert messages(api) == [("user", "typed")]


def test_piped_input_without_an_end_is_refused(tmp_path: Path, api: Api) -> None:
    script = f"yes | tea chat question {' '.join(options(api))}"
    done = tea_in_shell(tmp_path, script)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"standard input has more than 16000000 bytes" in done.stderr
    assert api.requests == []


def test_a_prompt_too_long_for_any_api_is_not_sent(tmp_path: Path, api: Api) -> None:
    system = "x" * 100_000  # the longest argument has 128 kB
    done = tea(tmp_path, "chat", "hi", *options(api), "--system", system, stdin=b"y" * 15_950_000)
    assert done.returncode == 1
    assert b"the messages have more than 16000000 bytes" in done.stderr
    assert api.requests == []


def test_an_error_after_half_an_answer_is_on_a_line_of_its_own(tmp_path: Path, api: Api) -> None:
    api.scripts = [events(delta("Half"), breaks_off=True)]
    done = tea_in_shell(tmp_path, f"tea chat hi {' '.join(options(api))} 2>&1")
    assert done.returncode == 1
    assert done.stdout.startswith(b"Half\ntea: ")


def test_a_terminal_is_not_commanded_by_what_is_printed(
    tmp_path: Path, api: Api, terminal: Terminal
) -> None:
    text = "red \x1b[31m \x9b31m bell \x07 tab\t."
    api.scripts = [says(text), answer({"error": {"message": "no \x1b]0;title\x07"}}, 400)]
    terminal.read_until("> ")
    terminal.type("hi\n")
    shown = terminal.read_until("tab")
    assert "red \\u001b[31m \\u009b31m bell \\u0007 tab" in shown
    terminal.read_until("> ")
    terminal.type("again\n")
    terminal.read_until("no \\u001b]0;title\\u0007")
    api.scripts = [says(text)]
    assert tea(tmp_path, "chat", "hi", *options(api)).stdout == f"{text}\n".encode()


def test_a_conversation_remembers_what_was_said(api: Api, terminal: Terminal) -> None:
    api.scripts = [says("Hello", "!"), says("Again!")]
    terminal.read_until("> ")
    terminal.type("hi\n")
    terminal.read_until("Hello!")
    terminal.read_until("> ")
    terminal.type("\n")
    terminal.read_until("> ")
    terminal.type("once more é\n")
    terminal.read_until("Again!")
    assert messages(api) == [
        ("system", "Be brief."),
        ("user", "hi"),
        ("assistant", "Hello!"),
        ("user", "once more é"),
    ]
    terminal.read_until("> ")
    terminal.type("/quit\n")
    assert terminal.wait() == 0


def test_reset_forgets_and_other_commands_are_explained(api: Api, terminal: Terminal) -> None:
    api.scripts = [says("one"), says("two")]
    terminal.read_until("> ")
    terminal.type("first\n")
    terminal.read_until("one")
    terminal.type("/rest\n")
    terminal.read_until("There is no /rest.")
    terminal.type("/reset\n")
    terminal.read_until("A new conversation.")
    terminal.type("second\n")
    terminal.read_until("two")
    assert messages(api) == [("system", "Be brief."), ("user", "second")]


def test_ctrl_d_leaves(terminal: Terminal) -> None:
    terminal.read_until("> ")
    terminal.type("\x04")
    assert terminal.wait() == 0


def test_ctrl_c_stops_an_answer_and_keeps_what_was_said(api: Api, terminal: Terminal) -> None:
    released = threading.Event()

    def slow(handler: Handler) -> None:
        events(delta("Once upon"), breaks_off=True)(handler)
        released.wait(20)

    api.scripts = [slow, says("The end.")]
    try:
        terminal.read_until("> ")
        terminal.type("a story\n")
        terminal.read_until("Once upon")
        terminal.type("\x03")
        terminal.read_until(" …")
        terminal.read_until("> ")
    finally:
        released.set()
    terminal.type("go on\n")
    terminal.read_until("The end.")
    assert messages(api)[2:] == [("assistant", "Once upon"), ("user", "go on")]


def test_ctrl_c_at_the_prompt_does_not_leave(api: Api, terminal: Terminal) -> None:
    api.scripts = [says("still here")]
    terminal.read_until("> ")
    terminal.type("half a que")
    terminal.read_until("half a que")
    terminal.wait_until_it_listens()
    terminal.type("\x03")
    terminal.read_until("> ")
    terminal.type("hi\n")
    terminal.read_until("still here")
    assert messages(api)[-1] == ("user", "hi")


def test_an_error_does_not_end_a_conversation(api: Api, terminal: Terminal) -> None:
    api.scripts = [answer({"error": {"message": "busy"}}, 503), says("now")]
    terminal.read_until("> ")
    terminal.type("hi\n")
    terminal.read_until("answered 503: busy")
    terminal.read_until("> ")
    terminal.type("hi again\n")
    terminal.read_until("now")
    assert messages(api) == [("system", "Be brief."), ("user", "hi again")]


def test_no_argument_on_a_terminal_is_a_chat(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    try:
        terminal.read_until("no model found")
        assert terminal.wait() == 3
    finally:
        terminal.kill()
