"""Runs a workflow: one node after another on one state, until a rule leads to the end."""

from __future__ import annotations

import copy
import itertools
import warnings
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from the_edge_agent import spec
from the_edge_agent.actions.registry import Call, Registry, checked
from the_edge_agent.errors import (
    ActionError,
    LimitError,
    TeaError,
    WorkflowFailed,
)
from the_edge_agent.redact import Masker, StreamMask
from the_edge_agent.run import branches, route
from the_edge_agent.run.code_actions import CodeActions
from the_edge_agent.suggest import nearest
from the_edge_agent.template.template import Template, render_map, render_tree
from the_edge_agent.value.value import describe, to_data
from the_edge_agent.workflow import code, io_schema, retry, settings
from the_edge_agent.workflow.branches import CONCURRENCY, RESULTS, is_concurrency
from the_edge_agent.workflow.model import (
    END,
    START,
    ActionBody,
    CodeBody,
    EachBody,
    Fork,
    LoopBody,
    Node,
    Step,
    StepsBody,
    Workflow,
)

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Host:
    """What a run is given of the world. ``sleep`` takes seconds, ``random`` gives 0 to 1.

    ``warn`` gets what the author should know though the run goes on, with its place.
    """

    actions: Registry
    env: Mapping[str, str]
    secrets: Mapping[str, Any]
    emit: Callable[[Event], None]
    sleep: Callable[[float], Awaitable[None]]
    random: Callable[[], float]
    warn: Callable[[str], None] = warnings.warn


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a body did: keys for the state, the raw result, and a fallback to go to."""

    update: dict[str, Any]
    result: Any = None
    jump: str | None = None


class _Stopped(WorkflowFailed):
    """The run as a whole is over a limit: no node's error handling applies."""


async def run(workflow: Workflow, input: Mapping[str, Any], host: Host) -> dict[str, Any]:  # noqa: A002
    """Run ``workflow`` with ``input`` laid over its initial state; return the final state.

    Events go to ``host.emit``: start, token, node_complete, and at last complete or error.

    Raises:
        WorkflowFailed: a node failed and its errors are not handled.
        TemplateError: a template in the settings cannot be computed.
    """
    return await _Run(workflow, host).run(input)


