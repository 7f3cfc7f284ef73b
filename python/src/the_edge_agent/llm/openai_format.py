"""The texts that an OpenAI-compatible API sends, taken apart.

Source: OpenAI's API reference: chat completions, streaming events, embeddings, errors.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

from the_edge_agent import redact
from the_edge_agent.errors import ApiError
from the_edge_agent.llm.backend import ChatReply, EmbedReply, FinishReason, ToolCall
from the_edge_agent.value import json_reader

MAX_REPLY = 64_000_000  # bytes
_MAX_COUNT = 2**53  # of tokens; what is more is no count
_LARGEST = sys.float_info.max
_SHOWN = 120  # characters of what is no answer
_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\n|\r")
_EVENT_LINE = re.compile(rb"(?:data|event|id|retry)?:")  # how server-sent events can begin


async def limited(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield ``chunks`` up to the size that a reply may have. Raises ApiError beyond it."""
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > MAX_REPLY:
            raise ApiError(f"the API's reply is longer than {MAX_REPLY // 1_000_000} MB")
        yield chunk


async def read_reply(
    chunks: AsyncIterator[bytes], asked_model: str, on_text: Callable[[str], None] | None
) -> ChatReply:
    """Return the answer in a body, which shows itself whether it is JSON or events.

    ``on_text`` gets each piece of the answer. Raises ApiError where there is no answer.
    """
    head = b""
    async for chunk in chunks:
        head = (head + chunk).removeprefix(_BOM).lstrip()
        if len(head) >= len(b"retry:"):
            break
    if _EVENT_LINE.match(head):
        return await _read_stream(head, chunks, asked_model, on_text or (lambda _: None))
    body = b"".join([head, *[chunk async for chunk in chunks]])
    reply = chat_reply(body, asked_model)
    if on_text is not None and reply.content:
        on_text(reply.content)
    return reply


def chat_reply(body: bytes, asked_model: str) -> ChatReply:
    """Return the answer in ``body``. Raises ApiError when it has none."""
    data = _object(body)
    choice = _first_choice(data)
    message = choice.get("message")
    content = _text_of(message)
    reasoning = _reasoning_of(message)
    calls = _Calls()
    calls.take(message)
    reason = _finish_reason(choice.get("finish_reason"))
    if not content and not calls:
        _refuse_reasoning_alone(bool(reasoning), reason)
    if content is None and not calls and reason in (None, "stop", "length"):
        raise _strange("an answer without a text", body)
    reply = _reply(content or "", data, asked_model, reason or "stop", data.get("usage"))
    return _with_more(reply, calls, reasoning)


