"""Looked-up continuations of a real model: the same text, in fewer computations."""

from __future__ import annotations

import re

import pytest

from tests.tea.model.conftest import Asker
from the_edge_agent.llm import sequence

LETTER = (
    "Dear Mrs Miller, the delivery of 12 blue chairs and 3 round tables that you ordered on the"
    " second of May will arrive on Monday. Please have somebody at the door. Yours, Tom Hill"
)
PROMPTS = [
    f"Repeat this letter word by word: {LETTER}",
    f"Write this again with Tuesday in the place of Monday: {LETTER}",
    "What is the capital of France?",
    "Tell me about the sea.",
]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_text_is_the_same_as_without(
    asker: Asker, prompt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asker.log.clear()
    asker.forget()
    found = asker.ask(prompt, temperature=0, max_tokens=60, seed=1)
    lines = [line for line in asker.log if "looked up" in line]
    if "word by word" in prompt:
        assert int(re.findall(r"(\d+) looked up", lines[-1])[0]) > 5
    monkeypatch.setattr(sequence, "PromptLookup", lambda: None)
    asker.forget()
    assert asker.ask(prompt, temperature=0, max_tokens=60, seed=1).content == found.content
