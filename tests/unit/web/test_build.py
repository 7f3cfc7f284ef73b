"""The browser package: what is shipped is looked at, and what serves it sends the right headers."""

from __future__ import annotations

import io
import random
import tarfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from tasks.base.errors import BuildError, HostError, UsageError
from tasks.web import build as web
from tasks.web import serve

GOOD = {
    "dist/index.js": b"import './chunk-1.js';",
    "dist/types/ts/index.d.ts": b"export {};",
    "dist/tea_wasm_bg.wasm": b"\0asm",
    "dist/wllama-1.js": b"export {};",
    "dist/wllama.wasm": bytes(10),
    "dist/LICENSES.txt": b"MIT",
}


def packed(folder: Path, files: dict[str, bytes]) -> Path:
    path = folder / "tea-wasm-llm-1.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def test_size_is_of_all_but_the_files_of_wllama(tmp_path: Path) -> None:
    large = random.Random(1).randbytes(2 * web.MAX_PACKED)
    assert web.check(packed(tmp_path, {**GOOD, "dist/wllama.wasm": large})) < 1000


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"dist/a.wasm": random.Random(1).randbytes(web.MAX_PACKED)}, "engine and glue take"),
        ({"dist/wllama-1.js": b"x = eval ('1')"}, "wllama-1.js makes code of text"),
        ({"dist/index.js": b"new Function('a', 'b')"}, "index.js makes code of text"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_package_that_a_page_should_not_load_is_refused(
    files: dict[str, bytes], says: str, tmp_path: Path
) -> None:
    with pytest.raises(BuildError, match=says):
        web.check(packed(tmp_path, {**GOOD, **files}))


@pytest.mark.parametrize("name", sorted(web.NEEDED))
def test_package_that_lacks_a_part_is_refused(name: str, tmp_path: Path) -> None:
    files = {key: content for key, content in GOOD.items() if key != name}
    with pytest.raises(BuildError, match=name):
        web.check(packed(tmp_path, files))


def test_package_of_another_version_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"version in package\.json"):
        web.check(tmp_path / "tea-wasm-llm-2.tgz")


def test_every_source_of_the_package_is_there_and_none_is_made() -> None:
    made = {"node_modules", "dist", "wasm"}
    for path in web.SOURCES:
        assert path.exists()
        assert not made.intersection(path.parts)


# -- the server

MODEL = bytes(range(256)) * 5000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("<!doctype html>")
    (site / "a.wasm").write_bytes(b"\0asm")
    digest = tmp_path / ("d" * 64)
    digest.mkdir()
    (digest / "m.gguf").write_bytes(MODEL)
    paths = {"m.gguf": digest / "m.gguf"}
    with serve.server(site, 0, paths.get) as running:
        thread = threading.Thread(
            target=running.serve_forever, args=(0.01,)
        )  # the poll, in seconds
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def get(server: ThreadingHTTPServer, path: str, **headers: str) -> tuple[int, Message, bytes]:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"http://127.0.0.1:{server.server_port}{path}", headers=given)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


@pytest.mark.parametrize("path", ["/", "/a.wasm", "/none", "/models/m.gguf", "/models/none"])
def test_every_answer_isolates_the_page_and_carries_the_policy(
    path: str, server: ThreadingHTTPServer
) -> None:
    status, headers, _ = get(server, path)
    assert status == (404 if path.endswith("none") else 200)
    for name, value in serve.HEADERS.items():
        assert headers[name] == value


def test_module_has_the_type_that_browsers_want(server: ThreadingHTTPServer) -> None:
    assert get(server, "/a.wasm")[1]["Content-Type"] == "application/wasm"


def test_model_of_the_store_is_served_whole_and_from_a_place(server: ThreadingHTTPServer) -> None:
    status, headers, content = get(server, "/models/m.gguf")
    assert (status, content) == (200, MODEL)
    etag = headers["ETag"]
    status, headers, content = get(server, "/models/m.gguf", Range="bytes=7-", If_Range=etag)
    assert (status, content) == (206, MODEL[7:])
    assert headers["Content-Range"] == f"bytes 7-{len(MODEL) - 1}/{len(MODEL)}"
    # Another file than the one begun, or a place that it does not have: the whole again.
    assert get(server, "/models/m.gguf", Range="bytes=7-", If_Range='"x"')[0] == 200
    assert get(server, "/models/m.gguf", Range=f"bytes={len(MODEL)}-")[0] == 200


@pytest.mark.parametrize("path", ["/../site2/x", "/models/../../etc/passwd", "/models/"])
def test_nothing_outside_the_site_and_the_models_is_served(
    path: str, server: ThreadingHTTPServer
) -> None:
    assert get(server, path)[0] == 404


def test_port_that_is_taken_is_an_error_with_a_remedy(
    server: ThreadingHTTPServer, tmp_path: Path
) -> None:
    with pytest.raises(HostError, match=f"port {server.server_port}: ") as caught:
        serve.server(tmp_path, server.server_port)
    assert "--serve PORT" in (caught.value.hint or "")


def test_session_serves_only_when_it_is_asked_to() -> None:
    assert web.request([]).port is None
    assert web.request(["--serve"]).port == 8080
    assert web.request(["--serve", "0"]).port == 0
    with pytest.raises(UsageError):
        web.request(["--serve", "x"])
