from __future__ import annotations

import json
from typing import Any

import pytest

from tasks.bench import shapes
from tasks.bench.container import Timed, logged_answers
from the_edge_agent.actions.llm import llm_actions
from the_edge_agent.llm.backend import Backends
from the_edge_agent.workflow.load import load


class Recorder:
    """Takes what would be started."""

    def tea(self, place: str, *words: str, stdin: str, name: str) -> tuple[str, str]:
        assert (place, words) == ("tree", ("run", "--verbose", "-"))
        return name, stdin


def steps() -> list[tuple[str, str]]:
    bench: Any = Recorder()
    decision: Any = shapes._decisions(bench, "decisions", 3, "llm.decide")
    return [*(step for step in shapes._answers(bench)), decision]


@pytest.mark.parametrize(("name", "text"), steps(), ids=lambda value: value[:12])
def test_every_measured_file_is_a_workflow(name: str, text: str) -> None:
    actions = llm_actions(Backends(local=lambda _: None, api=lambda _: None))
    assert load(text, name, actions=actions).warnings == ()
    assert json.loads(text)["nodes"]


def test_answers_are_read_from_the_log() -> None:
    log = (
        "prompt: 9 tokens, 0 of them kept, 5.0 a second; answer: 40 tokens, 20.0 a second\\n"
        "prompt: 9 tokens, 8 of them kept, 5.0 a second;"
        " answer: 30 tokens (9 sampled, 21 fed, 0 looked up), 60.0 a second\\n"
    )
    assert logged_answers(Timed(1.0, (), log, 0)) == [(40, 2.0), (30, 0.5)]
