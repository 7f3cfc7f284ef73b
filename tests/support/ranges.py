"""A loopback server of plain files that answers range requests, and counts what it sends."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BOUNDARY = "part-of-a-file"
CHUNK = 1 << 20  # bytes


@dataclass
class RangeServer:
    """Where the files are served, and the bytes of all bodies by file name."""

    url: str
    sent: dict[str, int] = field(default_factory=dict)


@contextmanager
def serve(root: Path) -> Iterator[RangeServer]:
    """Serve the files in ``root`` until the block ends."""
    state = RangeServer("")
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            return

        def do_GET(self) -> None:
            path = root / self.path.lstrip("/")
            if path.parent != root or not path.is_file():
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            size = path.stat().st_size
            spans = _spans(self.headers.get("Range", ""), size)
            heads = [b""] * len(spans)
            if len(spans) > 1:
                heads = [_head(span, size) for span in spans]
            tail = f"\r\n--{BOUNDARY}--\r\n".encode() if len(spans) > 1 else b""
            length = sum(end - start for start, end in spans) + sum(map(len, heads)) + len(tail)
            self._begin(spans, size, length)
            with path.open("rb") as file:
                for (start, end), head in zip(spans, heads, strict=True):
                    self.wfile.write(head)
                    file.seek(start)
                    for at in range(start, end, CHUNK):
                        self.wfile.write(file.read(min(CHUNK, end - at)))
            self.wfile.write(tail)
            with lock:
                state.sent[path.name] = state.sent.get(path.name, 0) + length

        def _begin(self, spans: list[tuple[int, int]], size: int, length: int) -> None:
            whole = spans == [(0, size)] and "Range" not in self.headers
            self.send_response(HTTPStatus.OK if whole else HTTPStatus.PARTIAL_CONTENT)
            self.send_header("Content-Length", str(length))
            self.send_header("Accept-Ranges", "bytes")
            if len(spans) > 1:
                self.send_header("Content-Type", f"multipart/byteranges; boundary={BOUNDARY}")
            elif not whole:
                ((start, end),) = spans
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _spans(text: str, size: int) -> list[tuple[int, int]]:
    """The ranges asked for, as start and end; the whole file where none are."""
    found = re.findall(r"(\d+)-(\d+)", text)
    return [(int(first), min(int(last) + 1, size)) for first, last in found] or [(0, size)]


def _head(span: tuple[int, int], size: int) -> bytes:
    """What stands before one of several ranges."""
    start, end = span
    return (
        f"\r\n--{BOUNDARY}\r\nContent-Type: application/octet-stream\r\n"
        f"Content-Range: bytes {start}-{end - 1}/{size}\r\n\r\n"
    ).encode()
