"""A real model, asked through the classes of the program.

    TEA_TEST_MODEL=SmolLM2-135M-Instruct.Q4_1.gguf TEA_LIBRARY_PATH=… pytest tests/tea/model

Nothing is collected where no model is named; tests/integration/test_local_model.py names one, and
runs the tests with the interpreter and the libraries of the bundle.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from the_edge_agent.llm.backend import ChatReply, ChatRequest, Message
from the_edge_agent.llm.local import LocalBackend, LocalOptions
from the_edge_agent.llm.model_path import Found

MODEL = "TEA_TEST_MODEL"

collect_ignore_glob = [] if MODEL in os.environ else ["test_*.py"]

T = TypeVar("T")


class Asker:
    """The model, and one event loop for all that it is asked."""

    def __init__(self) -> None:
        self.log: list[str] = []
        found = Found(Path(os.environ[MODEL]).resolve(strict=True), "test")
        self.backend = LocalBackend(found, LocalOptions(n_ctx=4096), log=self.log.append)
        self._runner = asyncio.Runner()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    async def begin(self, prompt: str, **fields: Any) -> ChatReply:
        system = Message("system", "Answer in one short sentence.")
        messages = (system, Message("user", prompt))
        return await self.backend.chat(ChatRequest(messages, **fields), None)

    def ask(self, prompt: str, **fields: Any) -> ChatReply:
        return self.run(self.begin(prompt, **fields))

    def forget(self) -> None:
        """Empty the cache: how much of a prompt is computed at a time makes a difference too."""
        loop = self.backend._get_loop()

        def cut() -> None:
            loop.context()
            assert loop._cache is not None
            for slot in loop._cache._slots:
                loop._cache.cut(slot, 0)

        self.run(self.backend._outcome(loop.run(cut)))

    def close(self) -> None:
        self.backend.close()
        self._runner.close()


@pytest.fixture(scope="session")
def asker() -> Iterator[Asker]:
    asker = Asker()
    yield asker
    asker.close()
