"""A workflow as it is after loading: names, bodies, rules; templates compiled, nothing run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from the_edge_agent.actions.registry import Registry
from the_edge_agent.errors import Location, Problem
from the_edge_agent.template.template import Template
from the_edge_agent.workflow.code import Code
from the_edge_agent.workflow.condition import Condition

START = "__start__"
END = "__end__"


@dataclass(frozen=True, slots=True)
class ActionBody:
    """``uses``: an action by name. ``params`` and an ``output`` map hold compiled templates.

    ``nodes`` are those that the action has run, each with the place that names it.
    """

    action: str
    params: dict[str, Any]
    output: str | dict[str, Any] | None
    nodes: tuple[tuple[str, Location], ...] = ()


@dataclass(frozen=True, slots=True)
class CodeBody:
    """``run`` with Python code."""

    code: Code


@dataclass(frozen=True, slots=True)
class ExpressionBody:
    """``run`` with an expression, whose value goes to ``state[output_key]``."""

    value: Template | bool | float
    output_key: str


Step = ActionBody | CodeBody | ExpressionBody


@dataclass(frozen=True, slots=True)
class StepsBody:
    """``steps``: bodies on one evolving state."""

    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class LoopBody:
    """``type: while_loop``: nodes that run in turn as long as the condition holds."""

    condition: Condition
    max_iterations: int
    nodes: tuple[Node, ...]
    stops: bool = False  # at the limit, instead of failing


@dataclass(frozen=True, slots=True)
class EachBody:
    """``type: dynamic_parallel``: a branch for each item, on a copy of the state.

    ``items`` and ``max_concurrency`` may be templates; None leaves the number to the engine.
    """

    items: Any
    item_var: str
    index_var: str
    steps: tuple[Step, ...]
    max_concurrency: Any
    fail_fast: bool
    output: str
    fan_in: str | None  # where the run goes next; it is the node's goto, too
    subgraph: Workflow | None = None  # instead of steps
    input: Mapping[str, Any] = field(default_factory=dict)  # of the subgraph, with templates


Body = Step | StepsBody | LoopBody | EachBody


@dataclass(frozen=True, slots=True)
class Rule:
    """Where to go, and when; no condition means always. One of a ``goto``, or an edge."""

    to: str
    condition: Condition | None
    place: Location


@dataclass(frozen=True, slots=True)
class Fork:
    """The parallel edges of a node: branches that begin at ``branches`` and end at ``fan_in``."""

    branches: tuple[Rule, ...]
    fan_in: Rule


@dataclass(frozen=True, slots=True)
class Node:
    """One node. ``on_error`` has the keys told on the node itself, as in ``retry.Policy``."""

    name: str
    place: Location
    body: Body | None
    goto: tuple[Rule, ...] | None = None
    on_error: Mapping[str, Any] = field(default_factory=dict)
    fallback_place: Location | None = None


@dataclass(frozen=True, slots=True)
class Workflow:
    """A valid workflow file. ``settings`` still holds templates, over env and variables."""

    file: str
    name: str | None
    description: str | None
    version: str | None
    initial_state: dict[str, Any]
    input_schema: dict[str, Any] | None
    output_schema: dict[str, Any] | None
    stdin_key: str | None  # of the input, what a command reads from standard input
    variables: dict[str, Any]
    data: dict[str, Any]  # constants, too
    settings: dict[str, Any]
    nodes: tuple[Node, ...]
    edges: Mapping[str, tuple[Rule, ...]]  # by the node that they leave
    forks: Mapping[str, Fork]  # the same of parallel edges
    actions: Registry
    warnings: tuple[Problem, ...]
