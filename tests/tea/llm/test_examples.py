from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.tea.llm.test_actions import Scripted
from the_edge_agent.actions.base import base_registry
from the_edge_agent.actions.llm import llm_actions
from the_edge_agent.llm.backend import Backends, Message
from the_edge_agent.run.run import Host, run
from the_edge_agent.workflow.load import load

EXAMPLES = Path(__file__).resolve().parents[3] / "examples/llm"
FILES = sorted(EXAMPLES.glob("*.yaml"))


async def no_wait(_seconds: float) -> None:
    """Wait for nothing."""


def play(file: Path, model: Scripted, **given: Any) -> dict[str, Any]:
    """Run an example on a local model that says what it is told to."""
    actions = {
        **base_registry(roots=()),
        **llm_actions(Backends(local=lambda _: model, api=lambda _: None)),
    }
    workflow = load(file.read_text("utf-8"), file.name, actions=actions)
    assert workflow.warnings == ()
    host = Host(actions, {}, {}, lambda _: None, no_wait, lambda: 0.5)
    return asyncio.run(run(workflow, given, host))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_example_runs_as_it_stands(file: Path) -> None:
    model = Scripted("local")
    state = play(file, model)
    assert "paris" in [str(value).lower() for value in state.values()]
    assert model.asked


def test_local_chat_asks_greedily_for_one_short_sentence() -> None:
    model = Scripted("local")
    state = play(EXAMPLES / "local-chat.yaml", model)
    (request,) = model.asked
    assert request.messages == (
        Message("system", "Answer in one short sentence."),
        Message("user", "What is the capital of France?"),
    )
    assert request.temperature == 0
    assert state["answer"] == "Paris"


@pytest.mark.parametrize(
    ("word", "calls", "reply"),
    [("Complaint.", 2, "Complaint."), ("question", 2, "question"), ("dunno", 1, "Thank you.")],
)
def test_a_message_is_routed_by_what_the_model_calls_it(word: str, calls: int, reply: str) -> None:
    model = Scripted("local", pieces=(word,))
    state = play(EXAMPLES / "route-by-answer.yaml", model, message="hm")
    assert len(model.asked) == calls
    assert state["reply"].startswith(reply)
