"""A Hugging Face Hub on the loopback, with a CDN on a second port and faults on demand.

    python -m tests.support.hub --root DIR --ports 8000,8001

serves DIR/owner/name/file as the file of repository owner/name; HF_ENDPOINT=http://127.0.0.1:8000
makes any client use it. It speaks the few routes that a download needs: the model's facts with
sizes and sha256, resolve (which redirects to a signed address on the CDN), and the CDN's bytes
with ranges. Requests that are absolute addresses are answered too, so it can stand for a proxy.

A test posts a plan to /_control/plan and reads what was asked and sent at /_control/log.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import secrets
import signal
import socket
import ssl
import struct
import sys
import threading
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

BLOCK = 1 << 18  # bytes
_REPO = re.compile(r"/(api/models/)?(?P<repo>[\w.-]+/[\w.-]+)(?P<rest>/.*)?")
LOGIN = b"\n<!DOCTYPE html>\n<html><body>Please log in.</body></html>"
_RANGE = re.compile(r"bytes=(\d+)-")
_ERROR_STATUS = {"RepoNotFound": 404, "RevisionNotFound": 404, "EntryNotFound": 404}


@dataclass
class Plan:
    """What the hub does out of the ordinary, and what it has seen.

    ``faults`` are used up in order, each by the next request of its ``on`` (api, resolve, cdn):
    ``{"on": "cdn", "kind": "reset", "after": 1000, "times": 3}``. ``token`` is what a gated
    repository wants; ``commit`` the one that every revision but ``unknown`` has.
    """

    faults: list[dict[str, Any]] = field(default_factory=list)
    token: str | None = None
    knows_token: bool = True
    commit: str = "c" * 40
    log: list[dict[str, Any]] = field(default_factory=list)
    signatures: set[str] = field(default_factory=set)
    bytes_sent: int = 0


class Hub:
    """The state that both ports share."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.plan = Plan()
        self.guard = threading.Lock()
        self.released = threading.Event()
        self.cdn = ""
        self.digests: dict[tuple[Path, int, int], str] = {}

    def fault(self, on: str) -> dict[str, Any]:
        """The next fault for a request of this kind, or none."""
        with self.guard:
            for fault in self.plan.faults:
                if fault["on"] == on and fault.get("times", 1) > 0:
                    fault["times"] = fault.get("times", 1) - 1
                    return fault
        return {}

    def sent(self, count: int) -> None:
        """Count bytes of files' bodies."""
        with self.guard:
            self.plan.bytes_sent += count

    def sha256(self, path: Path) -> str:
        """The digest of a file, computed once."""
        stat = path.stat()
        key = (path, stat.st_size, stat.st_mtime_ns)
        if key not in self.digests:
            with path.open("rb") as file:
                self.digests[key] = hashlib.file_digest(file, "sha256").hexdigest()
        return self.digests[key]


class Handler(BaseHTTPRequestHandler):
    """What both ports have in common. A subclass is made for each hub."""

    hub: Hub
    protocol_version = "HTTP/1.1"
    role = ""

    def log_message(self, *_: object) -> None:
        """Silence: the log is at /_control/log."""

    def note(self, on: str) -> None:
        """Write the request down, without the token itself."""
        entry = {
            "on": on,
            "method": self.command,
            "path": urlsplit(self.path).path,
            "range": self.headers.get("Range"),
            "authorized": "Authorization" in self.headers,
            "via_proxy": "://" in self.path,
        }
        with self.hub.guard:
            self.hub.plan.log.append(entry)

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        """A whole answer. Underscores in header names become hyphens."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def common_fault(self, fault: dict[str, Any]) -> bool:
        """Faults that any request may have. True when the answer is given."""
        kind = fault.get("kind")
        if kind == "status":
            self.reply(fault["status"], b"not now", **fault.get("headers", {}))
        elif kind == "page":
            self.reply(HTTPStatus.OK, LOGIN, **fault.get("headers", {}))
        elif kind == "reset" and "after" not in fault:
            self.reset()
        elif kind == "stall" and "after" not in fault:
            self.hub.released.wait(60)
            self.close_connection = True
        elif kind == "answer":
            body = fault["body"].encode("utf-8", "surrogateescape")
            self.reply(HTTPStatus.OK, body, Content_Type="application/json")
        elif kind == "loop":
            self.reply(HTTPStatus.FOUND, Location=self.path)
        elif kind == "redirect":
            self.reply(HTTPStatus.FOUND, Location=fault["to"])
        else:
            return False
        return True

    def reset(self) -> None:
        """End the connection with RST instead of FIN."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()
        self.close_connection = True

    def finish(self) -> None:
        """Flush, unless the connection is gone."""
        try:
            super().finish()
        except OSError:
            self.close_connection = True

    def handle_one_request(self) -> None:
        """Serve one request; a client that goes away is no error."""
        try:
            super().handle_one_request()
        except (OSError, ValueError):
            self.close_connection = True


