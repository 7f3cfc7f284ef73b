"""The cases of the conformance suite that run a command, on the Rust program."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from tests.conformance.case import Case, load_cases
from tests.conformance.judge import differences
from tests.conformance.python_engine import script_of
from tests.conformance.scripted import ScriptedApi
from tests.conformance.stage import Outcome, Stage
from tests.tea.cli.tea_process import DEADLINE

CASES = [case for case in load_cases() if "command" in case.data and case.runs_on("rust")]
ORIGIN = "http://models.test"  # where the cases' API is


@contextmanager
def serving(api: ScriptedApi) -> Iterator[str]:
    """The case's API on this machine's loopback, for a program cannot be given a scripted one."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            url, headers = ORIGIN + self.path, dict(self.headers)
            asyncio.run(self.answer(httpx.Request("POST", url, headers=headers, content=content)))

        async def answer(self, request: httpx.Request) -> None:
            response = await api.handle_async_request(request)
            self.send_response(response.status_code)
            self.send_header("Content-Type", response.headers.get("Content-Type", "text/plain"))
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            async for piece in response.aiter_bytes():
                self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_rust_program_does_what_the_case_says(
    case: Case, program: Path, tmp_path: Path
) -> None:
    stage, outcome = Stage(case, tmp_path), Outcome()
    with serving(ScriptedApi(script_of(stage, "api", outcome))) as url:
        for file in stage.directory.glob("*.yaml"):
            file.write_bytes(file.read_bytes().replace(ORIGIN.encode(), url.encode()))
        done = subprocess.run(
            [program, *stage.data["command"]],
            input=stage.data.get("stdin", "").encode(),
            capture_output=True,
            env={"HOME": str(stage.root), "PATH": os.defpath, **stage.data.get("env", {})},
            cwd=stage.directory,
            timeout=DEADLINE,
            check=False,
        )
    outcome.exit = done.returncode
    outcome.stdout, outcome.stderr = done.stdout.decode(), done.stderr.decode()
    assert differences(case.expect, outcome, stage) == [], case.about


def test_there_are_cases_of_commands() -> None:
    assert len(CASES) >= 50