class _Events:
    """Takes server-sent events apart; lines end as the standard says, and only so.

    Source: HTML Standard, 9.2.6 (interpreting an event stream).
    """

    def __init__(self) -> None:
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._after_return = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the data of each event that is complete after ``chunk``."""
        if self._after_return and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_return = False
        if not chunk:
            return
        self._after_return = chunk.endswith(b"\r")
        first, *others = _LINE_END.split(chunk)
        self._line.append(first)
        for other in others:
            yield from self._end_line()
            self._line = [other]

    def end(self) -> Iterator[bytes]:
        """Yield the data of an event that no empty line ends."""
        yield from self._end_line()
        yield from self._event()

    def _end_line(self) -> Iterator[bytes]:
        line = b"".join(self._line)
        self._line = []
        field, _, value = line.partition(b":")
        if not line:
            yield from self._event()
        elif field == b"data":
            self._data.append(value)

    def _event(self) -> Iterator[bytes]:
        lines, self._data = self._data, []
        if len(lines) > 1:
            try:
                json_reader.read(b"\n".join(lines))
            except ValueError:
                yield from lines  # of a server that leaves out the empty lines
                return
        if lines:
            yield b"\n".join(lines)


async def _read_stream(
    head: bytes, chunks: AsyncIterator[bytes], asked_model: str, on_text: Callable[[str], None]
) -> ChatReply:
    """Return the answer whose pieces come as server-sent events.

    Raises:
        ApiError: an error was sent, or the stream broke off before its end.
    """
    events = _Events()
    stream = _Stream(on_text)
    for data in events.feed(head):
        stream.take(data)
    while not stream.is_done and (chunk := await anext(chunks, None)) is not None:
        for data in events.feed(chunk):
            stream.take(data)
    for data in events.end():
        stream.take(data)
    return stream.reply(asked_model)


class _Stream:
    """Puts an answer together from the data of events."""

    def __init__(self, on_text: Callable[[str], None]) -> None:
        self.is_done = False
        self._on_text = on_text
        self._said: list[str] = []
        self._reasoning: list[str] = []
        self._calls = _Calls()
        self._first: dict[str, Any] = {}
        self._usage: Any = None
        self._reason: FinishReason | None = None

    def take(self, value: bytes) -> None:
        """Take the data of one event; what comes after the end is passed over."""
        value = value.strip()
        if self.is_done or not value:
            return
        if value == b"[DONE]":
            self._reason = self._reason or "stop"
            self.is_done = True
            return
        data = _object(value)
        self._first = self._first or data
        self._usage = data.get("usage") or self._usage
        if not data.get("choices"):
            return
        choice = _first_choice(data)
        delta = choice.get("delta")
        self._reasoning.append(_reasoning_of(delta))
        self._calls.take(delta)
        if piece := _text_of(delta):
            self._said.append(piece)
            self._on_text(piece)
        self._reason = _finish_reason(choice.get("finish_reason")) or self._reason

    def reply(self, asked_model: str) -> ChatReply:
        """Return the whole answer. Raises ApiError where there is none."""
        if self._reason is None:
            raise ApiError("the API's stream broke off before the answer was complete")
        reasoning = "".join(self._reasoning)
        if not self._said and not self._calls:
            _refuse_reasoning_alone(bool(reasoning), self._reason)
        content = "".join(self._said)
        reply = _reply(content, self._first, asked_model, self._reason, self._usage)
        return _with_more(reply, self._calls, reasoning)


class _Calls:
    """Puts the calls of tools together, which come whole or, in a stream, in pieces."""

    def __init__(self) -> None:
        self._found: dict[int, list[str]] = {}  # by index: id, name, arguments

    def __bool__(self) -> bool:
        return bool(self._found)

    def take(self, message: Any) -> None:
        """Take the calls of a message, or what a delta adds to them."""
        calls = message.get("tool_calls") if isinstance(message, dict) else None
        for position, each in enumerate(calls if isinstance(calls, list) else ()):
            call = each if isinstance(each, dict) else {}
            function = call.get("function")
            function = function if isinstance(function, dict) else {}
            index = call.get("index", position)
            parts = self._found.setdefault(index if isinstance(index, int) else position, [""] * 3)
            values = (call.get("id"), function.get("name"), function.get("arguments"))
            for number, value in enumerate(values):
                parts[number] += value if isinstance(value, str) else ""

    def read(self) -> tuple[ToolCall, ...]:
        """Return the calls. Raises ApiError where one is damaged."""
        return tuple(self._call(index, *self._found[index]) for index in sorted(self._found))

    @staticmethod
    def _call(index: int, id_: str, name: str, arguments: str) -> ToolCall:
        try:
            return ToolCall(id_ or f"call_{index + 1}", name, json_reader.read(arguments or "{}"))
        except ValueError as error:
            raise ApiError(
                f'the model calls the tool "{name}" with something other than JSON: {error}'
            ) from error


def _with_more(reply: ChatReply, calls: _Calls, reasoning: str) -> ChatReply:
    # With such a reason and no calls, or the other way round, the calls are what counts.
    reason = "tool_calls" if calls and reply.finish_reason == "stop" else reply.finish_reason
    return replace(
        reply, tool_calls=calls.read(), reasoning=reasoning or None, finish_reason=reason
    )


def _text_of(message: Any) -> str | None:
    """Return the text of a message or a delta, which may be in parts; None where it has none."""
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        texts = [text for text in parts if isinstance(text, str)]
        return "".join(texts) if texts else None
    return content if isinstance(content, str) else None


def _reasoning_of(message: Any) -> str:
    """Return the reasoning in a message or a delta, by either of the names in use."""
    given = message if isinstance(message, dict) else {}
    reasoning = given.get("reasoning_content") or given.get("reasoning")
    return reasoning if isinstance(reasoning, str) else ""


def _refuse_reasoning_alone(reasons: bool, reason: FinishReason | None) -> None:
    if reasons:
        ended = f" and ended with {reason}" if reason else ""
        raise ApiError(
            f"the API sent reasoning but no text{ended}",
            hint="raise max_tokens: reasoning counts, too",
        )


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
        data = json_reader.read(body)
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
        data = json_reader.read(body)
    except ValueError as error:
        raise _strange("something other than JSON", body) from error
    if not isinstance(data, dict):
        raise _strange("JSON of another shape", body)
    message = _error_in(data)
    if message is not None:
        raise ApiError(f"the API answered with an error: {redact.shorten(message, 300)}")
    return data


def _first_choice(data: dict[str, Any]) -> dict[str, Any]:
    choices = data.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise ApiError("the API sent a response without an answer")
    return choices[0]


def _finish_reason(word: Any) -> FinishReason | None:
    if word is None or word == "":
        return None
    if isinstance(word, str):
        return word
    shown = redact.shorten(json.dumps(word), _SHOWN)
    raise ApiError(f"the API ended the answer for a reason that is no text: {shown}")


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
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_COUNT:
        return value
    return 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _strange(what: str, body: bytes) -> ApiError:
    # Far more than is shown, so that no secret is cut before it is masked.
    text = " ".join(body[:1_000_000].decode("utf-8", "replace").split())
    shown = redact.shorten(text, _SHOWN)
    return ApiError(f"the API sent {what}: {shown!r}", hint="is api_base right?")
