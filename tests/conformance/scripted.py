"""Scripted models: a local one in the place of llama.cpp, and an API behind the real client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from the_edge_agent import errors
from the_edge_agent.llm.backend import (
    BackendName,
    ChatReply,
    ChatRequest,
    EmbedReply,
    EmbedRequest,
)

Request = dict[str, Any]


class ScriptEndedError(AssertionError):
    """A model was asked more often than its case has replies."""


@dataclass(slots=True)
class Script:
    """The replies that a model has left to give, and the requests that it got.

    ``requests`` is shared by all models of a case, in the order of the requests.
    """

    name: str
    replies: list[dict[str, Any]]
    requests: list[Request]
    bytewise: bool = False

    def next(self, request: Request) -> dict[str, Any]:
        """Return the reply to ``request`` and remember the request."""
        self.requests.append(request)
        if not self.replies:
            raise ScriptEndedError(f"one request more than the case has replies: {request}")
        return self.replies.pop(0)


def pieces(reply: dict[str, Any]) -> list[str]:
    """Return the pieces of text that a reply comes in."""
    text = reply.get("text", "")
    return ([text] if text else []) if isinstance(text, str) else list(text)


def usage(reply: dict[str, Any]) -> tuple[int, int]:
    """Return the tokens of prompt and answer."""
    prompt, completion = reply.get("usage", (1, len(pieces(reply))))
    return prompt, completion


@dataclass(slots=True)
class ScriptedModel:
    """A local model that says what its script says."""

    script: Script
    name: BackendName = "local"

    async def chat(self, request: ChatRequest, on_text: Callable[[str], None] | None) -> ChatReply:
        """Answer with the next reply."""
        fields = {
            key: getattr(request, key)
            for key in ("temperature", "max_tokens", "top_p", "top_k", "min_p", "seed")
        }
        messages = [{"role": each.role, "content": each.content} for each in request.messages]
        asked = {"messages": messages, "stop": list(request.stop), **fields}
        reply = self.script.next({"backend": "local", **asked})
        for piece in pieces(reply):
            if on_text is not None:
                on_text(piece)
        _fail(reply)
        return ChatReply(
            "".join(pieces(reply)),
            self.script.name,
            reply.get("finish_reason", "stop"),
            *usage(reply),
        )

    async def embed(self, request: EmbedRequest) -> EmbedReply:
        """Answer with the vectors of the next reply."""
        reply = self.script.next({"backend": "local", "texts": list(request.texts)})
        _fail(reply)
        vectors = tuple(tuple(float(each) for each in vector) for vector in reply["embeddings"])
        return EmbedReply(vectors, self.script.name, reply["usage"])


def _fail(reply: dict[str, Any]) -> None:
    if "error" in reply:
        kind: type[errors.TeaError] = getattr(errors, reply["error"])
        raise kind(reply["message"])


@dataclass(slots=True)
class ScriptedApi(httpx.AsyncBaseTransport):
    """An OpenAI-compatible API, in the place of the network."""

    script: Script
    _never: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer with the next reply, or with its fault."""
        body = json.loads(await request.aread())
        reply = self.script.next(_recorded(request, body))
        fault = reply.get("fault")
        if fault == "refused":
            raise httpx.ConnectError("connection refused", request=request)
        if fault == "silence":
            await self._never.wait()
        if "status" in reply:
            return httpx.Response(
                reply["status"], headers=reply.get("headers"), content=reply["body"].encode()
            )
        if "embeddings" in reply:
            return httpx.Response(200, json=self._vectors(reply))
        if body.get("stream"):
            kind = {"content-type": "text/event-stream"}
            return httpx.Response(200, headers=kind, stream=_Stream(self._events(reply)))
        return httpx.Response(200, json=self._answer(reply))

    def _answer(self, reply: dict[str, Any]) -> dict[str, Any]:
        message = {"role": "assistant", "content": "".join(pieces(reply))}
        return {
            "id": "1",
            "object": "chat.completion",
            "model": self.script.name,
            "choices": [{"index": 0, "message": message, "finish_reason": _reason(reply)}],
            "usage": self._usage(reply),
        }

    def _vectors(self, reply: dict[str, Any]) -> dict[str, Any]:
        rows = [
            {"object": "embedding", "index": index, "embedding": vector}
            for index, vector in enumerate(reply["embeddings"])
        ]
        rows.reverse()  # the index says which is which, not the order
        counts = {"prompt_tokens": reply["usage"], "total_tokens": reply["usage"]}
        return {"object": "list", "model": self.script.name, "data": rows, "usage": counts}

    def _usage(self, reply: dict[str, Any]) -> dict[str, int]:
        prompt, completion = usage(reply)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }

    async def _events(self, reply: dict[str, Any]) -> AsyncIterator[bytes]:
        for piece in pieces(reply):
            for part in self._parts(self._chunk({"content": piece}, None)):
                yield part
        if reply.get("fault") == "disconnect":
            raise httpx.ReadError("connection reset")
        if reply.get("fault") == "cut":
            return
        yield self._chunk({}, _reason(reply))
        yield self._event({"model": self.script.name, "choices": [], "usage": self._usage(reply)})
        yield b"data: [DONE]\n\n"

    def _parts(self, data: bytes) -> list[bytes]:
        return [bytes([byte]) for byte in data] if self.script.bytewise else [data]

    def _chunk(self, delta: dict[str, Any], reason: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return self._event({"model": self.script.name, "choices": [choice]})

    def _event(self, data: dict[str, Any]) -> bytes:
        return f"data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


class _Stream(httpx.AsyncByteStream):
    def __init__(self, parts: AsyncIterator[bytes]) -> None:
        self._parts = parts

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._parts


def _reason(reply: dict[str, Any]) -> str:
    return str(reply.get("finish_reason", "stop"))


def _recorded(request: httpx.Request, body: dict[str, Any]) -> Request:
    """Return a request in the words of the cases, whichever of two names the API has."""
    fields = dict(body)
    if "max_completion_tokens" in fields:
        fields["max_tokens"] = fields.pop("max_completion_tokens")
    if "input" in fields:
        texts = fields.pop("input")
        fields["texts"] = [texts] if isinstance(texts, str) else texts
    if isinstance(fields.get("stop"), str):
        fields["stop"] = [fields["stop"]]
    return {
        "backend": "api",
        "method": request.method,
        "url": str(request.url),
        "headers": {key.lower(): value for key, value in request.headers.items()},
        **fields,
    }
