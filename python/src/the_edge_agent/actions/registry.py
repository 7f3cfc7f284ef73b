"""Actions by name: what the ``uses`` of a node can name. The engine knows none by itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from the_edge_agent.errors import ActionError
from the_edge_agent.schema.check import Problem
from the_edge_agent.suggest import ALIKE, nearest


def refuse(problems: Iterable[Problem]) -> None:
    """Raise the first of the problems as an ActionError."""
    for _, message in problems:
        raise ActionError(message)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an action."""

    node: str  # name of the node that runs
    action: str  # name as written in the file
    params: dict[str, Any]  # rendered ``with``
    settings: Mapping[str, Any]  # rendered settings of the file
    emit: Callable[[dict[str, Any]], None]  # events, such as {"type": "token", ...}
    memory: dict[str, Any]  # what memory.store keeps, for this run
    run_action: Callable[[str, dict[str, Any]], Awaitable[Any]]  # by name, with its parameters
    # A node by name, out of turn, on a copy of the state with some keys laid over it. Gives what
    # the node wrote, which is not written into the state.
    run_node: Callable[[str, Mapping[str, Any]], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Target:
    """An action or a node that the parameter ``key`` of another action has run."""

    key: str
    tool: str  # what the parameter calls it
    kind: str  # "action" or "node"
    name: str


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """What the engine must know of an action to check a file and to run it.

    ``check`` sees those values of ``with`` that hold no template, while the file is loaded,
    and yields the keys that lead to each that is wrong, and a message. ``targets`` gives, of
    values that are right, what the action runs; None: it runs nothing else.
    """

    run: Callable[[Call], Awaitable[Any]]
    params: frozenset[str]
    required: frozenset[str] = frozenset()
    check: Callable[[Mapping[str, Any]], Iterable[Problem]] | None = None
    targets: Callable[[Mapping[str, Any]], Iterable[Target]] | None = None


Registry = Mapping[str, ActionSpec]


def checked(registry: Registry, name: str, params: Mapping[str, Any]) -> ActionSpec:
    """Return the action of this name, once it takes ``params``.

    Raises:
        ActionError: there is no such action, or it takes or needs other parameters.
    """
    spec = registry.get(name)
    if spec is None:
        raise ActionError(f'unknown action "{name}"', hint=nearest(name, registry, ALIKE))
    for key in sorted(params.keys() - spec.params):
        raise ActionError(f'{name}: unknown parameter "{key}"', hint=nearest(key, spec.params))
    for key in sorted(spec.required - params.keys()):
        raise ActionError(f"{name}: the parameter {key} is missing")
    for _, message in spec.check(params) if spec.check else ():
        raise ActionError(f"{name}: {message}")
    return spec
