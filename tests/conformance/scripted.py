"""Scripted models: what a case's local model and its API answer to an engine's requests."""

from __future__ import annotations

import json
from typing import Any

from .sandbox import Outcome

Request = dict[str, Any]
Reply = dict[str, Any]
Answer = dict[str, Any]

_OF_A_PAGE = ("prompt", "n_ctx", "held_to")  # what the engine in a page says besides


class Models:
    """The models of a case, which note each request in ``outcome``."""

    def __init__(self, models: dict[str, Any]) -> None:
        self.outcome = Outcome()
        self._models = models
        self._left = {name: list(model["replies"]) for name, model in models.items()}

    def answer(self, what: str, asked: Any) -> Answer:
        """Return what the engine is to read after ``sleep``, ``chat``, and so on."""
        if what == "sleep":
            self.outcome.sleeps.append(asked)
            return {}
        answers = {
            "chat": self.chat, "embed": self.embed, "decide": self.decide, "post": self.post,
        }  # fmt: skip
        return answers[what](asked)

    def chat(self, asked: Request) -> Answer:
        """Return pieces of an answer, and the whole reply or an error. ``reply`` is JSON."""
        seen = {key: value for key, value in asked.items() if key not in _OF_A_PAGE}
        seen |= seen.pop("shape") or {}
        reply = self._next("local", {"backend": "local", **seen})
        if reply is None or "error" in reply:
            return {"pieces": _pieces(reply or {}), **_error(reply)}
        prompt, completion = _usage(reply)
        whole = {
            "content": "".join(_pieces(reply)),
            "model": self._name("local"),
            "finish_reason": _reason(reply),
            "prompt_tokens": prompt,
            "completion_tokens": completion,
        }
        whole |= {key: reply[key] for key in ("tool_calls", "reasoning") if key in reply}
        if form := self._models["local"].get("tool_form"):
            whole["tool_form"] = form  # a page tells the engine with each answer
        return {"pieces": _pieces(reply), "reply": json.dumps(whole)}

    def decide(self, asked: Request) -> Answer:
        """Return likelihoods of choices, or an error. ``reply`` is JSON."""
        reply = self._next("local", {"backend": "local", **asked})
        if reply is None or "error" in reply:
            return _error(reply)
        return {"reply": json.dumps(reply)}

    def embed(self, asked: Request) -> Answer:
        """Return vectors, or an error. ``reply`` is JSON."""
        reply = self._next("local", {"backend": "local", "texts": asked["texts"]})
        if reply is None or "error" in reply:
            return _error(reply)
        vectors = [[float(each) for each in vector] for vector in reply["embeddings"]]
        whole = {"embeddings": vectors, "model": self._name("local"), "tokens": reply["usage"]}
        return {"reply": json.dumps(whole)}

    def post(self, asked: Request) -> Answer:
        """Return the response of an OpenAI-compatible API, or how the network failed.

        ``chunks`` are bytes, one character each; the last may be an error instead.
        """
        body = json.loads(asked["body"])
        reply = self._next("api", _recorded(asked, body))
        if reply is None:
            return _broken("invalid", "the script is over")
        if reply.get("fault") in ("refused", "silence"):
            return _broken("connection" if reply["fault"] == "refused" else "timeout", "no answer")
        if "status" in reply:
            headers = {key.lower(): value for key, value in reply.get("headers", {}).items()}
            return _response([reply["body"].encode()], reply["status"], headers)
        if "embeddings" in reply:
            return _response([json.dumps(self._vectors(reply)).encode()])
        if body.get("stream"):
            return self._stream(reply)
        return _response([json.dumps(self._completion(reply)).encode()])

    def _name(self, model: str) -> str:
        return str(self._models[model].get("name", "model"))

    def _next(self, model: str, request: Request) -> Reply | None:
        self.outcome.requests.append(request)
        left = self._left.get(model, [])
        if not left:
            fault = f"one request more than the case has replies: {request}"
            self.outcome.faults.append(fault)
            return None
        reply: Reply = left.pop(0)
        return reply

    def _completion(self, reply: Reply) -> Answer:
        message: dict[str, Any] = {"role": "assistant"}
        message["content"] = "".join(_pieces(reply)) or None
        if "tool_calls" in reply:
            message["tool_calls"] = [_call(each) for each in reply["tool_calls"]]
        elif message["content"] is None:
            message["content"] = ""
        if "reasoning" in reply:
            message["reasoning_content"] = reply["reasoning"]
        return {
            "id": "1",
            "object": "chat.completion",
            "model": self._name("api"),
            "choices": [{"index": 0, "message": message, "finish_reason": _reason(reply)}],
            "usage": _counts(reply),
        }

    def _vectors(self, reply: Reply) -> Answer:
        rows = [
            {"object": "embedding", "index": index, "embedding": vector}
            for index, vector in enumerate(reply["embeddings"])
        ]
        rows.reverse()  # the index says which is which, not the order
        counts = {"prompt_tokens": reply["usage"], "total_tokens": reply["usage"]}
        return {"object": "list", "model": self._name("api"), "data": rows, "usage": counts}

    def _stream(self, reply: Reply) -> Answer:
        chunks = [self._chunk({"content": piece}, None) for piece in _pieces(reply)]
        for index, call in enumerate(reply.get("tool_calls", ())):
            whole = _call(call)
            arguments = whole["function"].pop("arguments")
            parts = [whole, *({"function": {"arguments": sign}} for sign in arguments)]
            deltas = [{"tool_calls": [{"index": index, **part}]} for part in parts]
            chunks += [self._chunk(delta, None) for delta in deltas]
        if self._models["api"].get("bytewise"):
            chunks = [bytes([byte]) for chunk in chunks for byte in chunk]
        if "fault" not in reply:
            usage = {"model": self._name("api"), "choices": [], "usage": _counts(reply)}
            chunks += [self._chunk({}, _reason(reply)), _event(usage), b"data: [DONE]\n\n"]
        answer = _response(chunks, headers={"content-type": "text/event-stream"})
        if reply.get("fault") == "disconnect":
            answer["chunks"].append(_broken("connection", "connection reset"))
        return answer

    def _chunk(self, delta: dict[str, Any], reason: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return _event({"model": self._name("api"), "choices": [choice]})


def _call(call: dict[str, Any]) -> dict[str, Any]:
    function = {"name": call["name"], "arguments": json.dumps(call["arguments"])}
    return {"id": call["id"], "type": "function", "function": function}


def _pieces(reply: Reply) -> list[str]:
    text = reply.get("text", "")
    return ([text] if text else []) if isinstance(text, str) else list(text)


def _usage(reply: Reply) -> tuple[int, int]:
    """Return the tokens of prompt and answer."""
    prompt, completion = reply.get("usage", (1, len(_pieces(reply))))
    return prompt, completion


def _counts(reply: Reply) -> dict[str, int]:
    prompt, completion = _usage(reply)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def _reason(reply: Reply) -> str:
    return str(reply.get("finish_reason", "tool_calls" if "tool_calls" in reply else "stop"))


def _error(reply: Reply | None) -> Answer:
    said = reply or {"error": "ActionError", "message": "the script is over"}
    hint = said.get("hint", "")
    return {"error": {"kind": said["error"], "message": said["message"], "hint": hint}}


def _broken(kind: str, message: str) -> Answer:
    return {"error": {"kind": kind, "message": message, "hint": ""}}


def _response(
    chunks: list[bytes], status: int = 200, headers: dict[str, str] | None = None
) -> Answer:
    return {
        "status": status,
        "reason": "reason",
        "headers": headers or {"content-type": "application/json"},
        "chunks": [chunk.decode("latin-1") for chunk in chunks],
    }


def _event(data: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def _recorded(asked: Request, body: dict[str, Any]) -> Request:
    """Return a request in the words of the cases."""
    fields = dict(body)
    if "input" in fields:
        texts = fields.pop("input")
        fields["texts"] = [texts] if isinstance(texts, str) else texts
    if isinstance(fields.get("stop"), str):
        fields["stop"] = [fields["stop"]]
    return {
        "backend": "api",
        "method": "POST",
        "url": asked["url"],
        "headers": {key.lower(): value for key, value in asked["headers"]},
        **fields,
    }
