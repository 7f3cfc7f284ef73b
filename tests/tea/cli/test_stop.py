"""One signal ends the program within a second, whatever it does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tea.cli.tea_process import DEADLINE, start, tea
from tests.tea.llm.api_server import Api, Handler, Script, delta, serve

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
# Seconds. A program ends what does not stop after 0.6; a busy machine takes its time.
SOON = 3.0

LOOPS = """\
nodes:
  - name: a
    type: while_loop
    condition: "true"
    max_iterations: 1000
    body:
      - name: b
        uses: template
        with: {template: "{% for a in range(100000) %}{{ a }}{% endfor %}"}
"""


@pytest.fixture
def api() -> Iterator[Api]:
    with serve() as server:
        yield server


def endless(begun: threading.Event) -> Script:
    """An answer that comes as fast as it is read and never ends."""

    def script(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.end_headers()
        piece = f"data: {json.dumps(delta('x'))}\n\n".encode() * 50
        try:
            while True:
                handler.wfile.write(piece)
                begun.set()
        except OSError:
            handler.close_connection = True

    return script


def ends(process: subprocess.Popen[bytes], number: signal.Signals) -> int:
    """Send the signal; return the exit code that came soon."""
    started = time.monotonic()
    process.send_signal(number)
    process.communicate(timeout=DEADLINE)
    assert time.monotonic() - started < SOON
    return process.returncode


def wait_until_it_runs(process: subprocess.Popen[bytes], state: str, seconds: float) -> None:
    """Return when the process has used ``seconds`` of processor time and is in ``state``."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        used = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        if fields[0] == state and used >= seconds:
            return
        time.sleep(0.01)
    raise AssertionError("it never came so far")


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_template_that_computes_is_stopped(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    (tmp_path / "w.yaml").write_text(LOOPS)
    process = start(tmp_path, "run", "w.yaml")
    wait_until_it_runs(process, "R", 1.0)
    assert ends(process, number) == code


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_fifo_that_nobody_writes_is_not_waited_for(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    os.mkfifo(tmp_path / "w.yaml")
    process = start(tmp_path, "run", "w.yaml")
    # Opened by us, it would be no wait any more: look at what the kernel says it waits for.
    deadline = time.monotonic() + DEADLINE
    while "wait_for_partner" not in Path(f"/proc/{process.pid}/wchan").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert ends(process, number) == code


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_an_endless_answer_is_stopped(
    tmp_path: Path, api: Api, number: signal.Signals, code: int
) -> None:
    begun = threading.Event()
    api.scripts = [endless(begun)]
    (tmp_path / "w.yaml").write_text(streaming(api))
    process = start(tmp_path, "run", "w.yaml")
    assert begun.wait(DEADLINE)
    assert ends(process, number) == code


def test_an_endless_answer_is_over_when_its_time_is(tmp_path: Path, api: Api) -> None:
    api.scripts = [endless(threading.Event())]
    (tmp_path / "w.yaml").write_text(streaming(api, ", timeout: 0.5"))
    done = tea(tmp_path, "run", "w.yaml")
    assert done.returncode == 1
    assert b"gave no answer within 0.5 seconds" in done.stderr


def streaming(api: Api, more: str = "") -> str:
    return (
        f'settings: {{llm: {{backend: api, api_base: "{api.url}", model: m}}}}\n'
        f"nodes: [{{name: ask, uses: llm.stream, with: {{prompt: hi{more}}}}}]\n"
    )
