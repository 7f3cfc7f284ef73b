"""The llm actions: check the parameters, choose the backend, shape the result.

``llm.call``, ``llm.chat`` and ``llm.complete`` are one action; ``llm.stream`` sends each piece of
the answer as an event too; ``llm.embed`` turns texts into vectors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from the_edge_agent import spec
from the_edge_agent.actions.registry import ActionSpec, Call
from the_edge_agent.errors import ActionError
from the_edge_agent.llm import parameters
from the_edge_agent.llm.backend import Backends, ChatReply, ChatRequest, EmbedRequest, Message
from the_edge_agent.workflow import types


def llm_actions(backends: Backends) -> dict[str, ActionSpec]:
    """Return the llm actions, which ask ``backends`` for their models."""
    chat, stream = (
        ActionSpec(
            run=partial(_chat, backends, streams=streams),
            params=frozenset(spec.CHAT.types),
            check=partial(types.problems, spec.CHAT.types),
        )
        for streams in (False, True)
    )
    embed = ActionSpec(
        run=partial(_embed, backends),
        params=frozenset(spec.EMBED.types),
        required=spec.EMBED.required,
        check=partial(types.problems, spec.EMBED.types),
    )
    return {
        "llm.call": chat,
        "llm.chat": chat,
        "llm.complete": chat,
        "llm.stream": stream,
        "llm.embed": embed,
    }


def check_settings(llm: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield (key, message) for each wrong value of ``settings.llm``; keys: spec.LLM."""
    return types.problems(spec.LLM.known, llm)


async def _chat(backends: Backends, call: Call, *, streams: bool) -> dict[str, Any]:
    _refuse(call, spec.CHAT)
    settings = _settings(call)
    request = chat_request(call.params, settings)
    backend = backends.select(settings, call.params.get("backend"))
    on_text = None
    if streams:

        def on_text(text: str) -> None:
            call.emit({"type": "token", "node": call.node, "text": text})

    reply = await backend.chat(request, on_text)
    return _chat_result(reply, backend.name)


def chat_request(params: Mapping[str, Any], settings: Mapping[str, Any]) -> ChatRequest:
    """Make the request that checked parameters and settings ask for.

    Raises:
        ActionError: there is neither ``prompt`` nor ``messages``.
    """
    fields = parameters.sampling(params, settings)
    if params.get("messages") is not None:
        messages = tuple(Message(each["role"], each["content"]) for each in params["messages"])
        return ChatRequest(messages, **fields)
    prompt = params.get("prompt")
    if prompt is None:
        raise ActionError("prompt or messages is missing", hint="give one of the two")
    system = params.get("system")
    system = settings.get("system") if system is None else system
    user = Message("user", prompt)
    if system is None:
        return ChatRequest((user,), prompt, **fields)
    return ChatRequest((Message("system", system), user), **fields)


def _chat_result(reply: ChatReply, backend: str) -> dict[str, Any]:
    total = reply.prompt_tokens + reply.completion_tokens
    return {
        "content": reply.content,
        "response": reply.content,
        "model": reply.model,
        "backend": backend,
        "finish_reason": reply.finish_reason,
        "usage": {
            "prompt_tokens": reply.prompt_tokens,
            "completion_tokens": reply.completion_tokens,
            "total_tokens": total,
        },
        "tokens_used": total,
    }


async def _embed(backends: Backends, call: Call) -> dict[str, Any]:
    _refuse(call, spec.EMBED)
    settings = _settings(call)
    text = call.params.get("text")
    if text is None:
        raise ActionError("text is missing")
    fields = parameters.sampling(call.params, settings)
    request = EmbedRequest(
        (text,) if isinstance(text, str) else tuple(text),
        **{key: fields[key] for key in ("model", "timeout", "max_retries") if key in fields},
    )
    reply = await backends.select(settings, call.params.get("backend")).embed(request)
    vectors = [list(vector) for vector in reply.embeddings]
    return {
        "embedding": vectors[0] if isinstance(text, str) else vectors,
        "model": reply.model,
        "dimensions": len(vectors[0]),
        "tokens_used": reply.tokens,
    }


def _settings(call: Call) -> Mapping[str, Any]:
    """Return ``settings.llm``, checked: a template in it may have given any value."""
    settings = call.settings.get("llm") or {}
    for _, message in check_settings(settings):
        raise ActionError(f"settings.llm: {message}")
    return settings


def _refuse(call: Call, parameters: spec.Parameters) -> None:
    """Refuse wrong parameters before anything is loaded."""
    for _, message in types.problems(parameters.types, call.params):
        raise ActionError(message)