class HubHandler(Handler):
    """The Hub proper: facts and redirects."""

    def do_POST(self) -> None:
        """Control: set a plan, or release what stalls."""
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        if self.path == "/_control/plan":
            self.hub.plan = Plan(**body)
            self.hub.released.clear()
        elif self.path == "/_control/release":
            self.hub.released.set()
        self.reply(HTTPStatus.OK)

    def do_HEAD(self) -> None:
        """As GET, without a body."""
        self.do_GET()

    def do_GET(self) -> None:
        """Route by the address."""
        path = unquote(urlsplit(self.path).path)
        if path == "/_control/log":
            plan = self.hub.plan
            facts = {"log": plan.log, "bytes_sent": plan.bytes_sent}
            return self.reply(HTTPStatus.OK, json.dumps(facts).encode())
        if path.startswith("/cdn/"):  # as a proxy, this port gets the CDN's requests too
            return CdnHandler.do_GET(self)  # type: ignore[arg-type]
        match = _REPO.fullmatch(path)
        on = "api" if path.startswith("/api/") else "resolve"
        self.note(on)
        if self.common_fault(self.hub.fault(on)):
            return None
        if match is None or not (self.hub.root / match["repo"]).is_dir():
            return self.refuse("RepoNotFound")
        rest = (match["rest"] or "").strip("/").split("/")
        if on == "api":
            return self.facts(match["repo"], rest[1] if len(rest) > 1 else "main")
        return self.resolve(match["repo"], rest[1], "/".join(rest[2:]))

    def refuse(self, code: str, status: int | None = None) -> None:
        """An error as the Hub words it."""
        self.reply(status or _ERROR_STATUS[code], X_Error_Code=code, X_Error_Message=code)

    def known(self, revision: str) -> bool:
        """Whether a revision is there."""
        return revision != "unknown"

    def facts(self, repo: str, revision: str) -> None:
        """A model's commit and files, with sizes and digests."""
        if not self.known(revision):
            return self.refuse("RevisionNotFound")
        folder = self.hub.root / repo
        siblings = []
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                size, sha256 = file.stat().st_size, self.hub.sha256(file)
                lfs = {"size": size, "sha256": sha256, "pointerSize": 134}
                name = str(file.relative_to(folder))
                siblings.append({"rfilename": name, "size": size, "lfs": lfs})
        facts = {"id": repo, "sha": self.hub.plan.commit, "siblings": siblings}
        return self.reply(
            HTTPStatus.OK, json.dumps(facts).encode(), Content_Type="application/json"
        )

    def resolve(self, repo: str, revision: str, name: str) -> None:
        """Redirect to a fresh signed address."""
        plan = self.hub.plan
        file = self.hub.root / repo / name
        if not self.known(revision):
            return self.refuse("RevisionNotFound")
        if plan.token and self.headers.get("Authorization") != f"Bearer {plan.token}":
            if "Authorization" in self.headers and not plan.knows_token:
                return self.reply(
                    HTTPStatus.UNAUTHORIZED,
                    X_Error_Message="Invalid credentials in Authorization header",
                )
            return self.refuse("GatedRepo", 403 if "Authorization" in self.headers else 401)
        if not file.is_file():
            return self.refuse("EntryNotFound")
        signature = secrets.token_hex(8)
        with self.hub.guard:
            plan.signatures.add(signature)
        return self.reply(
            HTTPStatus.FOUND,
            Location=f"{self.hub.cdn}/cdn/{repo}/{name}?Signature={signature}",
            X_Repo_Commit=plan.commit,
            X_Linked_Size=str(file.stat().st_size),
            X_Linked_Etag=f'"{self.hub.sha256(file)}"',
            Accept_Ranges="bytes",
        )


class CdnHandler(Handler):
    """The host of the bytes."""

    def do_HEAD(self) -> None:
        """As GET, without a body."""
        self.do_GET()

    def do_GET(self) -> None:
        """A file from a position on, with the fault that is due."""
        self.note("cdn")
        fault = self.hub.fault("cdn")
        if Handler.common_fault(self, fault):
            return
        address = urlsplit(self.path)
        signature = parse_qs(address.query).get("Signature", [""])[0]
        with self.hub.guard:
            valid = signature in self.hub.plan.signatures
        if not valid:
            self.reply(HTTPStatus.FORBIDDEN, b"Request has expired")
            return
        path = self.hub.root / unquote(address.path).removeprefix("/cdn/")
        _Body(self, path, fault).send()
        if fault.get("kind") == "expire":
            with self.hub.guard:
                self.hub.plan.signatures.discard(signature)


