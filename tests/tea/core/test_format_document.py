"""docs/format.md says what the engine does: its examples are valid, its lists are complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from the_edge_agent import spec
from the_edge_agent.actions.base import base_registry
from the_edge_agent.actions.llm import llm_actions
from the_edge_agent.llm.backend import Backends
from the_edge_agent.template import operators
from the_edge_agent.template.filters import table
from the_edge_agent.workflow.load import load

TEXT = (Path(__file__).parents[3] / "docs" / "format.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
ACTIONS = {
    **base_registry(()),
    **llm_actions(Backends(local=lambda _: None, api=lambda _: None)),
}


def as_file(example: str) -> str:
    """The example as a whole file; a fallback that it names is added."""
    if example.startswith("- "):
        return f"nodes:\n{example}- name: apologise\n"
    return example if "nodes:" in example else f"{example}nodes:\n- name: apologise\n"


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_every_example_of_the_document_is_valid(example: str) -> None:
    assert load(as_file(example), "format.md", actions=ACTIONS).nodes


KNOWN = {
    *table.FILTERS, *table.TESTS, *ACTIONS, *spec.FILE.known, *spec.NODE.known,
    *spec.EDGE.known, *spec.ERROR_HANDLING.known, *spec.RETRY.known, *spec.LLM.known,
    *spec.CHAT.types, *spec.EMBED.types,
}  # fmt: skip


@pytest.mark.parametrize("word", sorted(KNOWN))
def test_the_document_names_every_key_action_filter_and_test(word: str) -> None:
    assert re.search(rf"[`.{{ ,(]{re.escape(word)}[`(=:.,}}]", TEXT), word


@pytest.mark.parametrize("method", sorted(operators.METHODS))
def test_the_document_names_every_method(method: str) -> None:
    assert f".{method}(" in TEXT
