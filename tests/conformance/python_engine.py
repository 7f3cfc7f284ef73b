"""Plays a case on the Python engine: the real code from loading to the request to a model."""

from __future__ import annotations

import asyncio
import copy
import io
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

from the_edge_agent import __main__ as program
from the_edge_agent.actions import Registry, base_registry
from the_edge_agent.actions.llm import llm_actions
from the_edge_agent.errors import TeaError
from the_edge_agent.llm import model_path
from the_edge_agent.llm.api import ApiBackend, endpoint
from the_edge_agent.llm.backend import Backend, Backends
from the_edge_agent.run import Host, run
from the_edge_agent.workflow import load

from .scripted import Script, ScriptedApi, ScriptedModel
from .stage import Outcome, Stage


def play(stage: Stage, patch: pytest.MonkeyPatch) -> list[Outcome]:
    """Return what came of the case, once for each time that it runs."""
    patch.chdir(stage.directory)
    if "command" in stage.data:
        return [_play_command(stage, patch)]
    outcome = Outcome()
    try:
        return _play_runs(stage, patch, outcome)
    except TeaError as error:
        outcome.error = error
        return [outcome]


def _play_runs(stage: Stage, patch: pytest.MonkeyPatch, first: Outcome) -> list[Outcome]:
    played = _Models(stage, patch, first)
    name = stage.workflow_name
    workflow = load(stage.data["workflow"], name, actions=played.actions)
    first.warnings = workflow.warnings
    outcomes = [first]
    while True:
        outcome = outcomes[-1]

        async def sleep(seconds: float, into: list[float] = outcome.sleeps) -> None:
            into.append(seconds)

        host = Host(
            actions=played.actions,
            env=stage.data.get("env", {}),
            secrets=stage.data.get("secrets", {}),
            emit=_recorder(outcome.events),
            sleep=sleep,
            random=lambda: 0.5,
        )
        outcome.state = asyncio.run(run(workflow, stage.data.get("input", {}), host))
        if len(outcomes) == stage.data.get("repeat", 1):
            return outcomes
        outcomes.append(Outcome(warnings=workflow.warnings))


def _recorder(events: list[dict[str, Any]]) -> Callable[[dict[str, Any]], None]:
    return lambda event: events.append(copy.deepcopy(event))


class _Models:
    """The models of a case behind the real choice of backend, and all actions over them."""

    def __init__(self, stage: Stage, patch: pytest.MonkeyPatch, outcome: Outcome) -> None:
        self._stage = stage
        self._outcome = outcome
        self._env: Mapping[str, str] = stage.data.get("env", {})
        self._options: Mapping[str, Any] = stage.data.get("options", {})
        self._local = _script(stage, "local", outcome)
        _replace_network(stage, patch, outcome)
        choice = self._options.get("backend")
        backends = Backends(local=self._make_local, api=self._make_api, choice=choice)
        self.actions: Registry = {**base_registry(roots=stage.roots), **llm_actions(backends)}

    def _make_local(self, settings: Mapping[str, Any]) -> Backend | None:
        if self._local is None:
            return None
        if self._stage.data["models"]["local"].get("find"):
            gguf = self._options.get("gguf")
            found = model_path.find(gguf, self._env, settings.get("model_path"))
            if found is None:
                return None
            self._outcome.model = os.path.relpath(found.path, self._stage.root)
        return ScriptedModel(self._local)

    def _make_api(self, settings: Mapping[str, Any]) -> Backend | None:
        async def sleep(seconds: float) -> None:
            self._outcome.sleeps.append(seconds)

        where = endpoint(settings, self._env)
        return None if where is None else ApiBackend(where, sleep=sleep, jitter=lambda: 0.5)


def script_of(stage: Stage, name: str, outcome: Outcome) -> Script:
    """Return what the case's model ``name`` says; one that is not asked where there is none."""
    return _script(stage, name, outcome) or Script("none", [], outcome.requests)


def _script(stage: Stage, name: str, outcome: Outcome) -> Script | None:
    model = stage.data.get("models", {}).get(name)
    if model is None:
        return None
    return Script(
        model.get("name", "model"),
        list(model["replies"]),
        outcome.requests,
        model.get("bytewise", False),
    )


def _replace_network(stage: Stage, patch: pytest.MonkeyPatch, outcome: Outcome) -> None:
    """Let the scripted API answer every request of the real client."""
    api = ScriptedApi(script_of(stage, "api", outcome))
    patch.setattr(
        httpx.AsyncHTTPTransport,
        "handle_async_request",
        lambda _transport, request: api.handle_async_request(request),
    )


def _play_command(stage: Stage, patch: pytest.MonkeyPatch) -> Outcome:
    """Run the command line in this process, with the environment of the case and no other."""
    outcome, stdout, stderr = Outcome(), _Pipe(), _Pipe()
    _replace_network(stage, patch, outcome)
    environment = {"HOME": str(stage.root), "PATH": os.defpath, **stage.data.get("env", {})}
    for name in os.environ:
        patch.delenv(name)
    for name, value in environment.items():
        patch.setenv(name, value)
    patch.setattr(sys, "argv", ["tea", *stage.data["command"]])
    patch.setattr(sys, "stdin", _Pipe(stage.data.get("stdin", "")))
    patch.setattr(sys, "stdout", stdout)
    patch.setattr(sys, "stderr", stderr)
    try:
        outcome.exit = program.main()
    finally:
        patch.undo()
    outcome.stdout, outcome.stderr = stdout.text(), stderr.text()
    return outcome


class _Pipe(io.TextIOWrapper):
    """A standard stream that is no terminal."""

    def __init__(self, text: str = "") -> None:
        super().__init__(io.BytesIO(text.encode()), encoding="utf-8", newline="\n")

    def text(self) -> str:
        """Return what was written."""
        self.flush()
        buffer = self.buffer
        assert isinstance(buffer, io.BytesIO)
        return buffer.getvalue().decode()
