"""Actions by name: what the ``uses`` of a node can name. The engine knows none by itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from the_edge_agent import spec
from the_edge_agent.errors import ActionError
from the_edge_agent.schema.check import Problem
from the_edge_agent.suggest import ALIKE, nearest
from the_edge_agent.workflow import types


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
    # A late parameter, computed on the state with some keys laid over it; None: not given.
    render_late: Callable[[str, Mapping[str, Any]], Any]
    sleep: Callable[[float], Awaitable[None]]  # seconds


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
    values that are right, what the action runs; None: it runs nothing else. ``late`` parameters
    are computed when the action asks for them.
    """

    run: Callable[[Call], Awaitable[Any]]
    params: frozenset[str]
    required: frozenset[str] = frozenset()
    check: Callable[[Mapping[str, Any]], Iterable[Problem]] | None = None
    targets: Callable[[Mapping[str, Any]], Iterable[Target]] | None = None
    late: frozenset[str] = frozenset()


Registry = Mapping[str, ActionSpec]


def checked(registry: Registry, name: str, params: Mapping[str, Any]) -> ActionSpec:
    """Return the action of this name, once it takes ``params``.

    Raises:
        ActionError: there is no such action, or it takes or needs other parameters.
    """
    found = registry.get(name)
    if found is None:
        raise ActionError(f'unknown action "{name}"', hint=nearest(name, registry, ALIKE))
    for key in sorted(params.keys() - found.params):
        raise ActionError(f'{name}: unknown parameter "{key}"', hint=nearest(key, found.params))
    for key in sorted(found.required - params.keys()):
        raise ActionError(f"{name}: the parameter {key} is missing")
    for _, message in found.check(params) if found.check else ():
        raise ActionError(f"{name}: {message}")
    return found


def table_spec(
    name: str,
    run: Callable[[Call], Awaitable[Any]],
    more: Callable[[Mapping[str, Any]], Iterable[Problem]] = lambda _: (),
) -> ActionSpec:
    """Return what the table says of an action; ``run`` gets the values that it says, no others.

    ``more`` sees what the types cannot say.
    """
    row = spec.ACTIONS[name]

    def check(values: Mapping[str, Any]) -> Iterable[Problem]:
        for key, message in types.problems(row.types, values):
            yield (key,), message
        for key in sorted(row.required & values.keys()):
            if values[key] is None and row.types[key].name != "any":
                yield (key,), f"{key} is missing"
        yield from more(values)

    async def checked(call: Call) -> Any:
        for (key, *_), message in check(call.params):
            is_json = isinstance(call.params.get(str(key)), dict | list)
            is_text = row.types[str(key)].name == "text"
            hint = 'for JSON text write: "{{ … | tojson }}"' if is_json and is_text else ""
            raise ActionError(f"{call.action}: {message}", hint=hint)
        return await run(call)

    return ActionSpec(checked, frozenset(row.types), row.required, check)
