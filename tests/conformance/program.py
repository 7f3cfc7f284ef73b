"""Runs the program ``tea`` for a case, its API on the loopback."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .sandbox import Outcome, Sandbox
from .scripted import Models

ORIGIN = "http://models.test"  # where the cases' API is
DEADLINE = 60  # seconds


def call(sandbox: Sandbox) -> dict[str, Any]:
    """Return the arguments, the input, the whole environment and the folder of a command."""
    env = {"HOME": str(sandbox.root), "PATH": os.defpath, **sandbox.data.get("env", {})}
    return {
        "words": sandbox.data["command"],
        "stdin": sandbox.data.get("stdin", ""),
        "env": env,
        "directory": str(sandbox.directory),
    }


def play(program: str, sandbox: Sandbox, models: Models) -> Outcome:
    """Return what came of the command."""
    told = call(sandbox)
    with _serving(models) as url:
        for file in sandbox.directory.glob("*.yaml"):
            file.write_bytes(file.read_bytes().replace(ORIGIN.encode(), url.encode()))
        done = subprocess.run(
            [program, *told["words"]],
            input=told["stdin"].encode(),
            capture_output=True,
            env=told["env"],
            cwd=told["directory"],
            timeout=DEADLINE,
            check=False,
        )
    outcome = models.outcome
    outcome.exit = done.returncode
    outcome.stdout, outcome.stderr = done.stdout.decode(), done.stderr.decode()
    return outcome


@contextmanager
def _serving(models: Models) -> Iterator[str]:
    """The case's API, for a program cannot be given a scripted one."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            headers = list(self.headers.items())
            answer = models.post({"url": ORIGIN + self.path, "headers": headers, "body": body})
            if "error" in answer:
                self.close_connection = True
                return
            self.send_response(answer["status"])
            for name, value in answer["headers"].items():
                self.send_header(name, value)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for chunk in answer["chunks"]:
                if not isinstance(chunk, str):
                    self.close_connection = True
                    return
                data = chunk.encode("latin-1")
                self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
