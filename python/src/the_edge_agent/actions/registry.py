"""Actions by name: what the ``uses`` of a node can name. The engine knows none by itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
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
