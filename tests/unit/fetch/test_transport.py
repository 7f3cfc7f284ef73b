"""The table of proxies, played on what asks the Hub."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import replace
from typing import Any

import pytest

from tasks.base.errors import FetchError, describe
from tasks.fetch import hub
from tests.support import fetching
from tests.support.fetching import Waits
from tests.tea import proxy_cases


@pytest.mark.parametrize("case", proxy_cases.CASES, ids=str)
def test_the_fetch_takes_the_way_that_the_environment_says(
    case: dict[str, Any], waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []

    def ask(url: str, env: dict[str, str]) -> str:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        policy = replace(fetching.policy(waits), tries=1)
        with pytest.raises(FetchError) as caught:
            hub.look_up(fetching.source(), url, policy)
        return describe(caught.value)

    def take(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            asked.append(connection.recv(65536))

    with proxy_cases.listening(take) as address:
        proxy_cases.play(case, f"http://{address}", lambda: bool(asked), ask)
