"""What an OpenAI-compatible API is asked: messages, tools and formats in its own words.

Source: OpenAI's API reference: chat completions, structured outputs, function calling.
"""

from __future__ import annotations

from typing import Any

from the_edge_agent.errors import ActionError
from the_edge_agent.llm.backend import ChatRequest, Message
from the_edge_agent.llm.shape import Choices, JsonObject, JsonSchema, Lark, Regex, Shape
from the_edge_agent.llm.tool_form import tool_data
from the_edge_agent.value import json_reader
from the_edge_agent.value.value import json_text

_NAME = "answer"  # of a schema that has none
CHOICE = "choice"  # the key of the map that a choice is sent in


def messages(request: ChatRequest) -> list[dict[str, Any]]:
    """Return the conversation."""
    return [_message(each) for each in request.messages]


def form(request: ChatRequest) -> dict[str, Any]:
    """Return the fields that hold the answer to a shape, and the tools.

    Raises:
        ActionError: no API holds an answer to such a shape.
    """
    fields: dict[str, Any] = {}
    if request.shape is not None:
        fields["response_format"] = _response_format(request.shape, request.schema_options)
    if request.tools:
        fields["tools"] = [
            {"type": "function", "function": tool_data(tool)} for tool in request.tools
        ]
        choice = request.tool_choice
        if choice in ("none", "required"):
            fields["tool_choice"] = choice
        elif choice != "auto":
            fields["tool_choice"] = {"type": "function", "function": {"name": choice}}
    return fields


def choice_in(content: str) -> str:
    """Return the choice in an answer: in a map, or as it is where the API knows no formats."""
    try:
        data = json_reader.read(content)
    except ValueError:
        return content
    return str(data[CHOICE]) if isinstance(data, dict) and CHOICE in data else content


def _message(message: Message) -> dict[str, Any]:
    fields: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        fields["content"] = message.content or None
        fields["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json_text(call.arguments)},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        fields["tool_call_id"] = message.tool_call_id
    return fields


def _response_format(shape: Shape, options: dict[str, Any]) -> dict[str, Any]:
    match shape:
        case JsonObject():
            return {"type": "json_object"}
        case JsonSchema(schema):
            named = {"name": _NAME, **options, "schema": schema}
            return {"type": "json_schema", "json_schema": named}
        case Choices(texts):
            schema = {
                "type": "object",
                "properties": {CHOICE: {"type": "string", "enum": list(texts)}},
                "required": [CHOICE],
                "additionalProperties": False,
            }
            named = {"name": CHOICE, "strict": True, "schema": schema}
            return {"type": "json_schema", "json_schema": named}
        case Regex() | Lark():
            name = "regex" if isinstance(shape, Regex) else "grammar"
            raise ActionError(
                f"an API cannot hold an answer to a {name}",
                hint="set backend: local, or use schema or choices",
            )
