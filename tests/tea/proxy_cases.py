"""Plays the table of proxies on a program; see proxies.toml."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.tea.cli import tea_process
from tests.tea.llm.api_server import answer, chat, serve

CASES: list[dict[str, Any]] = tomllib.loads(
    Path(__file__).with_name("proxies.toml").read_text(encoding="utf-8")
)["case"]


@contextlib.contextmanager
def proxy() -> Iterator[tuple[str, list[bytes]]]:
    """A proxy that notes what it is asked, and hangs up."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        asked.append(connection.recv(65536))

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", asked
        server.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def play(command: Sequence[str | Path], home: Path, case: dict[str, Any]) -> None:
    """Ask an API in the way of ``case``, and hold what happens against it."""
    with serve() as api, proxy() as (address, asked):
        api.scripts = [answer(chat("Hi"))]
        url = case.get("url", api.url)
        env = {name: value.replace("PROXY", address) for name, value in case["env"].items()}
        done = subprocess.run(
            [*command, "chat", "hi", "--backend", "api", "--api-base", url, "--model", "m"],
            capture_output=True,
            env=tea_process.environment(home, **env),
            cwd=home,
            timeout=60,
            check=False,
        )
        said = done.stderr.decode()
        way = "proxy" if asked else "direct" if api.requests else "unreached"
    if case["way"] in ("proxy", "direct", "unreached"):
        assert way == case["way"], said
    else:
        assert (way, done.returncode) == ("unreached", 1), said
        assert case["way"] in said
    assert "secret-word" not in said
    assert "internal error" not in said
