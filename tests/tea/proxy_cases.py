"""Plays the table of proxies on whatever sends requests; see proxies.toml."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.tea.llm.api_server import answer, chat, serve

CASES: list[dict[str, Any]] = tomllib.loads(
    Path(__file__).with_name("proxies.toml").read_text(encoding="utf-8")
)["case"]


@contextlib.contextmanager
def listening(take: Callable[[socket.socket], None]) -> Iterator[str]:
    """Give the address HOST:PORT of a server that lets ``take`` have each connection in turn."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def run() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        take(connection)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def relay(connection: socket.socket, target: str) -> None:
    """Speak SOCKS 5, and lead to ``target``. Source: RFC 1928."""
    host, _, port = target.partition(":")
    connection.recv(262)  # its ways to log in
    connection.sendall(b"\x05\x00")
    connection.recv(262)  # where it wants to go
    with socket.create_connection((host, int(port))) as onward:
        connection.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50")
        back = threading.Thread(target=pass_on, args=(onward, connection), daemon=True)
        back.start()
        pass_on(connection, onward)
        back.join(10)


def pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def play(
    case: dict[str, Any],
    url: str,
    is_reached: Callable[[], bool],
    ask: Callable[[str, dict[str, str]], str],
) -> None:
    """Let ``ask`` send a request in the way of ``case``, and hold what happens against it.

    ``ask`` takes an address and variables of the environment, and returns what is said.
    """
    asked: list[bytes] = []
    relayed: list[bool] = []

    def lead(connection: socket.socket) -> None:
        relayed.append(True)
        relay(connection, urlsplit(url).netloc)

    with (
        listening(lambda connection: asked.append(connection.recv(65536))) as proxy,
        listening(lead) as relay_address,
    ):
        env = {
            name: value.replace("://PROXY", f"://{proxy}")
            .replace("PROXY", f"http://{proxy}")
            .replace("RELAY", relay_address)
            for name, value in case["env"].items()
        }
        said = ask(case.get("url", url), env)
    reached = "relay" if relayed else "direct"
    way = reached if is_reached() else "proxy" if asked else "unreached"
    if case["way"] in ("proxy", "relay", "direct", "unreached"):
        assert way == case["way"], said
    else:
        assert way == "unreached", said
        assert case["way"] in said
    assert "secret-word" not in said
    assert "internal error" not in said


def play_on_program(
    tea: Callable[..., subprocess.CompletedProcess[bytes]], home: Path, case: dict[str, Any]
) -> None:
    """Play ``case`` on the program that ``tea`` starts; see tea_process."""
    with serve() as api:
        api.scripts = [answer(chat("Hi"))]

        def ask(url: str, env: dict[str, str]) -> str:
            words = ("chat", "hi", "--backend", "api", "--api-base", url, "--model", "m")
            done = tea(home, *words, **env)
            assert done.returncode == (0 if api.requests else 1), done.stderr
            return done.stderr.decode()

        play(case, api.url, lambda: bool(api.requests), ask)
