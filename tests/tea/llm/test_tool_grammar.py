"""What answers with calls of tools are held to, by the decoder itself, byte by byte."""

from __future__ import annotations

import pytest
from llguidance import LLMatcher, LLTokenizer

from the_edge_agent.llm import tool_grammar
from the_edge_agent.llm.backend import ChatRequest, Message, Tool
from the_edge_agent.llm.tool_form import ToolForm

CITY = {
    "type": "object",
    "properties": {"city": {"$ref": "#/$defs/name"}},
    "required": ["city"],
    "$defs": {"name": {"type": "string"}},
}
TOOLS = (
    Tool("weather", "", CITY),
    Tool("now", "", {"type": "object", "properties": {}, "additionalProperties": False}),
)
CALLS = {
    ToolForm.HERMES: (
        '<tool_call>\n{"name": "weather", "arguments": {"city": "a"}}\n</tool_call>',
        '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>',
    ),
    ToolForm.LLAMA3: (
        '{"name": "weather", "parameters": {"city": "a"}}',
        '{"name": "now", "parameters": {}}',
    ),
    ToolForm.JSON: (
        '{"tool_calls": [{"name": "weather", "arguments": {"city": "a"}}]}',
        '{"tool_calls": [{"name": "now", "arguments": {}}]}',
    ),
}
FORMS = pytest.mark.parametrize("form", list(ToolForm))


def accepts(form: ToolForm, choice: str, text: str) -> bool:
    """Return whether ``text`` is a whole answer to a request with that choice."""
    request = ChatRequest((Message("user", "hi"),), tools=TOOLS, tool_choice=choice)
    grammar = tool_grammar.grammar(form, request)
    assert grammar is not None
    matcher = LLMatcher(LLTokenizer("byte"), LLMatcher.grammar_from_lark(grammar))
    assert not matcher.is_error(), matcher.get_error()
    data = list(text.encode())
    return matcher.try_consume_tokens(data) == len(data) and matcher.is_accepting()


@FORMS
def test_an_answer_may_call_or_be_words_where_the_model_decides(form: ToolForm) -> None:
    for text in (*CALLS[form], "", "It is sunny.", '{"other": 1}', "{", "a <tool"):
        assert accepts(form, "auto", text), text


@FORMS
def test_what_begins_like_a_call_is_one(form: ToolForm) -> None:
    call = CALLS[form][0]
    for wrong in (
        call.replace("weather", "rain"),
        call.replace('"a"', "1"),
        call.replace('"city"', '"town"'),
        call.replace('"a"', '"a", "more": 1'),
        call[:-1],
        f"{call} ",
    ):
        assert not accepts(form, "auto", wrong), wrong


@FORMS
def test_a_call_that_is_required_is_held_from_the_beginning(form: ToolForm) -> None:
    weather, now = CALLS[form]
    assert accepts(form, "required", weather)
    assert not accepts(form, "required", "It is sunny.")
    assert accepts(form, "now", now)
    assert not accepts(form, "now", weather)


def test_words_may_come_before_calls_and_several_calls_follow() -> None:
    weather, now = CALLS[ToolForm.HERMES]
    assert accepts(ToolForm.HERMES, "auto", f"I look.\n{weather}\n{now}")
    assert not accepts(ToolForm.HERMES, "auto", f"{weather}\nand")
    assert not accepts(ToolForm.HERMES, "now", f"{now}\n{now}")
    both = '{"tool_calls": [{"name": "now", "arguments": {}}, {"name": "now", "arguments": {}}]}'
    assert accepts(ToolForm.JSON, "required", both)
    assert not accepts(ToolForm.JSON, "now", both)
