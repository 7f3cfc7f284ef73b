"""Several answers of a real model at a time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.tea.model.conftest import Asker
from the_edge_agent.llm import bindings
from the_edge_agent.llm.backend import ChatReply, Message
from the_edge_agent.llm.shape import Regex

QUESTIONS = [
    *("What is the capital of France?", "Name three colours.", "Write a haiku about rain."),
    *("What is 7 times 8?", "Count to five.", "Why is the sky blue?", "Who wrote Hamlet?"),
    "Describe the sea.",
]


def gaps(asker: Asker, prompt: str, answer: str) -> float:
    """Return by how much a token of ``answer`` is at most less likely than the likeliest there.

    Computed alone, token by token; in logits.
    """
    model, loop = asker.backend._loaded(), asker.backend._get_loop()
    c = bindings.load().c
    messages = (Message("system", "Answer in one short sentence."), Message("user", prompt))
    tokens = model.prompt_tokens(messages, None, 4096)
    said = model.tokenize(answer, special=False)

    def compute() -> float:
        context = loop.context()
        for sequence in range(context.sequences):
            context.cut(sequence, 0)
        assert loop._cache is not None
        for slot in loop._cache._slots:
            loop._cache.cut(slot, 0)
        worst, done, due = 0.0, 0, tokens
        for token in said:
            context.batch.count = 0
            row = context.batch.add(0, done, due, 1)
            assert context.compute() == 0
            logits = c.llama_get_logits_ith(context.handle, row)[: model.vocabulary_size]
            worst = max(worst, max(logits) - logits[token])
            done, due = done + len(due), [token]
        context.cut(0, 0)
        return worst

    return asker.run(asker.backend._outcome(loop.run(compute)))


def test_eight_answers_that_overlap_are_those_of_each_alone(asker: Asker) -> None:
    async def ask(number: int, prompt: str) -> ChatReply:
        await asyncio.sleep(0.05 * number)
        return await asker.begin(prompt, temperature=0, max_tokens=8 + 4 * number)

    async def all_of_them() -> list[ChatReply]:
        return await asyncio.gather(*(ask(*each) for each in enumerate(QUESTIONS)))

    replies = asker.run(all_of_them())
    assert len({reply.completion_tokens for reply in replies}) > 4
    for prompt, reply in zip(QUESTIONS, replies, strict=True):
        # Batches of another size round otherwise; another answer's token would be 5 and more away.
        assert gaps(asker, prompt, reply.content) < 1


def test_an_answer_that_is_given_up_leaves_the_others(asker: Asker) -> None:
    async def cancelled() -> tuple[ChatReply, Any]:
        other = asyncio.create_task(asker.begin("Describe the sea.", temperature=0, max_tokens=40))
        gone = asyncio.create_task(
            asker.begin("Go on.", shape=Regex("[a-z ]{900}"), max_tokens=900)
        )
        await asyncio.sleep(0.5)
        gone.cancel()
        return await other, (await asyncio.gather(gone, return_exceptions=True))[0]

    reply, outcome = asker.run(cancelled())
    assert isinstance(outcome, asyncio.CancelledError)
    assert "sea" in reply.content


def test_the_next_turn_of_a_chat_computes_what_is_new(asker: Asker) -> None:
    asker.ask("What is the capital of France?", temperature=0, max_tokens=8)
    asker.log.clear()
    asker.ask("What is the capital of France?", temperature=0, max_tokens=8)
    (line,) = [line for line in asker.log if line.startswith("prompt: ")]
    assert line.startswith("prompt: 27 tokens, 26 of them kept")


@pytest.mark.parametrize("seed", [1, 2])
def test_a_seed_gives_the_same_answer_again(asker: Asker, seed: int) -> None:
    first, second = (asker.ask("Tell me a joke.", seed=seed, max_tokens=20) for _ in range(2))
    assert first.content == second.content
