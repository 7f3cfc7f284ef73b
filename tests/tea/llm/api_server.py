"""A loopback server that speaks the chat completions protocol, and misbehaves on command."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Script = Callable[["Handler"], None]


@dataclass
class Api:
    """What the server was asked, and what it does next: one script a request, the last stays."""

    url: str = ""
    scripts: list[Script] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    api: Api
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.api.requests.append(
            {"path": self.path, "headers": dict(self.headers), "body": json.loads(body)}
        )
        scripts = self.api.scripts
        script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
        script(self)

    def send(self, status: int, body: bytes, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def answer(content: Any, status: int = 200, **headers: str) -> Script:
    """Send JSON, or bytes as they are."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.send(status, body, "application/json", named)


def chat(text: str, reason: str = "stop") -> dict[str, Any]:
    return {
        "model": "the-model-1",
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": reason}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8},
    }


def delta(text: str | None, reason: str | None = None) -> dict[str, Any]:
    return {
        "model": "the-model-1",
        "choices": [{"delta": {} if text is None else {"content": text}, "finish_reason": reason}],
    }


USAGE = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 3}}


def events(*data: dict[str, Any] | str, cuts: int = 0, breaks_off: bool = False) -> Script:
    """Stream ``data`` in chunks of ``cuts`` bytes (0: whole events); text is sent as a raw line."""
    lines = [
        f"{each}\n"
        if isinstance(each, str)
        else f"data: {json.dumps(each, ensure_ascii=False)}\n\n"
        for each in data
    ]
    body = "".join(lines).encode()
    pieces = [body[i : i + cuts] for i in range(0, len(body), cuts)] if cuts else [body]

    def script(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream; charset=utf-8")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for piece in pieces:
            handler.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            handler.wfile.flush()
        if breaks_off:
            handler.close_connection = True
        else:
            handler.wfile.write(b"0\r\n\r\n")

    return script


def hang_up(handler: Handler) -> None:
    """Close the connection without a word."""
    handler.close_connection = True
    handler.connection.close()


@contextmanager
def serve() -> Iterator[Api]:
    api = Api()
    handler = type("BoundHandler", (Handler,), {"api": api})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    api.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
