"""The table of odd replies, played on the Rust program."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest

from tests.tea.cli import tea_process
from tests.tea.llm.api_replies import KEY, LATE, REPLIES, Reply
from tests.tea.llm.api_server import serve


@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: reply.name)
def test_each_reply_ends_in_time_with_its_answer_or_its_error(
    program: Path, tmp_path: Path, reply: Reply
) -> None:
    retries = 9 if reply.name == "endless retries" else 0
    llm = {"api_key": KEY, "model": "m", "timeout": reply.timeout, "max_retries": retries}
    ask = {"name": "ask", "uses": "llm.stream", "with": {"prompt": "Hi"}, "output": "answer"}
    ask["on_error"] = {"mode": "graceful"}
    with serve() as api:
        api.scripts = [reply.script]
        workflow = {"settings": {"llm": {"api_base": api.url, **llm}}, "nodes": [ask]}
        (tmp_path / "w.yaml").write_text(json.dumps(workflow))
        started = time.monotonic()
        done = subprocess.run(
            [program, "run", "w.yaml"],
            capture_output=True,
            env=tea_process.environment(tmp_path),
            cwd=tmp_path,
            timeout=LATE + 20,
            check=False,
        )
        assert time.monotonic() - started < LATE
    assert (done.returncode, done.stderr) == (0, b"")
    assert KEY[:9].encode() not in done.stdout
    state = json.loads(done.stdout)
    if reply.text is not None:
        found = state["answer"]
        assert (found["content"], found["finish_reason"]) == (reply.text, reply.reason)
    else:
        assert state["__error__"]["type"] == reply.kind
        assert reply.words in state["__error__"]["message"]
        assert len(state["__error__"]["message"]) < 600
