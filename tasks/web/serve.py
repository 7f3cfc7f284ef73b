"""Serves a static site on the loopback, with the headers that the browser package needs."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO

from tasks import catalog
from tasks.base import console
from tasks.base.errors import HostError
from tasks.base.files import BLOCK
from tasks.fetch import ensure
from tasks.fetch.ensure import FetchOptions

HEADERS = {
    # Threads that share memory need a page that is isolated from other origins.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    # The rest of the policy is in the page itself, which cannot say this.
    "Content-Security-Policy": "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
MODELS = "/models/"
Find = Callable[[str], Path | None]  # the file of a name, where there is one


def stored_model(name: str) -> Path | None:
    """The file called ``name`` of a model that is in the store already."""
    for model in catalog.models().values():
        if model.file == name:
            found = ensure.stored(model, FetchOptions())
            return found.path if found else None
    return None


class Handler(SimpleHTTPRequestHandler):
    """Files of one folder, and the models of the store below /models/, in parts where asked."""

    extensions_map = {  # noqa: RUF012 (declared so where it comes from)
        **SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".wasm": "application/wasm",
        ".webmanifest": "application/manifest+json",
    }

    def __init__(self, *words: Any, directory: str, models: Find) -> None:
        self._found = models
        super().__init__(*words, directory=directory)

    def end_headers(self) -> None:
        """Add the headers that every answer has."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *words: Any) -> None:
        """Say nothing: the browser's own tools tell more."""

    def do_GET(self) -> None:
        """A model, or a file."""
        if self.path.startswith(MODELS):
            self._model(self.path.removeprefix(MODELS).partition("?")[0])
        else:
            super().do_GET()

    def _model(self, name: str) -> None:
        path = self._found(name)
        if path is None:
            self.send_error(HTTPStatus.NOT_FOUND, "not in the model store")
            return
        size = path.stat().st_size
        etag = f'"{path.parent.name}"'  # the folder is named after the file's digest
        start = self._start(size, etag)
        if start is None:
            self.send_response(HTTPStatus.OK)
        else:
            self.send_response(HTTPStatus.PARTIAL_CONTENT)
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(size - (start or 0)))
        self.send_header("ETag", etag)
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        with path.open("rb") as file:
            file.seek(start or 0)
            self._send(file)

    def _start(self, size: int, etag: str) -> int | None:
        """Where the part that is asked for begins; only `bytes=N-` is a part here."""
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if not found or self.headers.get("If-Range", etag) != etag or int(found[1]) >= size:
            return None
        return int(found[1])

    def _send(self, file: BinaryIO) -> None:
        try:
            while block := file.read(BLOCK):
                self.wfile.write(block)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the page has gone


def server(folder: Path, port: int, models: Find = stored_model) -> ThreadingHTTPServer:
    """A server of ``folder`` on the loopback; port 0 lets the system choose.

    Raises:
        HostError: the port is taken.
    """
    try:
        return ThreadingHTTPServer(
            ("127.0.0.1", port), partial(Handler, directory=str(folder), models=models)
        )
    except OSError as error:
        raise HostError(
            f"port {port}: {error.strerror}", hint="choose another: nox -s web -- --serve PORT"
        ) from error


def serve(folder: Path, port: int) -> None:
    """Serve ``folder`` until Ctrl-C."""
    with server(folder, port) as running:
        console.note(f"http://127.0.0.1:{running.server_port}/ (Ctrl-C ends it)")
        running.serve_forever()
