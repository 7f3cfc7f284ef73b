"""Each family's conversations come out in the format that its publisher documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.catalog import CHAT_TEMPLATES
from the_edge_agent.errors import ModelError
from the_edge_agent.llm.backend import Message
from the_edge_agent.llm.chat_template import ChatTemplate

FOLDER = Path(__file__).with_name("chat_templates")
DATA: dict[str, Any] = yaml.safe_load((FOLDER / "conversations.yaml").read_text(encoding="utf-8"))
FAMILIES: dict[str, dict[str, Any]] = DATA["families"]


def template(family: str) -> ChatTemplate:
    path = FOLDER / f"{family}.jinja"
    if not path.exists():
        path = CHAT_TEMPLATES / f"{family}.jinja"
    facts = FAMILIES[family]
    text = path.read_text(encoding="utf-8")
    return ChatTemplate(text, bos_token=facts["bos"], eos_token=facts["eos"])


def messages(conversation: str) -> tuple[Message, ...]:
    return tuple(Message(**each) for each in DATA["conversations"][conversation])


def each(outcome: str) -> list[Any]:
    return [
        pytest.param(family, conversation, expected, id=f"{family}: {conversation}")
        for family, facts in FAMILIES.items()
        for conversation, expected in facts[outcome].items()
    ]


@pytest.mark.parametrize(("family", "conversation", "expected"), each("renders"))
def test_conversation_renders_to_the_documented_format(
    family: str, conversation: str, expected: str
) -> None:
    assert template(family).render(messages(conversation)) == expected


@pytest.mark.parametrize(("family", "conversation", "said"), each("errors"))
def test_a_forbidden_order_of_roles_is_a_clear_error(
    family: str, conversation: str, said: str
) -> None:
    with pytest.raises(ModelError, match=said) as caught:
        template(family).render(messages(conversation))
    assert caught.value.hint


@pytest.mark.parametrize("family", FAMILIES)
def test_every_conversation_has_an_expectation(family: str) -> None:
    facts = FAMILIES[family]
    assert facts["renders"].keys() | facts["errors"].keys() == DATA["conversations"].keys()


@pytest.mark.parametrize(("family", "conversation", "expected"), each("renders"))
def test_text_has_one_bos_at_its_head_or_none(
    family: str, conversation: str, expected: str
) -> None:
    """The tokenizer is told to add none, so what the text has is what the model gets."""
    bos = FAMILIES[family]["bos"]
    if not FAMILIES[family].get("adds_bos", True):
        return
    text = template(family).render(messages(conversation))
    assert text.count(bos) == text.startswith(bos)


@pytest.mark.parametrize("path", sorted(CHAT_TEMPLATES.glob("*.jinja")), ids=lambda path: path.stem)
def test_every_template_that_a_row_may_name_has_its_table(path: Path) -> None:
    assert path.stem in FAMILIES
