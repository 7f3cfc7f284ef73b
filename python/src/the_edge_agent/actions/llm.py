"""The llm actions: check the parameters, choose the backend, shape the result.

``llm.call``, ``llm.chat`` and ``llm.complete`` are one action; ``llm.stream`` sends each piece of
the answer as an event too; ``llm.tools`` runs the tools that the model calls; ``llm.decide`` says
which of several texts is the likeliest answer; ``llm.embed`` turns texts into vectors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from the_edge_agent import spec
from the_edge_agent.actions.llm_tools import llm_tools
from the_edge_agent.actions.registry import ActionSpec, Call, refuse
from the_edge_agent.errors import ActionError
from the_edge_agent.llm import parameters, tools
from the_edge_agent.llm.api_settings import api_settings
from the_edge_agent.llm.backend import (
    Backend,
    Backends,
    ChatReply,
    ChatRequest,
    DecideRequest,
    EmbedRequest,
    Message,
)
from the_edge_agent.llm.shape import Choices, told
from the_edge_agent.schema.check import Problem
from the_edge_agent.workflow import types


def llm_actions(backends: Backends) -> dict[str, ActionSpec]:
    """Return the llm actions, which ask ``backends`` for their models."""
    chat, stream = (
        ActionSpec(
            run=partial(_chat, backends, streams=streams),
            params=frozenset(spec.CHAT.types),
            check=_chat_problems,
        )
        for streams in (False, True)
    )
    embed = ActionSpec(
        run=partial(_embed, backends),
        params=frozenset(spec.EMBED.types),
        required=spec.EMBED.required,
        check=partial(_problems, spec.EMBED),
    )
    decide = ActionSpec(
        run=partial(_decide, backends),
        params=frozenset(spec.DECIDE.types),
        required=spec.DECIDE.required,
        check=partial(_problems, spec.DECIDE),
    )
    return {
        "llm.call": chat,
        "llm.chat": chat,
        "llm.complete": chat,
        "llm.stream": stream,
        "llm.tools": llm_tools(partial(_prepare, backends)),
        "llm.decide": decide,
        "llm.embed": embed,
    }


def check_settings(llm: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield (key, message) for each wrong value of ``settings.llm``; keys: spec.LLM."""
    return types.problems(spec.LLM.known, llm)


async def _chat(backends: Backends, call: Call, *, streams: bool) -> dict[str, Any]:
    refuse(_chat_problems(call.params))
    request, backend = _prepare(backends, call)
    on_text = None
    if streams:

        def on_text(text: str) -> None:
            call.emit({"type": "token", "node": call.node, "text": text})

    reply = await backend.chat(request, on_text)
    return _chat_result(request, reply, backend.name)


def _prepare(backends: Backends, call: Call) -> tuple[ChatRequest, Backend]:
    """Return what a call asks for, and the model that it asks."""
    settings = _settings(call)
    return chat_request(call.params, settings), _select(backends, call, settings)


def _problems(parameters: spec.Parameters, params: Mapping[str, Any]) -> Iterator[Problem]:
    for key, message in types.problems(parameters.types, params):
        yield (key,), message


def _chat_problems(params: Mapping[str, Any]) -> Iterator[Problem]:
    wrong = list(_problems(spec.CHAT, params))
    yield from wrong
    if not wrong:
        yield from parameters.shape_problems(params)
        yield from tools.problems(params)


def chat_request(params: Mapping[str, Any], settings: Mapping[str, Any]) -> ChatRequest:
    """Make the request that checked parameters and settings ask for.

    Raises:
        ActionError: there is neither ``prompt`` nor ``messages``, or no tool to choose.
    """
    messages, prompt = _conversation(params, settings)
    fields = parameters.sampling(params, settings)
    if parameters.tells_schema(params, settings) and (text := told(fields.get("shape"))):
        messages, prompt = _with_told(text, messages, prompt)
    request = ChatRequest(messages, prompt, **fields)
    if not request.tools and request.tool_choice not in ("auto", "none"):
        raise ActionError(f"tool_choice is {request.tool_choice}, and there are no tools")
    return request


