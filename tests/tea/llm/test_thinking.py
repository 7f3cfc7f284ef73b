from __future__ import annotations

import pytest

from the_edge_agent.llm.thinking import Thinking, marks

MARKS = (b"<think>", b"</think>")


def split(text: str, prompt: str = "", size: int = 1) -> tuple[str | None, str]:
    """Feed ``text`` in pieces of ``size`` bytes; return the reasoning and the answer."""
    thinking, data = Thinking(MARKS, prompt.encode()), text.encode()
    pieces = [thinking.feed(data[at : at + size]) for at in range(0, len(data), size)]
    answer = b"".join(pieces) + thinking.finish()
    return thinking.reasoning, answer.decode()


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("text", "prompt", "parts"),
    [
        ("Paris.", "", (None, "Paris.")),
        ("  Paris.", "", (None, "  Paris.")),
        ("<think>\nhm, Größe\n</think>\n\nParis.", "", ("hm, Größe", "Paris.")),
        ("\n<think>hm</think>Paris <think>", "", ("hm", "Paris <think>")),
        ("hm</think>\n\nParis.", "<|im_start|>assistant\n<think>\n", ("hm", "Paris.")),
        ("Paris </think>", "<think>\n\n</think>\n\n", (None, "Paris </think>")),
        ("<think></think>Paris.", "", (None, "Paris.")),
        ("<think>cut </th", "", ("cut </th", "")),
        ("<thin", "", (None, "<thin")),
        ("<thinking>", "", (None, "<thinking>")),
    ],
)
def test_what_is_thought_is_not_the_answer(
    size: int, text: str, prompt: str, parts: tuple[str | None, str]
) -> None:
    assert split(text, prompt, size) == parts


def test_marks_are_those_of_the_template() -> None:
    assert marks("{{ x }}{% if '</think>' in x %}") == MARKS
    assert marks("[THINK]…[/THINK]") == (b"[THINK]", b"[/THINK]")
    assert marks("{{ messages }}") is None
    assert marks(None) is None
