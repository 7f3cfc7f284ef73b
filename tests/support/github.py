"""GitHub's API on the loopback, as far as `gh` asks it about one repository's releases.

`gh` speaks plain HTTP with the host github.localhost, and takes this server for its proxy. Bytes
of an upload can be lost on demand; like older versions of the API it tells no digests.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

HOST = "github.localhost"
REPOSITORY = "owner/project"
RELEASES = f"/repos/{REPOSITORY}/releases"
TIME = "2026-01-01T00:00:00Z"


@dataclass
class GitHub:
    """One repository with one tag and at most one release, whose number is 1."""

    address: str = ""
    tag: str = ""
    release: dict[str, Any] | None = None
    files: dict[int, bytes] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)  # names whose next upload loses its last byte
    refused: set[str] = field(default_factory=set)  # names that are not taken
    uploads: list[str] = field(default_factory=list)

    @property
    def environ(self) -> dict[str, str]:
        """What makes `gh` talk to it."""
        return {
            "GH_HOST": HOST,
            "GH_REPO": f"{HOST}/{REPOSITORY}",
            "GH_TOKEN": "token",
            "http_proxy": self.address,
            "no_proxy": "",
            "NO_PROXY": "",
        }

    def asset(self, name: str) -> bytes:
        """The bytes of a file of the release."""
        assert self.release is not None
        (row,) = [row for row in self.release["assets"] if row["name"] == name]
        return self.files[row["id"]]

    def answer(self, method: str, url: str, body: bytes) -> tuple[int, Any]:
        """Status, and what is sent: bytes, or what becomes JSON."""
        parts = urlsplit(url)
        if parts.path == "/graphql":
            return 200, {"data": {"repository": self._graphql(json.loads(body))}}
        if parts.hostname == f"uploads.{HOST}":
            return self._upload(parse_qs(parts.query)["name"][0], body)
        if found := re.fullmatch(rf"{RELEASES}/assets/(\d+)", parts.path):
            return self._file(method, int(found[1]))
        if (method, parts.path) == ("POST", RELEASES):
            self.release = self._new(json.loads(body))
            return 201, self.release
        known = {f"{RELEASES}/1"}
        if self.release and not self.release["draft"]:
            known.add(f"{RELEASES}/tags/{self.tag}")
        if self.release is None or parts.path not in known:
            return 404, {"message": "Not Found"}
        if method == "PATCH":
            self.release.update(json.loads(body))
        return 200, self.release

    def _graphql(self, asked: dict[str, Any]) -> dict[str, Any]:
        if "RepositoryFindRef" in asked["query"]:
            there = asked["variables"]["tagName"] == f"refs/tags/{self.tag}"
            return {"ref": {"id": "ref"} if there else None}
        assert "RepositoryReleaseByTag" in asked["query"], asked["query"]
        release = self.release
        return {"release": release and {"databaseId": 1, "isDraft": release["draft"]}}

    def _new(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {
            **asked,
            "id": 1,
            "node_id": "R1",
            "assets": [],
            "created_at": TIME,
            "author": {"login": "user", "id": 1},
            "url": f"http://api.{HOST}{RELEASES}/1",
            "html_url": f"http://{HOST}/{REPOSITORY}/releases/tag/{self.tag}",
            "upload_url": f"http://uploads.{HOST}{RELEASES}/1/assets{{?name,label}}",
        }

    def _upload(self, name: str, body: bytes) -> tuple[int, Any]:
        assert self.release is not None
        self.uploads.append(name)
        if name in self.refused:
            return 422, {"message": "Validation Failed"}
        if name in self.cut:
            self.cut.remove(name)
            body = body[:-1]
        number = len(self.uploads)
        self.files[number] = body
        row = {
            "id": number,
            "node_id": f"A{number}",
            "name": name,
            "label": "",
            "size": len(body),
            "state": "uploaded",
            "content_type": "application/octet-stream",
            "url": f"http://api.{HOST}{RELEASES}/assets/{number}",
            "browser_download_url": f"http://{HOST}/{REPOSITORY}/releases/download/{name}",
            "created_at": TIME,
            "updated_at": TIME,
        }
        self.release["assets"].append(row)
        return 201, row

    def _file(self, method: str, number: int) -> tuple[int, Any]:
        assert self.release is not None
        if method == "DELETE":
            rows = self.release["assets"]
            self.release["assets"] = [row for row in rows if row["id"] != number]
            del self.files[number]
            return 204, b""
        return 200, self.files[number]


@contextmanager
def running(tag: str) -> Iterator[GitHub]:
    """A GitHub whose repository has ``tag``, until the block ends."""
    github = GitHub(tag=tag)

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            status, said = github.answer(self.command, self.path, body)
            data = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            if not isinstance(said, bytes):
                self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_DELETE = _do  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    github.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield github
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
