"""A conversation that fills the context, on a model that counts characters."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from the_edge_agent.cli.chat import Conversation
from the_edge_agent.errors import LimitError
from the_edge_agent.llm.backend import (
    BackendName,
    ChatReply,
    ChatRequest,
    DecideReply,
    DecideRequest,
    EmbedReply,
    EmbedRequest,
)


class Small:
    """It takes ten characters, and answers with the questions that it was given."""

    name: BackendName = "local"

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    async def chat(self, request: ChatRequest, on_text: Callable[[str], None] | None) -> ChatReply:
        texts = [message.content for message in request.messages]
        if len("".join(texts)) > 10:
            raise LimitError("the prompt is too long")
        self.asked.append(texts)
        assert on_text is not None
        on_text("ok")
        return ChatReply("ok", "small", "stop", 1, 1)

    async def embed(self, request: EmbedRequest) -> EmbedReply:
        raise NotImplementedError

    async def decide(self, request: DecideRequest) -> DecideReply:
        raise NotImplementedError


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


def test_forgetting_drops_the_oldest_turns_whole(runner: asyncio.Runner) -> None:
    backend = Small()
    talk = Conversation(backend, None, {}, runner, forgets=True)
    for question in ("one", "two", "six", "twelve"):
        talk.answer(question)
    assert backend.asked == [
        ["one"], ["one", "ok", "two"], ["two", "ok", "six"], ["twelve"],
    ]  # fmt: skip
    with pytest.raises(LimitError):
        talk.answer("a question that fits nowhere")


def test_without_forgetting_the_context_is_full(runner: asyncio.Runner) -> None:
    talk = Conversation(Small(), None, {}, runner)
    talk.answer("one")
    with pytest.raises(LimitError):
        talk.answer("another")
