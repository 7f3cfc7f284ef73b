"""``llm.tools``: asks a model, runs the tools that it calls, and tells it what they gave."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from the_edge_agent import spec
from the_edge_agent.actions.registry import ActionSpec, Call, Target, refuse
from the_edge_agent.errors import ActionError, LimitError
from the_edge_agent.llm import parameters, tools
from the_edge_agent.llm.backend import Backend, ChatRequest, Message, ToolCall
from the_edge_agent.schema.check import Problem
from the_edge_agent.value.value import json_text
from the_edge_agent.workflow import types

_RUNS = frozenset({"action", "node"})


MAX_ROUNDS = 10  # where max_tool_rounds is not given

# What a call asks for, and the model that it asks.
Prepare = Callable[[Call], tuple[ChatRequest, Backend]]


def llm_tools(prepare: Prepare) -> ActionSpec:
    """Return the action."""
    return ActionSpec(
        run=partial(_run, prepare),
        params=frozenset(spec.TOOLS.types),
        required=spec.TOOLS.required,
        check=_problems,
        targets=_targets,
    )


async def _run(prepare: Prepare, call: Call) -> dict[str, Any]:
    refuse(_problems(call.params))
    if not call.params.get("tools"):
        raise ActionError("tools is missing")
    request, backend = prepare(call)
    of_name = {target.tool: target for target in _targets(call.params)}
    limit = call.params.get("max_tool_rounds") or MAX_ROUNDS
    calls: list[ToolCall] = []
    results: list[dict[str, Any]] = []
    rounds = 0
    while (reply := await backend.chat(request, None)).tool_calls:
        if rounds == limit:
            raise LimitError(
                f"the model still calls tools after {limit} rounds",
                hint="raise max_tool_rounds, or say when to stop",
            )
        rounds += 1
        said = [Message("assistant", reply.content, reply.tool_calls)]
        for each in reply.tool_calls:
            result = await _result(call, of_name[each.name], each)
            results.append({"id": each.id, "name": each.name, "result": result})
            text = result if isinstance(result, str) else json_text(result)
            said.append(Message("tool", text, tool_call_id=each.id, name=each.name))
        calls += reply.tool_calls
        # A call that is required was made: from now on the model decides.
        request = replace(
            request, messages=(*request.messages, *said), prompt=None, tool_choice="auto"
        )
    return {
        "content": reply.content,
        "tool_calls": [each.data() for each in calls],
        "tool_results": results,
        "rounds": rounds,
    }


async def _result(call: Call, target: Target, called: ToolCall) -> Any:
    """Run what a tool stands for; the arguments are data, and never templates."""
    if target.kind == "node":
        return await call.run_node(target.name, called.arguments)
    return await call.run_action(target.name, dict(called.arguments))


def _problems(params: Mapping[str, Any]) -> Iterator[Problem]:
    wrong = list(types.problems(spec.TOOLS.types, params))
    yield from (((key,), message) for key, message in wrong)
    if wrong:
        return
    yield from parameters.shape_problems(params)
    yield from tools.problems(params, _RUNS)
    for each in params.get("tools") or ():
        name = tools.function(each)["name"]
        given = [each[key] for key in _RUNS if each.get(key) is not None]
        if len(given) != 1:
            yield ("tools",), f'tools: "{name}" needs an action or a node, one of the two'
        elif not isinstance(given[0], str):
            yield ("tools",), f'tools: "{name}": an action or a node is named by text'


def _targets(params: Mapping[str, Any]) -> Iterator[Target]:
    for each in params.get("tools") or ():
        for kind in sorted(_RUNS & each.keys()):
            yield Target("tools", tools.function(each)["name"], kind, each[kind])
