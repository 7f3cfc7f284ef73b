"""How a model writes the calls of tools, and what it is told of them.

A chat template that knows tools is given them, calls and results as they are, and has one of two
forms (Hermes, which Qwen shares, and Llama 3). Every other model is told in the system text, and
answers in a form of our own.

Source: Hugging Face's documentation of tool use in chat templates; Llama 3.1's prompt format.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from typing import Any

from the_edge_agent.llm.backend import ChatRequest, Message, Tool, ToolCall
from the_edge_agent.spec import TOOL_RESULT_PROMPT, TOOLS_PROMPT
from the_edge_agent.value.value import json_text


class ToolForm(Enum):
    """The text of a call."""

    HERMES = "hermes"  # <tool_call>{"name": …, "arguments": {…}}</tool_call>, several
    LLAMA3 = "llama3"  # {"name": …, "parameters": {…}}, one
    JSON = "json"  # {"tool_calls": [{"name": …, "arguments": {…}}]}


# Calls between the same marks that are no JSON: of Qwen3-Coder, and of GLM.
_NO_JSON = ("<function=", "<arg_key>", "<parameter=")


def of_template(source: str) -> ToolForm:
    """Return the form that a chat template asks its model for."""
    if not re.search(r"\btools\b", source) or any(mark in source for mark in _NO_JSON):
        return ToolForm.JSON
    if "<tool_call>" in source and "</tool_call>" in source and "arguments" in source:
        return ToolForm.HERMES
    # The role of a tool's result in Llama 3 is ipython.
    if "ipython" in source and re.search(r'\{\\?"name', source) and '"parameters' in source:
        return ToolForm.LLAMA3
    return ToolForm.JSON


def offered(request: ChatRequest) -> tuple[Tool, ...]:
    """Return the tools that the model may call."""
    return () if request.tool_choice == "none" else request.tools


def template_tools(form: ToolForm, tools: tuple[Tool, ...]) -> list[dict[str, Any]] | None:
    """Return the tools for the chat template; None where it is not the one to write them."""
    if form is ToolForm.JSON or not tools:
        return None
    return [{"type": "function", "function": tool_data(tool)} for tool in tools]


def messages(
    form: ToolForm, given: tuple[Message, ...], tools: tuple[Tool, ...]
) -> tuple[Message, ...]:
    """Return the conversation for the chat template: in our own form it has no tools left."""
    if form is not ToolForm.JSON:
        return given
    told: list[Message] = []
    names: dict[str, str] = {}
    after_result = False
    for message in given:
        names |= {call.id: call.name for call in message.tool_calls}
        said, is_result = _as_text(message, names), message.role == "tool"
        # Most templates want user and assistant in turns.
        if told and told[-1].role == said.role == "user" and (is_result or after_result):
            said = replace(said, content=f"{told.pop().content}\n\n{said.content}")
        told.append(said)
        after_result = is_result
    if tools:
        lines = "\n".join(json_text(tool_data(tool)) for tool in tools)
        prompt = TOOLS_PROMPT.replace("{tools}", lines)
        if told[0].role == "system":
            prompt = f"{told.pop(0).content}\n\n{prompt}"
        told.insert(0, Message("system", prompt))
    return tuple(told)


def tool_data(tool: Tool) -> dict[str, Any]:
    """Return a tool as models and APIs are told of it."""
    return {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
    }


def call_data(call: ToolCall) -> dict[str, Any]:
    """Return a call as chat templates take it."""
    function = {"name": call.name, "arguments": call.arguments}
    return {"type": "function", "id": call.id, "function": function}


def _as_text(message: Message, names: Mapping[str, str]) -> Message:
    """Return a message with its calls, or with a tool's result, as a text."""
    if message.tool_calls:
        calls = [{"name": call.name, "arguments": call.arguments} for call in message.tool_calls]
        text = json_text({"tool_calls": calls})
        content = f"{message.content}\n{text}" if message.content else text
        return replace(message, content=content, tool_calls=())
    if message.role != "tool":
        return message
    asked = message.tool_call_id or ""
    name = message.name or names.get(asked, asked)
    head, _, tail = TOOL_RESULT_PROMPT.replace("{name}", name).partition("{content}")
    return Message("user", f"{head}{message.content}{tail}")