def _conversation(
    params: Mapping[str, Any], settings: Mapping[str, Any]
) -> tuple[tuple[Message, ...], str | None]:
    """Return the messages, and the prompt where there is nothing else."""
    if params.get("messages") is not None:
        return tuple(map(parameters.message, params["messages"])), None
    prompt = params.get("prompt")
    if prompt is None:
        raise ActionError("prompt or messages is missing", hint="give one of the two")
    system = params.get("system")
    system = settings.get("system") if system is None else system
    user = Message("user", prompt)
    return ((user,), prompt) if system is None else ((Message("system", system), user), None)


def _with_told(
    text: str, messages: tuple[Message, ...], prompt: str | None
) -> tuple[tuple[Message, ...], str | None]:
    """Put ``text`` at the end of the system text, and before a prompt alone."""
    prompt = None if prompt is None else f"{text}\n\n{prompt}"
    if messages[0].role == "system":
        system = replace(messages[0], content=f"{messages[0].content}\n\n{text}")
        return (system, *messages[1:]), prompt
    return (Message("system", text), *messages), prompt


def _chat_result(request: ChatRequest, reply: ChatReply, backend: str) -> dict[str, Any]:
    total = reply.prompt_tokens + reply.completion_tokens
    result = {
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
    if request.shape is not None:
        result["data"] = reply.data
    if isinstance(request.shape, Choices):
        result["choice"] = reply.data
    if request.tools:
        result["tool_calls"] = [each.data() for each in reply.tool_calls]
    if reply.reasoning is not None:
        result["reasoning"] = reply.reasoning
    return result


async def _decide(backends: Backends, call: Call) -> dict[str, Any]:
    refuse(_problems(spec.DECIDE, call.params))
    settings = _settings(call)
    messages, prompt = _conversation(call.params, settings)
    thinking = call.params.get("thinking")
    request = DecideRequest(
        messages,
        tuple(call.params.get("choices") or ()),
        prompt,
        call.params.get("normalize") or "none",
        settings.get("thinking") if thinking is None else thinking,
    )
    if not request.choices:
        raise ActionError("choices is missing")
    backend = backends.select(settings, call.params.get("backend"))
    probabilities = list((await backend.decide(request)).probabilities)
    index = max(range(len(probabilities)), key=probabilities.__getitem__)
    return {
        "choice": request.choices[index],
        "index": index,
        "probabilities": probabilities,
    }


async def _embed(backends: Backends, call: Call) -> dict[str, Any]:
    refuse(_problems(spec.EMBED, call.params))
    settings = _settings(call)
    text = call.params.get("text")
    if text is None:
        raise ActionError("text is missing")
    fields = parameters.sampling(call.params, settings)
    request = EmbedRequest(
        (text,) if isinstance(text, str) else tuple(text),
        **{key: fields[key] for key in ("model", "timeout", "max_retries") if key in fields},
    )
    reply = await _select(backends, call, settings).embed(request)
    vectors = [list(vector) for vector in reply.embeddings]
    return {
        "embedding": vectors[0] if isinstance(text, str) else vectors,
        "model": reply.model,
        "dimensions": len(vectors[0]),
        "tokens_used": reply.tokens,
    }


def _select(backends: Backends, call: Call, settings: Mapping[str, Any]) -> Backend:
    choice = call.params.get("backend")
    return backends.select(api_settings(call.params, settings), choice)


def _settings(call: Call) -> Mapping[str, Any]:
    """Return ``settings.llm``, checked: a template in it may have given any value."""
    settings = call.settings.get("llm") or {}
    for _, message in check_settings(settings):
        raise ActionError(f"settings.llm: {message}")
    return settings
