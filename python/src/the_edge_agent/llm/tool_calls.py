"""The tools that an answer calls, read from its text and checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from the_edge_agent.errors import LimitError, ModelError, TeaError
from the_edge_agent.llm.backend import ChatReply, ChatRequest, ToolCall
from the_edge_agent.llm.tool_form import ToolForm, offered
from the_edge_agent.schema import validate
from the_edge_agent.value import json_reader

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_LLAMA3 = re.compile(r'\{\s*"name"')
_JSON = re.compile(r'\{\s*"tool_calls"')

Found = tuple[str, list[tuple[str, Any]]]  # the text beside the calls, and names with arguments


def read(form: ToolForm, request: ChatRequest, reply: ChatReply) -> ChatReply:
    """Return a model's reply with the tools that its text calls, and without their text.

    Raises:
        LimitError: ``max_tokens`` cut a call, or the answer before the call that it must have.
        ModelError: a call is damaged, of no tool that there is, or there is none.
    """
    if not offered(request):
        return reply
    try:
        content, found = _READERS[form](reply.content)
    except ValueError as error:
        _refuse_cut(reply)
        raise ModelError(f"the model calls a tool with {error}") from error
    if reply.finish_reason == "length" and (found or request.tool_choice != "auto"):
        _refuse_cut(reply)
    taken = {call.id for message in request.messages for call in message.tool_calls}
    calls = []
    for name, arguments in found:
        number = len(taken) + 1
        while f"call_{number}" in taken:
            number += 1
        taken.add(f"call_{number}")
        calls.append(ToolCall(f"call_{number}", name, arguments))
    checked(request, calls, ModelError)
    if not calls:
        return reply
    return replace(reply, content=content, tool_calls=tuple(calls), finish_reason="tool_calls")


def checked(
    request: ChatRequest, calls: Iterable[ToolCall], failure: type[TeaError]
) -> tuple[ToolCall, ...]:
    """Return the calls of an answer, once they are of tools that the request has.

    Raises:
        failure: one is of another tool than it may be, its arguments are not such, or none is
            there though one must be.
    """
    calls = tuple(calls)
    schemas = {tool.name: tool.parameters for tool in request.tools}
    choice = request.tool_choice
    for call in calls:
        if call.name not in schemas:
            raise failure(
                f'the model calls the tool "{call.name}", which is not there',
                hint=f"tools: {', '.join(schemas)}",
            )
        if choice not in ("auto", "required", call.name):
            raise failure(f'the model calls the tool "{call.name}", tool_choice is {choice}')
        if not isinstance(call.arguments, dict):
            raise failure(f'the model calls the tool "{call.name}" with arguments that are no map')
        for wrong in validate.errors(schemas[call.name], call.arguments):
            place = wrong["path"] or "the whole of it"
            raise failure(
                f'the model calls the tool "{call.name}" with arguments that its parameters do not'
                f" accept: {place} {wrong['message']}"
            )
    if not calls and choice not in ("auto", "none"):
        raise failure(f"the model calls no tool, tool_choice is {choice}")
    return calls


class TextBeforeCalls:
    """Gives on an answer as it comes, without what is, or may become, the call of a tool."""

    def __init__(self, form: ToolForm, on_text: Callable[[str], None]) -> None:
        self._form = form
        self._on_text = on_text
        self._text = ""
        self._shown = 0

    def feed(self, piece: str) -> None:
        """Take the next piece."""
        self._text += piece
        if self._form is ToolForm.HERMES:
            self._show(len(_before_mark(self._text).rstrip()))
        elif not self._text.lstrip().startswith("{"):
            self._show(len(self._text) if self._text.strip() else 0)

    def finish(self, content: str) -> None:
        """Give on the rest of the text beside the calls."""
        self._text = content
        self._show(len(content))

    def _show(self, end: int) -> None:
        if end > self._shown:
            self._on_text(self._text[self._shown : end])
            self._shown = end


def _before_mark(text: str) -> str:
    """Return the text up to the mark of a call, or up to what may be its beginning."""
    before, mark, _ = text.partition(_OPEN)
    if not mark:
        for length in range(min(len(_OPEN) - 1, len(text)), 0, -1):
            if _OPEN.startswith(text[-length:]):
                return text[:-length]
    return before


def _hermes(text: str) -> Found:
    before, *rest = text.split(_OPEN, 1)
    beside, calls = [before.rstrip()], []
    while rest:
        value, after = _first_json(rest[0])
        calls.append(_call(value, "arguments"))
        between, *rest = after.split(_OPEN, 1)
        beside.append(between.strip())
    return "\n".join(filter(None, beside)), calls


def _first_json(text: str) -> tuple[Any, str]:
    """Return the JSON before a closing mark, which may be within its texts too, and the rest."""
    end = text.find(_CLOSE)
    while end >= 0:
        try:
            return json_reader.read(text[:end]), text[end + len(_CLOSE) :]
        except ValueError:
            end = text.find(_CLOSE, end + 1)
    return _json(text), ""


def _llama3(text: str) -> Found:
    text = text.strip()
    begins = _LLAMA3.match(text) is not None
    try:
        value = json_reader.read(text) if text.startswith("{") else None
    except ValueError:
        if begins:
            _json(text)
        return text, []
    if isinstance(value, dict) and value.keys() - {"type"} == {"name", "parameters"}:
        return "", [_call(value, "parameters")]
    return text, []


def _own(text: str) -> Found:
    if _JSON.match(text.strip()) is None:
        return text, []
    value = _json(text)
    called = value["tool_calls"]
    if value.keys() != {"tool_calls"} or not isinstance(called, list) or not called:
        raise ValueError("JSON of another shape")
    return "", [_call(each, "arguments") for each in called]


def _json(text: str) -> Any:
    try:
        return json_reader.read(text)
    except ValueError as error:
        raise ValueError(f"something other than JSON: {error}") from error


def _call(value: Any, key: str) -> tuple[str, Any]:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise ValueError("JSON that has no name")
    return value["name"], value.get(key, {})


_READERS: Mapping[ToolForm, Callable[[str], Found]] = {
    ToolForm.HERMES: _hermes,
    ToolForm.LLAMA3: _llama3,
    ToolForm.JSON: _own,
}


def _refuse_cut(reply: ChatReply) -> None:
    if reply.finish_reason == "length":
        raise LimitError(
            f"max_tokens cut the answer after {reply.completion_tokens} tokens,"
            " before the call of a tool was complete",
            hint="raise max_tokens",
        )
