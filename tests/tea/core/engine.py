"""A small host for tests: loads and runs a workflow, and keeps what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from the_edge_agent.actions.base import base_registry
from the_edge_agent.actions.registry import ActionSpec, Call
from the_edge_agent.errors import ActionError, InvalidFile, TeaError
from the_edge_agent.run.run import Host, run
from the_edge_agent.workflow.load import load
from the_edge_agent.workflow.model import Workflow


@dataclass
class Played:
    """What a run left: its state or its error, its events and how long it slept."""

    state: dict[str, Any] = field(default_factory=dict)
    error: TeaError | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    sleeps: list[float] = field(default_factory=list)

    @property
    def completed(self) -> list[str]:
        return [event["node"] for event in self.events if event["type"] == "node_complete"]


def registry(roots: tuple[Path, ...] = (), **actions: ActionSpec) -> dict[str, ActionSpec]:
    """The base actions, and ``fail``, ``flaky``, ``say`` that tests need."""
    failures: dict[str, int] = {}

    async def fail(call: Call) -> Any:
        raise ActionError(call.params.get("message", "it failed"))

    async def flaky(call: Call) -> Any:
        failures[call.node] = failures.get(call.node, 0) + 1
        if failures[call.node] <= call.params["times"]:
            raise ActionError(f"failure {failures[call.node]}")
        return {"worked": True}

    async def say(call: Call) -> Any:
        for piece in call.params["pieces"]:
            call.emit({"type": "token", "node": call.node, "text": piece})
        return "".join(call.params["pieces"])

    return {
        **base_registry(roots),
        "fail": ActionSpec(fail, frozenset({"message"})),
        "flaky": ActionSpec(flaky, frozenset({"times"}), frozenset({"times"})),
        "say": ActionSpec(say, frozenset({"pieces"})),
        **actions,
    }


def check(text: str, **actions: ActionSpec) -> Workflow:
    return load(text, "w.yaml", actions=registry((), **actions))


def problems(text: str, **actions: ActionSpec) -> list[str]:
    """Every problem of a workflow as text; none when it is valid."""
    try:
        check(text, **actions)
    except InvalidFile as error:
        return [str(problem) for problem in error.problems]
    return []


def play(
    text: str,
    given: Mapping[str, Any] | None = None,
    *,
    env: Mapping[str, str] | None = None,
    secrets: Mapping[str, Any] | None = None,
    roots: tuple[Path, ...] = (),
    random: float = 0.5,
    **actions: ActionSpec,
) -> Played:
    """Load and run a workflow; a failure of the run is kept, one of the file is raised."""
    played = Played()

    async def sleep(seconds: float) -> None:
        played.sleeps.append(seconds)

    known = registry(roots, **actions)
    host = Host(known, env or {}, secrets or {}, played.events.append, sleep, lambda: random)
    workflow = load(text, "w.yaml", actions=known)
    try:
        played.state = asyncio.run(run(workflow, given or {}, host))
    except TeaError as error:
        played.error = error
    return played


def compute(expression: str, given: Mapping[str, Any] | None = None) -> Any:
    """The value of one expression over ``state``."""
    from the_edge_agent.template.template import compile_expression

    return compile_expression(expression).render(scope(given))


def render(text: str, given: Mapping[str, Any] | None = None, **others: Any) -> Any:
    from the_edge_agent.template.template import compile_text

    return compile_text(text).render(scope(given, **others))


def scope(given: Mapping[str, Any] | None = None, **others: Any) -> dict[str, Any]:
    empty: dict[str, Any] = {"variables": {}, "settings": {}, "env": {}, "secrets": {}}
    return {**empty, "state": dict(given or {}), **others}