class _Run:
    """One run. The state is replaced key by key, never changed inside."""

    def __init__(self, workflow: Workflow, host: Host) -> None:
        self._workflow = workflow
        self._host = host
        self._nodes = {node.name: node for node in workflow.nodes}
        self._memory: dict[str, Any] = {}
        self._settings: dict[str, Any] = {}
        self._masker = Masker(host.secrets, {}, host.env)
        self._runs = itertools.count(1)
        self._warned: set[str] = set()  # nodes
        self._names: dict[str, Any] = {}  # further names of templates, in a branch
        self._index: int | None = None  # of the branch that this is

    async def run(self, given: Mapping[str, Any]) -> dict[str, Any]:
        self._emit({"type": "start", "workflow": self._workflow.name})
        state: dict[str, Any] = {}
        try:
            state = self._begin(given)
            await self._walk(state)
        except WorkflowFailed as failed:
            data = _error_data(failed)
            failed.state = {**state, "__error__": data}
            self._emit({"type": "error", "node": failed.node, "error": data})
            raise
        except TeaError as error:
            self._mask(error)
            self._emit({"type": "error", "error": {"type": error.kind, "message": error.message}})
            raise
        self._emit({"type": "complete", "state": state})
        return state

    def _begin(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Render the settings; return the state at the start."""
        base = {"env": self._host.env, "variables": self._workflow.variables}
        self._settings |= settings.render(self._workflow.settings, base)
        self._masker = Masker(self._host.secrets, self._settings, self._host.env)
        state: dict[str, Any] = self._clean(self._start(given))
        return state

    def _start(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the state at the start, once the input is what the workflow takes."""
        state = {**self._workflow.initial_state, **given}
        schema = self._workflow.input_schema
        if schema is None:
            return state
        known = schema.get("properties", {})
        taken = {key: value for key, value in state.items() if key in given or key in known}
        taken = io_schema.with_defaults(schema, taken)
        io_schema.refuse("input_schema", schema, taken)
        return {**state, **taken}

    async def _walk(self, state: dict[str, Any]) -> None:
        try:
            name = route.entry(self._workflow, self._scope(state))
        except TeaError as error:
            raise self._failed(START, "", error) from error
        await self._follow(name, END, state)
        if self._workflow.output_schema is not None:
            try:
                io_schema.refuse("output_schema", self._workflow.output_schema, state)
            except TeaError as error:
                raise self._failed(END, "", error) from error

    async def _follow(self, name: str, end: str, state: dict[str, Any]) -> None:
        """Run nodes from ``name`` on until ``end`` is next, or the run ends."""
        while name not in (end, END):
            node = self._nodes[name]
            outcome = await self._visit(node, state)
            state.update(outcome.update)
            self._completed(node, outcome)
            fork = self._workflow.forks.get(name)
            if fork is not None and outcome.jump is None and node.goto is None:
                await self._fork(node, fork, state)
                name = fork.fan_in.to
            else:
                name = outcome.jump or self._next(node, state, outcome.result)

    # --- branches

    async def _fork(self, node: Node, fork: Fork, state: dict[str, Any]) -> None:
        """Run the branches of parallel edges; what came of them is ``parallel_results``."""
        scope = self._scope(state)
        try:
            rules = [
                rule
                for rule in fork.branches
                if rule.condition is None or rule.condition.holds(scope)
            ]
        except TeaError as error:
            raise self._failed(node.name, "", error) from error

        async def follow(index: int) -> dict[str, Any]:
            first, own = rules[index].to, dict(state)
            run = self._branch(index, {})
            try:
                await run._follow(first, fork.fan_in.to, own)
            except _Stopped:
                raise
            except WorkflowFailed as failed:
                return branches.result(index, own, first, _error_data(failed))
            return branches.result(index, own, first)

        results = await branches.run_all(len(rules), len(rules), follow)
        state[RESULTS] = results

    def _branch(self, index: int, names: dict[str, Any]) -> _Run:
        """Return this run as a branch of it sees it: the same but for names and events."""
        run = copy.copy(self)
        run._index = index
        run._names = {**self._names, **names}
        return run

    async def _each(self, node: Node, body: EachBody, state: Mapping[str, Any]) -> Outcome:
        """Run the steps for each item."""
        try:
            items, limit = self._each_of(body, state)
        except TeaError as error:
            raise self._failed(node.name, "dynamic_parallel", error) from error

        async def one(index: int) -> dict[str, Any]:
            names = {body.item_var: items[index], body.index_var: index}
            run = self._branch(index, names)
            own = {**state, **names}
            begun = own if body.subgraph is None else names
            try:
                if body.subgraph is not None:
                    outcome = await run._run_subgraph(node, body.subgraph, body.input, own)
                else:
                    outcome = await run._steps(node, body.steps, own)
            except _Stopped:
                raise
            except WorkflowFailed as failed:
                if body.fail_fast:
                    raise
                return branches.result(index, begun, node.name, _error_data(failed))
            run._completed(node, outcome)
            return branches.result(index, {**begun, **outcome.update}, node.name)

        results = await branches.run_all(len(items), limit, one)
        return Outcome({body.output: results, RESULTS: results}, results)

    async def _run_subgraph(
        self, node: Node, workflow: Workflow, tree: Mapping[str, Any], state: Mapping[str, Any]
    ) -> Outcome:
        """Run a subgraph, which sees its input alone; settings that it does not give are ours."""
        inner = _Run(workflow, self._host)
        inner._runs, inner._warned, inner._index = self._runs, self._warned, self._index
        inner._settings = dict(self._settings)
        try:
            own = inner._begin(render_map(tree, self._scope(state)))
        except TeaError as error:
            raise self._failed(node.name, "subgraph", error) from error
        await inner._walk(own)
        return Outcome(own)

    def _each_of(self, body: EachBody, state: Mapping[str, Any]) -> tuple[list[Any], int]:
        """Return the items, and how many branches may run at a time."""
        scope = self._scope(state)
        items = self._clean(render_tree(body.items, scope))
        if not isinstance(items, list):
            raise ActionError(f"items: expected a list, got {describe(items)}")
        limit = render_tree(body.max_concurrency, scope)
        limit = spec.NODE_MAX_CONCURRENCY if limit is None else limit
        if not is_concurrency(limit):
            raise ActionError(f"max_concurrency: expected {CONCURRENCY}")
        return items, limit

    def _next(self, node: Node, state: dict[str, Any], result: Any) -> str:
        try:
            return route.following(self._workflow, node, self._scope(state), result)
        except TeaError as error:
            failed = self._failed(node.name, "", error)
            policy = self._policy(node)
            if policy.mode == "raise" or policy.fallback is None:
                raise failed from error
            update = {"__error__": _error_data(failed)}
            state.update(update)
            self._completed(node, Outcome(update))
            return policy.fallback

    async def _visit(self, node: Node, state: Mapping[str, Any]) -> Outcome:
        """Run one node on ``state``, which stays as it is, under the node's error handling."""
        self._count(node)
        policy = self._policy(node)
        delays = policy.delays(self._host.random)
        retries = 0
        while True:
            try:
                return await self._execute(node, state)
            except _Stopped:
                raise
            except WorkflowFailed as failed:
                if policy.retries(failed.cause, retries):
                    retries += 1
                    await self._host.sleep(next(delays))
                    continue
                failed.retry_count = max(failed.retry_count, retries)
                if policy.mode == "raise":
                    raise
                return Outcome({"__error__": _error_data(failed)}, None, policy.fallback)

    def _count(self, node: Node) -> None:
        limit = self._settings.get("max_iterations", spec.SETTINGS_MAX_ITERATIONS)
        if next(self._runs) > limit:
            error = LimitError(
                f"the run is over its limit of {limit} node runs",
                hint="settings.max_iterations raises it",
            )
            raise _Stopped(node.name, "", error)

    def _policy(self, node: Node) -> retry.Policy:
        return retry.policy(self._settings.get("error_handling", {}), node.on_error)

    # --- bodies

    async def _execute(self, node: Node, state: Mapping[str, Any]) -> Outcome:
        if node.body is None:
            return Outcome({})
        if isinstance(node.body, LoopBody):
            return await self._loop(node, node.body, dict(state))
        if isinstance(node.body, EachBody):
            return await self._each(node, node.body, state)
        steps = node.body.steps if isinstance(node.body, StepsBody) else (node.body,)
        return await self._steps(node, steps, state)

    async def _steps(self, node: Node, steps: Iterable[Step], state: Mapping[str, Any]) -> Outcome:
        current = dict(state)
        update: dict[str, Any] = {}
        result = None
        for step in steps:
            outcome = await self._guarded(node, step, current)
            current.update(outcome.update)
            update.update(outcome.update)
            result = outcome.result
        return Outcome(update, result)

    async def _guarded(self, node: Node, step: Step, state: dict[str, Any]) -> Outcome:
        """Run a step; whatever it raises becomes the failure of the node."""
        action = step.action if isinstance(step, ActionBody) else "run"
        try:
            return await self._step(node, step, state)
        except WorkflowFailed:
            raise
        except TeaError as error:
            raise self._failed(node.name, action, error) from error
        except Exception as error:
            message = f"{action} failed: {type(error).__name__}: {error}"
            shows_secret = self._masker.text(message) != message
            failed = self._failed(node.name, action, ActionError(message))
            raise failed from (None if shows_secret else error)

    async def _step(self, node: Node, step: Step, state: dict[str, Any]) -> Outcome:
        scope = self._scope(state)
        if isinstance(step, ActionBody):
            late = self._host.actions[step.action].late
            now = {key: tree for key, tree in step.params.items() if key not in late}

            def render_late(key: str, over: Mapping[str, Any]) -> Any:
                tree = {key: step.params[key]} if key in step.params else {}
                return render_map(tree, self._scope({**state, **over})).get(key)

            params = render_map(now, scope)
            result = await self._call(node, state, step.action, params, render_late)
            return Outcome(self._clean(_update(step.output, result, scope)), result)
        if isinstance(step, CodeBody):
            source = step.code.source(scope)
            actions = CodeActions(node.name, self._host.actions, partial(self._call, node, state))
            done = code.run(source, state, self._workflow.variables, actions)
            update = _update(None, done.result, scope)
            changed = {key: new for key, new in done.changed.items() if key not in update}
            self._warn_of_changes(node, changed)
            return Outcome(self._clean({**changed, **update}), done.result)
        value = step.value.render(scope) if isinstance(step.value, Template) else step.value
        return Outcome(self._clean({step.output_key: value}), value)

    def _warn_of_changes(self, node: Node, changed: Mapping[str, Any]) -> None:
        """Say once in a run that code has changed the state instead of returning its update."""
        if changed and not self._warned:
            self._warned.add(node.name)
            key = self._masker.text(next(iter(changed)))
            self._host.warn(
                f'{node.place}: warning: the code of "{node.name}" changes state["{key}"] itself;'
                " that is part of its update, as what it returns is"
            )

    async def _call(
        self,
        node: Node,
        state: Mapping[str, Any],
        action: str,
        params: dict[str, Any],
        render_late: Callable[[str, Mapping[str, Any]], Any] | None = None,
    ) -> Any:
        stream = StreamMask(self._masker)
        token = self._clean(self._indexed({"type": "token", "node": node.name}))

        def emit(event: Event) -> None:
            if event.get("type") != "token":
                self._emit(event)
            elif text := stream.feed(event["text"]):
                self._host.emit({**token, "text": text})

        async def run_action(name: str, given: dict[str, Any]) -> Any:
            if checked(self._host.actions, name, given).targets is not None:
                raise ActionError(f"{action} cannot run {name}, which runs others itself")
            return await self._call(node, state, name, given)

        call = Call(
            node.name,
            action,
            params,
            self._settings,
            emit,
            self._memory,
            run_action,
            partial(self._out_of_turn, state),
            render_late or (lambda key, _: params.get(key)),
            self._host.sleep,
        )
        try:
            result = await self._host.actions[action].run(call)
        finally:
            if rest := stream.rest():
                self._host.emit({**token, "text": rest})
        return to_data(result)

    async def _out_of_turn(
        self, state: Mapping[str, Any], name: str, over: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Run a node for an action; where it goes next does not count."""
        if name not in self._nodes:
            raise ActionError(f'there is no node "{name}"', hint=nearest(name, self._nodes))
        node = self._nodes[name]
        try:
            outcome = await self._visit(node, {**state, **self._clean(dict(over))})
        except _Stopped:
            raise
        except WorkflowFailed as failed:
            failed.cause.message = f"node {failed.node}: {failed.cause.message}"
            raise failed.cause from failed
        self._completed(node, outcome)
        return outcome.update

    async def _loop(self, node: Node, loop: LoopBody, state: dict[str, Any]) -> Outcome:
        update: dict[str, Any] = {}
        result = None
        for _ in range(loop.max_iterations):
            if not self._holds(node, loop, state):
                return Outcome(update, result)
            for inner in loop.nodes:
                outcome = await self._visit(inner, state)
                state.update(outcome.update)
                update.update(outcome.update)
                result = outcome.result
                self._completed(inner, outcome)
                if outcome.jump is not None:
                    return Outcome(update, result, outcome.jump)
        if not loop.stops and self._holds(node, loop, state):
            error = LimitError(
                f"the loop's condition still holds after {loop.max_iterations} passes:"
                f" {loop.condition.source}"
            )
            raise self._failed(node.name, "while_loop", error)
        return Outcome(update, result)

    def _holds(self, node: Node, loop: LoopBody, state: Mapping[str, Any]) -> bool:
        try:
            return loop.condition.holds(self._scope(state))
        except TeaError as error:
            raise self._failed(node.name, "while_loop", error) from error

    # --- what goes in and out

    def _scope(self, state: Mapping[str, Any]) -> dict[str, Any]:
        return {
            **self._names,
            "state": state,
            "variables": self._workflow.variables,
            "data": self._workflow.data,
            "settings": self._settings,
            "env": self._host.env,
            "secrets": self._host.secrets,
        }

    def _clean(self, value: Any) -> Any:
        """Copy what goes into the state: JSON data without secrets."""
        return to_data(value, self._masker.text)

    def _emit(self, event: Event) -> None:
        self._host.emit(self._clean(event))

    def _completed(self, node: Node, outcome: Outcome) -> None:
        event = {"type": "node_complete", "node": node.name, "update": outcome.update}
        self._emit(self._indexed(event))

    def _indexed(self, event: Event) -> Event:
        return event if self._index is None else {**event, "index": self._index}

    def _failed(self, node: str, action: str, error: TeaError) -> WorkflowFailed:
        """Return the failure of a node, with no secret in its message."""
        self._mask(error)
        return WorkflowFailed(node, action, error)

    def _mask(self, error: TeaError) -> None:
        error.message = self._masker.text(error.message)
        error.hint = self._masker.text(error.hint)
        error.args = (error.message,)


def _update(
    output: str | dict[str, Any] | None, result: Any, scope: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the keys that a result writes into the state."""
    if isinstance(output, str):
        return {output: result}
    if isinstance(output, dict):
        return render_map(output, {**scope, "result": result, "action_result": result})
    return result if isinstance(result, dict) else {"result": result}


def _error_data(failed: WorkflowFailed) -> dict[str, Any]:
    return {
        "type": failed.cause.kind,
        "message": failed.cause.message,
        "node": failed.node,
        "action": failed.action,
        "retry_count": failed.retry_count,
    }
