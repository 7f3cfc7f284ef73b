"""Actions: what the ``uses`` of a node can name.

The engine knows no action by itself. A host hands it a registry; ``base_registry`` has the
actions that need neither a model nor a network.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an action."""

    node: str  # name of the node that runs
    action: str  # name as written in the file
    params: dict[str, Any]  # rendered ``with``
    settings: Mapping[str, Any]  # rendered settings of the file
    emit: Callable[[dict[str, Any]], None]  # events, such as {"type": "token", ...}
    memory: dict[str, Any]  # what memory.store keeps, for this run


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """What the engine must know of an action to check a file and to run it.

    ``check`` sees those values of ``with`` that hold no template, while the file is loaded,
    and yields (key, message) for each that is wrong.
    """

    run: Callable[[Call], Awaitable[Any]]
    params: frozenset[str]
    required: frozenset[str] = frozenset()
    check: Callable[[Mapping[str, Any]], Iterable[tuple[str, str]]] | None = None


Registry = Mapping[str, ActionSpec]


def base_registry(roots: Sequence[str | Path]) -> dict[str, ActionSpec]:
    """Return the actions on data, and those on files below ``roots``.

    A relative path is taken from the first root; without roots no file can be reached.
    """
    from the_edge_agent.actions.data import data_actions
    from the_edge_agent.actions.files import file_actions

    return {**data_actions(), **file_actions(roots)}