class _Body:
    """One answer of the CDN."""

    def __init__(self, handler: Handler, path: Path, fault: dict[str, Any]) -> None:
        self.handler = handler
        self.path = path
        self.fault = fault
        self.kind = fault.get("kind")
        self.size = path.stat().st_size
        found = _RANGE.fullmatch(handler.headers.get("Range", ""))
        self.ranged = found is not None and self.kind != "no-range" and fault.get("ranges", True)
        self.start = int(found[1]) if found and self.ranged else 0

    def send(self) -> None:
        """Headers and as much of the body as the fault lets through."""
        if self.start >= self.size > 0:
            range_ = f"bytes */{self.size}"
            self.handler.reply(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, Content_Range=range_)
            return
        promised = self.size - self.start
        if self.kind == "longer":
            promised += self.fault["by"]
        elif self.kind == "short":
            promised = min(promised, self.fault["after"])
        self._headers(promised)
        if self.handler.command == "HEAD":
            return
        self._body(promised)
        if self.kind == "stall":
            self.handler.wfile.flush()
            self.handler.hub.released.wait(60)
            self.handler.close_connection = True
        elif self.kind in ("reset", "expire"):
            self.handler.wfile.flush()
            self.handler.reset()
        elif self.kind == "cut":
            self.handler.close_connection = True

    def _headers(self, promised: int) -> None:
        start = self.start + (self.fault["by"] if self.kind == "wrong-range" else 0)
        self.handler.send_response(HTTPStatus.PARTIAL_CONTENT if self.ranged else HTTPStatus.OK)
        if self.ranged:
            total = self.size + (self.fault["by"] if self.kind == "longer" else 0)
            self.handler.send_header("Content-Range", f"bytes {start}-{self.size - 1}/{total}")
        if self.fault.get("unannounced"):
            self.handler.close_connection = True
            self.handler.send_header("Connection", "close")
        else:
            self.handler.send_header("Content-Length", str(promised))
        self.handler.end_headers()

    def _body(self, promised: int) -> None:
        cut = self.kind in ("reset", "stall", "cut", "expire")
        left = min(promised, self.fault["after"]) if cut else promised
        with self.path.open("rb") as file:
            file.seek(self.start)
            if not self.fault:
                # The speed of a test's server must not be what a measurement measures.
                self.handler.wfile.flush()
                self.handler.hub.sent(self.handler.connection.sendfile(file, self.start, left))
                return
            while left > 0:
                block = file.read(min(BLOCK, left)) or b"\0" * min(BLOCK, left)
                if self.kind == "wrong-bytes":
                    block = bytes([block[0] ^ 1]) + block[1:]
                self.handler.wfile.write(block)
                self.handler.hub.sent(len(block))
                left -= len(block)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks is what this server is for."""


def serve(root: Path, ports: tuple[int, int], tls: Path | None, until_eof: bool) -> None:
    """Serve until a signal comes; says both addresses as JSON on stdout.

    ``tls`` is a PEM file of key and certificate. ``until_eof`` ends with the standard input, and
    so with the process that started this one.
    """
    hub = Hub(root)
    scheme = "https" if tls else "http"
    servers = []
    for port, base in zip(ports, (HubHandler, CdnHandler), strict=True):
        server = _Server(("127.0.0.1", port), type(base.__name__, (base,), {"hub": hub}))
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        servers.append(server)
    hub_url, hub.cdn = (f"{scheme}://127.0.0.1:{server.server_port}" for server in servers)
    for server in servers:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    sys.stdout.write(json.dumps({"endpoint": hub_url, "cdn": hub.cdn}) + "\n")
    sys.stdout.flush()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if until_eof:
        sys.stdin.read()
    else:
        signal.pause()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="A Hugging Face Hub on the loopback.")
    parser.add_argument("--root", type=Path, required=True, help="folder of owner/name/file")
    parser.add_argument("--ports", default="0,0", help="of the Hub and its CDN; 0 takes any")
    parser.add_argument("--tls", type=Path, help="PEM file with key and certificate")
    parser.add_argument("--until-eof", action="store_true", help="end with the standard input")
    args = parser.parse_args()
    hub, cdn = (int(port) for port in args.ports.split(","))
    serve(args.root, (hub, cdn), args.tls, args.until_eof)


if __name__ == "__main__":
    main()
