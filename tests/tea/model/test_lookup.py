"""Looked-up continuations of a real model: the same text, in fewer computations."""

from __future__ import annotations

import re

import pytest

from tests.tea.model.conftest import Asker
from the_edge_agent.llm import sequence
from the_edge_agent.llm.backend import ChatRequest, Message

LETTER = (
    "Dear Mrs Miller, the delivery of 12 blue chairs and 3 round tables that you ordered on the"
    " second of May will arrive on Monday. Please have somebody at the door. Yours, Tom Hill"
)
PROMPTS = [
    f"Repeat this letter word by word: {LETTER}",
    f"Write this again with Tuesday in the place of Monday: {LETTER}",
    "Write the word tea, then a comma, and go on with that for ever.",
    "What is the capital of France?",
    "Tell me about the sea.",
]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_text_is_the_same_as_without(
    asker: Asker, prompt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asker.forget()
    found = asker.ask(prompt, temperature=0, max_tokens=60, seed=1)
    monkeypatch.setattr(sequence, "PromptLookup", lambda: None)
    asker.forget()
    assert asker.ask(prompt, temperature=0, max_tokens=60, seed=1).content == found.content


def test_what_repeats_is_looked_up(asker: Asker) -> None:
    asker.log.clear()
    message = Message("user", f"{LETTER}\n\n" * 3 + "Write the same letter once more.")
    request = ChatRequest((message,), temperature=0, max_tokens=80, seed=1)
    asker.run(asker.backend.chat(request, None))
    found = re.findall(r"(\d+) looked up", "".join(asker.log))
    assert sum(map(int, found)) > 5
