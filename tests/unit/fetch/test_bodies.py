"""Ways in which a server may send a body, other than the Hub's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tasks.catalog import UrlSource
from tasks.fetch import ensure
from tests.support import fetching
from tests.support.fetching import CONTENT, Waits
from tests.support.loopback import LoopbackHub


class Server(BaseHTTPRequestHandler):
    """Sends the small model; a subclass says how."""

    wbufsize = len(CONTENT) * 2  # headers and body leave in one piece

    def log_message(self, *_: object) -> None:
        """Silence."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.body()

    def body(self) -> None:
        raise NotImplementedError


class Announced(Server):
    protocol_version = "HTTP/1.1"

    def body(self) -> None:
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)


class OldAnnounced(Announced):
    protocol_version = "HTTP/1.0"


class UntilTheEnd(Server):
    protocol_version = "HTTP/1.0"

    def body(self) -> None:
        self.end_headers()
        self.wfile.write(CONTENT)


class Chunked(Server):
    protocol_version = "HTTP/1.1"

    def body(self) -> None:
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for start in range(0, len(CONTENT), 7000):
            block = CONTENT[start : start + 7000]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block))
        self.wfile.write(b"0\r\n\r\n")


@contextmanager
def serving(kind: type[Server]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/model.gguf"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("kind", [Announced, OldAnnounced, UntilTheEnd, Chunked])
def test_body_is_the_same_however_it_is_sent(
    kind: type[Server], store: Path, waits: Waits, hub: LoopbackHub
) -> None:
    with serving(kind) as url:
        plain = UrlSource(url, fetching.SIZE, fetching.SHA256)
        model = replace(fetching.model(), sources=(plain,))
        stored = ensure.ensure(model, fetching.options(hub, store, waits))
    assert stored.path.read_bytes() == CONTENT
    assert waits.asked == []
