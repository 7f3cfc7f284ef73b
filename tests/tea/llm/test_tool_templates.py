"""Tools, calls and results in the formats of the models whose templates know them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.catalog import CHAT_TEMPLATES
from the_edge_agent.errors import ModelError
from the_edge_agent.llm import parameters, tool_form
from the_edge_agent.llm.backend import ChatRequest, Tool
from the_edge_agent.llm.chat_template import ChatTemplate
from the_edge_agent.llm.control_tokens import Placeholders
from the_edge_agent.llm.tool_form import ToolForm
from the_edge_agent.value.value import json_text

FOLDER = Path(__file__).with_name("chat_templates")
DATA: dict[str, Any] = yaml.safe_load((FOLDER / "tools.yaml").read_text(encoding="utf-8"))


def request_of(conversation: str) -> ChatRequest:
    messages = tuple(map(parameters.message, DATA["conversations"][conversation]))
    return ChatRequest(messages, tools=tuple(Tool(**each) for each in DATA["tools"]))


def rendered(family: str, conversation: str) -> str:
    text = (FOLDER / f"{family}.jinja").read_text(encoding="utf-8")
    template = ChatTemplate(text, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>")
    request, form = request_of(conversation), tool_form.of_template(text)
    tools = tool_form.template_tools(form, request.tools)
    return template.render(tool_form.messages(form, request.messages, request.tools), tools=tools)


@pytest.mark.parametrize("family", DATA["families"])
def test_tools_calls_and_results_render_as_documented(family: str) -> None:
    facts = DATA["families"][family]
    for conversation, expected in facts["renders"].items():
        assert rendered(family, conversation) == expected
    for conversation, said in facts.get("errors", {}).items():
        with pytest.raises(ModelError, match=said):
            rendered(family, conversation)


@pytest.mark.parametrize(
    "path", [*sorted(FOLDER.glob("*.jinja")), *sorted(CHAT_TEMPLATES.glob("*.jinja"))], ids=str
)
def test_the_form_of_a_template_is_seen_in_its_text(path: Path) -> None:
    expected = DATA["forms"].get(path.stem, "json")
    assert tool_form.of_template(path.read_text(encoding="utf-8")) is ToolForm(expected)


@pytest.mark.parametrize("source", DATA["other"])
def test_a_template_of_another_form_is_not_known(source: str) -> None:
    assert tool_form.of_template(source) is ToolForm.JSON


def test_control_tokens_in_calls_and_tools_are_text() -> None:
    call = {"id": "1", "name": "f", "arguments": {"<end>": ["a<end>"]}}
    messages = (parameters.message({"role": "assistant", "tool_calls": [call]}),)
    hidden = Placeholders(
        messages, lambda text: ["<end>"] if "<end>" in text else [], [{"help": "<end>"}]
    )
    seen = json_text([hidden.messages[0].tool_calls[0].arguments, hidden.tools])
    assert "<end>" not in seen
    (part,) = hidden.parts(seen)
    assert part.text.count("<end>") == 3
    assert not part.special
