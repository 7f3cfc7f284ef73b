"""The texts that an OpenAI-compatible API sends, taken apart.

Source: OpenAI's API reference: chat completions, streaming events, embeddings, errors.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from the_edge_agent import json_reader
from the_edge_agent.errors import ApiError
from the_edge_agent.llm.backend import ChatReply, EmbedReply, FinishReason


def chat_reply(body: bytes, asked_model: str) -> ChatReply:
    """Return the answer in ``body``. Raises ApiError when it has none."""
    data = _object(body)
    choice = _first_choice(data)
    message = choice.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    reason = _finish_reason(choice.get("finish_reason"))
    if not isinstance(content, str):
        raise _strange("an answer without a text", body)
    return _reply(content, data, asked_model, reason or "stop", data.get("usage"))


async def read_stream(
    lines: AsyncIterator[str], asked_model: str, on_text: Callable[[str], None]
) -> ChatReply:
    """Return the answer whose pieces come as server-sent events; ``on_text`` gets each piece.

    Raises:
        ApiError: an error was sent, or the stream broke off before its end.
    """
    said: list[str] = []
    first: dict[str, Any] = {}
    usage: Any = None
    reason: FinishReason | None = None
    async for line in lines:
        field, _, value = line.partition(":")
        if field != "data":
            continue
        value = value.strip()
        if value == "[DONE]":
            reason = reason or "stop"
            break
        data = _object(value.encode())
        first = first or data
        usage = data.get("usage") or usage
        if not data.get("choices"):
            continue
        choice = _first_choice(data)
        delta = choice.get("delta")
        piece = delta.get("content") if isinstance(delta, dict) else None
        if isinstance(piece, str) and piece:
            said.append(piece)
            on_text(piece)
        reason = _finish_reason(choice.get("finish_reason")) or reason
    if reason is None:
        raise ApiError("the API's stream broke off before the answer was complete")
    return _reply("".join(said), first, asked_model, reason, usage)


def embed_reply(body: bytes, asked_model: str, count: int) -> EmbedReply:
    """Return the ``count`` vectors in ``body``. Raises ApiError when it has not that many."""
    data = _object(body)
    rows = data.get("data")
    if not isinstance(rows, list) or len(rows) != count:
        raise _strange(f"something other than {count} vectors", body)
    vectors: list[tuple[float, ...]] = [()] * count
    for position, row in enumerate(rows):
        vector = row.get("embedding") if isinstance(row, dict) else None
        index = row.get("index", position) if isinstance(row, dict) else None
        if not isinstance(vector, list) or not vector or not isinstance(index, int):
            raise _strange("a vector without numbers", body)
        if not 0 <= index < count or not all(_is_number(each) for each in vector):
            raise _strange("a vector that is none", body)
        vectors[index] = tuple(float(each) for each in vector)
    if not all(vectors):
        raise _strange("the same vector twice", body)
    return EmbedReply(
        tuple(vectors), _model(data, asked_model), _count(data.get("usage"), "prompt_tokens")
    )


def error_text(body: bytes) -> str:
    """Return what an error response says, in one line; "" when it says nothing."""
    try:
        data = json_reader.read(body.decode())
    except ValueError:
        return " ".join(body.decode("utf-8", "replace").split())
    return _error_in(data) or ""


def _error_in(data: Any) -> str | None:
    error = data.get("error") if isinstance(data, dict) else None
    if isinstance(error, dict):
        error = error.get("message") or json.dumps(error)
    return " ".join(str(error).split()) if error else None


def _object(body: bytes) -> dict[str, Any]:
    try:
        data = json_reader.read(body.decode())
    except ValueError as error:
        raise _strange("something other than JSON", body) from error
    if not isinstance(data, dict):
        raise _strange("JSON of another shape", body)
    message = _error_in(data)
    if message is not None:
        raise ApiError(f"the API answered with an error: {message}")
    return data


def _first_choice(data: dict[str, Any]) -> dict[str, Any]:
    choices = data.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise ApiError("the API sent a response without an answer")
    return choices[0]


def _finish_reason(word: Any) -> FinishReason | None:
    if word is None or word == "":
        return None
    if word in ("stop", "length"):
        return "stop" if word == "stop" else "length"
    raise ApiError(f"the API ended the answer for another reason: {word}")


def _reply(
    content: str, data: dict[str, Any], asked_model: str, reason: FinishReason, usage: Any
) -> ChatReply:
    return ChatReply(
        content=content,
        model=_model(data, asked_model),
        finish_reason=reason,
        prompt_tokens=_count(usage, "prompt_tokens"),
        completion_tokens=_count(usage, "completion_tokens"),
    )


def _model(data: dict[str, Any], asked: str) -> str:
    model = data.get("model")
    return model if isinstance(model, str) and model else asked


def _count(usage: Any, key: str) -> int:
    """Return a number of tokens; 0 where a server does not count them."""
    value = usage.get(key) if isinstance(usage, dict) else None
    return value if isinstance(value, int) else 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _strange(what: str, body: bytes) -> ApiError:
    shown = " ".join(body[:120].decode("utf-8", "replace").split())
    return ApiError(f"the API sent {what}: {shown!r}", hint="is api_base right?")
