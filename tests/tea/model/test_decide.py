"""Which of several texts a real model finds likeliest."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.tea.model.conftest import Asker
from the_edge_agent.llm import bindings
from the_edge_agent.llm.backend import DecideRequest, Message

QUESTION = "Question: What is the capital of France?\nAnswer:"


def decide(asker: Asker, *choices: str, **fields: Any) -> tuple[float, ...]:
    messages = (Message("user", QUESTION),)
    return asker.run(asker.backend.decide(DecideRequest(messages, choices, **fields))).probabilities


def alone(asker: Asker, choice: str) -> float:
    """Return the logarithm of how likely ``choice`` is, computed token by token."""
    model, loop, c = asker.backend._loaded(), asker.backend._get_loop(), bindings.load().c
    prompt = model.prompt_tokens((Message("user", QUESTION),), None, 4096)
    said = [[token] for token in model.tokenize(choice, special=False)]

    def compute() -> float:
        context, cache = loop.context(), loop._cache
        assert cache is not None
        for slot in cache._slots:
            cache.cut(slot, 0)
        total, done, due = 0.0, 0, prompt
        for wanted in [*said, model.ends_of_answers]:
            context.batch.count = 0
            row = context.batch.add(0, done, due, 1)
            assert context.compute() == 0
            logits = c.llama_get_logits_ith(context.handle, row)[: model.vocabulary_size]
            largest = max(logits)
            whole = math.fsum(math.exp(logit - largest) for logit in logits)
            total += math.log(math.fsum(math.exp(logits[t] - largest) for t in wanted) / whole)
            done, due = done + len(due), wanted
        context.cut(0, 0)
        return total

    return asker.run(asker.backend._outcome(loop.run(compute)))


@pytest.mark.parametrize(
    "choices",
    [
        ("Paris", "London", "Rome", "Berlin"),
        ("Paris", "Paris.", "Paris, the city of lights and of love", "P"),  # one in another
        ("Paris",),
    ],
)
def test_a_choice_is_as_likely_as_alone(asker: Asker, choices: tuple[str, ...]) -> None:
    got = decide(asker, *choices)
    scores = [alone(asker, choice) for choice in choices]
    parts = [math.exp(score - max(scores)) for score in scores]
    assert got == pytest.approx([part / sum(parts) for part in parts], abs=0.02)
    assert sum(got) == pytest.approx(1)


def test_more_choices_than_sequences_are_all_scored(asker: Asker) -> None:
    texts = [f"number {number} of a list" for number in range(40)]
    many = decide(asker, "Paris", *texts)
    few = decide(asker, "Paris", *texts[:2])
    assert many[0] == max(many)
    assert many[1] / many[0] == pytest.approx(few[1] / few[0], rel=0.2)


def test_per_byte_compares_long_with_short(asker: Asker) -> None:
    choices = ("Paris", "Paris, which lies on the river Seine")
    plain, per_byte = decide(asker, *choices), decide(asker, *choices, normalize="per_byte")
    scores = [math.log(each) for each in plain]
    assert per_byte[1] > plain[1]
    assert scores[0] > scores[1]
